"""DHCP: messages built by hand after RFC 2131."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.dhcp import SPEC
from tests.parse.checks import mutated, survives
from tests.parse.drive import C, Piece, S, Told, talk

MAC = b"\2\0\0\0\0\1"


def message(op: int, kind: int, *options: tuple[int, bytes], given_ip: bytes = bytes(4)) -> bytes:
    head = struct.pack("!4BIHH4s4s4s4s", op, 1, 6, 0, 99, 0, 0, bytes(4), given_ip, bytes(4), bytes(4))
    packed = b"".join(bytes([code, len(value)]) + value for code, value in ((53, bytes([kind])), *options))
    return head + MAC + bytes(10 + 64 + 128) + b"\x63\x82\x53\x63" + packed + b"\xff"


DISCOVER = message(1, 1, (12, b"box"), (55, b"\1\3\6\x0f\x77"), (61, b"\1" + MAC), (50, b"\x0a\0\0\5"))
ACK = message(
    2, 5, (1, b"\xff\xff\xff\0"), (3, b"\x0a\0\0\1"), (6, b"\x0a\0\0\1\x0a\0\0\2"), (51, b"\0\0\x0e\x10"), (15, b"lan"),
    given_ip=b"\x0a\0\0\5",
)  # fmt: skip


def test_extended_events_say_what_was_asked_and_given() -> None:
    told = talk(SPEC, [(C, DISCOVER), (S, ACK)], Told("udp", {"extended": True}))
    ask, ack = (event[1]["dhcp"] for event in told.events)
    assert ask == {
        "type": "request", "id": 99, "client_mac": "02:00:00:00:00:01", "assigned_ip": "0.0.0.0", "client_ip": "0.0.0.0",
        "dhcp_type": "discover", "client_id": "02:00:00:00:00:01", "hostname": "box", "requested_ip": "10.0.0.5",
        "params": ["subnet_mask", "router", "dns_server", "domain"],
    }  # fmt: skip
    assert (ack["dns_servers"], ack["lease_time"], ack["relay_ip"]) == (["10.0.0.1", "10.0.0.2"], 3600, "0.0.0.0")


def test_otherwise_acknowledgements_alone_are_written() -> None:
    told = talk(SPEC, [(C, DISCOVER), (S, ACK)], Told("udp"))
    assert [event[1]["dhcp"]["dhcp_type"] for event in told.events] == ["ack"]


def test_a_transaction_is_a_row() -> None:
    ((kind, row),) = talk(SPEC, [(C, DISCOVER), (S, ACK)], Told("udp")).zeek
    assert (kind, row["msg_types"], row["mac"]) == ("dhcp", ["DISCOVER", "ACK"], "02:00:00:00:00:01")
    assert (row["assigned_addr"], row["requested_addr"], row["lease_time"]) == ("10.0.0.5", "10.0.0.5", 3600.0)
    assert (row["host_name"], row["domain"], row["server_addr"]) == ("box", "lan", "192.0.2.1")


def test_options_that_end_early_are_an_anomaly() -> None:
    assert talk(SPEC, [(C, DISCOVER[:-4])], Told("udp")).anomalies == ["truncated_options"]
    assert talk(SPEC, [(C, bytes(300))], Told("udp")).anomalies == ["malformed_options"]


def test_probe_wants_the_cookie() -> None:
    assert SPEC.probe(DISCOVER, C, False) is Match.YES
    assert SPEC.probe(DISCOVER[:236] + bytes(4), C, True) is Match.NO


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")


@settings(max_examples=50)
@given(st.integers(236, 400), st.integers(0, 255), st.integers(0, 60))
def test_any_change(at: int, byte: int, cut: int) -> None:
    survives(SPEC, [(C, mutated(ACK, at, byte, cut))], "udp")
