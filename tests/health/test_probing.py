"""Echoes, connects and questions to a resolver, on loopback; and the bytes of them."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.health import resolver
from nsm.health.findings import INTERFACE_ID, interface_down, loss
from nsm.health.gateway import Target
from nsm.health.machine import MachineReader
from nsm.health.ping import PORTS, Raw, TcpConnects, checksum, open_raw, ways
from nsm.health.thresholds import Raised


@given(st.binary(min_size=2, max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_a_sum_with_itself_is_right(data: bytes) -> None:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data)) + checksum(data)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


@pytest.mark.parametrize(("version", "address"), [(4, "127.0.0.1"), (6, "::1")])
def test_an_echo_comes_back_with_its_number(version: int, address: str) -> None:
    sock = open_raw(version)
    if sock is None:
        pytest.skip("needs CAP_NET_RAW")
    way = Raw(version, sock)
    try:
        way.send(address, 4_711)
    except OSError:
        pytest.skip("no such IP version here")
    found: list[tuple[str, int]] = []
    until = time.monotonic() + 2
    while not found and time.monotonic() < until:
        found = list(way.read())
    sock.close()
    assert found == [(address, 4_711)]


def test_a_handed_socket_is_used_only_where_datagrams_are_not_allowed() -> None:
    found = ways({})
    assert all(way.method == "icmp" for way in found.values())
    for way in found.values():
        way.sock.close()


def test_a_refusal_is_an_answer_and_silence_goes_on_to_the_next_port() -> None:
    target = TcpConnects("127.0.0.1")
    assert asyncio.run(target.ask())  # nothing listens there: refused
    assert target.port == PORTS[0]


def answer_once(sock: socket.socket, reply: bytes | None) -> threading.Thread:
    """A resolver that first says nonsense, then answers one question."""

    def serve() -> None:
        query, peer = sock.recvfrom(512)
        sock.sendto(b"nonsense", peer)
        if reply is not None:
            sock.sendto(query[:2] + reply + query[12:], peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (struct.pack("!5H", 0x8180, 1, 0, 0, 0), 0),
        (struct.pack("!5H", 0x8182, 1, 0, 0, 0), 2),
        (struct.pack("!5H", 0x8185, 0, 0, 0, 0), 5),
        (struct.pack("!5H", 0x0100, 1, 0, 0, 0), None),  # a question is no answer
        (None, None),
    ],
)
def test_a_resolver_is_asked_and_its_answer_timed(reply: bytes | None, expected: int | None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = answer_once(sock, reply)
        asked = asyncio.run(resolver.ask("127.0.0.1", "example.org", 0.3, sock.getsockname()[1]))
        thread.join(2)
    assert (asked.time_s is None) == (expected is None)
    if expected is not None:
        assert asked.rcode == expected


@given(st.binary(max_size=64))
def test_any_answer_is_an_answer_or_none(data: bytes) -> None:
    query = resolver.question(".", 7)
    code = resolver.rcode_of(query, data)
    assert code is None or 0 <= code <= 15


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="not a name"):
        resolver.question("a" * 64 + ".example", 1)


def test_the_first_figure_of_the_cpu_is_left_out_and_steps_of_the_clock_are_seen(tmp_path: object) -> None:
    from pathlib import Path

    offset = 0.0
    reader = MachineReader(Path("/"), wall=lambda: time.time() + offset)
    assert reader.read().cpu_ratio is None
    assert reader.read().cpu_ratio is not None
    offset = 90.0
    assert reader.read().clock_stepped_s == pytest.approx(90, abs=0.5)
    assert reader.read().disk_total_bytes > 0


def test_findings_say_what_why_and_what_to_do() -> None:
    raised = Raised(4, True)
    one = loss(Target("gateway v6", "fe80::1%eth0", "gateway"), 0.12, 0.05, raised, 1_000_000)
    assert (one.kind, one.victims, one.count) == ("monitor", ("fe80::1",), 4)
    assert "12.0% of the probes to the gateway fe80::1%eth0" in one.explain.what
    assert "4 times within the hour" in one.explain.what
    down = interface_down("eth0", True, False, Raised(1, False), 5)
    assert (down.signature_id, down.impact.word, down.explain.next[0]) == (
        INTERFACE_ID,
        "high",
        "sudo ip link set eth0 up",
    )
