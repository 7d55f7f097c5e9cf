"""The ring of recent packets: what goes in comes out, by pair and time, as a capture that others can read."""

from __future__ import annotations

import io
import socket
import struct

import dpkt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.kernels.constants import LINK_ETHERNET
from nsm.model.batch import PacketBatch
from nsm.run.capsule_records import AFTER_MAX, AFTER_S, BEFORE_MAX, CAPSULE_BYTES_MAX, Request, around, pcapng, time_of
from nsm.run.recent import Keeper, Recent

SECOND_NS = 1_000_000_000
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def frame(src: str, dst: str, size: int = 60) -> bytes:
    """An Ethernet frame with the bare header of IPv4 or IPv6 in it."""
    if ":" in src:
        ends = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
        head = b"\x86\xdd\x60\0\0\0\0\0\x3b\x40" + ends
    else:
        ends = socket.inet_aton(src) + socket.inet_aton(dst)
        head = b"\x08\0\x45\0" + struct.pack(">HHHBBH", 20, 0, 0, 64, 17, 0) + ends
    return (bytes(12) + head).ljust(size, b"\0")


def batch_of(packets: list[tuple[int, bytes]], vlan: int = 0) -> PacketBatch:
    data = b"".join(packet for _, packet in packets)
    batch = PacketBatch(np.frombuffer(data, np.uint8), max(1, len(packets)))
    at = 0
    for row, (ts, packet) in enumerate(packets):
        batch.ts_ns[row], batch.offset[row] = ts, at
        batch.caplen[row] = batch.wirelen[row] = len(packet)
        batch.links[row], batch.vlan[row] = LINK_ETHERNET, vlan
        at += len(packet)
    batch.count = len(packets)
    return batch


def request(ts_s: float, src: str = A, dst: str = B) -> Request:
    return Request(alert_id="x", ts=int(ts_s * 1e6), src=src, dst=dst)


def test_both_directions_of_a_pair_are_found_and_nobody_elses() -> None:
    recent = Recent(1, 256)
    packets = [(SECOND_NS, frame(A, B)), (2 * SECOND_NS, frame(C, B)), (3 * SECOND_NS, frame(B, A))]
    recent.add(batch_of(packets))
    assert [time_of(record) for record in recent.find(request(9))] == [SECOND_NS, 3 * SECOND_NS]


def test_pairs_of_ipv6_are_found() -> None:
    recent = Recent(1, 256)
    recent.add(batch_of([(SECOND_NS, frame("fd00::1", "fd00::2")), (SECOND_NS, frame("fd00::3", "fd00::2"))]))
    assert len(recent.find(request(9, "fd00::1", "fd00::2"))) == 1


@pytest.mark.parametrize("vlan", [0, 0x1000 | 7])
def test_tagged_and_cut_packets_are_found(vlan: int) -> None:
    recent = Recent(1, 100)
    recent.add(batch_of([(n * SECOND_NS, frame(A, B, 61 + n * 40)) for n in range(1, 6)], vlan))
    recent.add(batch_of([(6 * SECOND_NS, frame(A, B, 1500))], vlan))
    assert [time_of(record) for record in recent.find(request(9))] == [n * SECOND_NS for n in range(1, 7)]


def test_an_address_in_what_a_packet_carries_does_not_count() -> None:
    recent = Recent(1, 256)
    carried = frame(C, C, 120) + socket.inet_aton(A) + socket.inet_aton(B)
    recent.add(batch_of([(SECOND_NS, carried)]))
    assert recent.find(request(9)) == []


def test_the_number_before_and_after_the_alert_is_bounded() -> None:
    recent = Recent(1, 256)
    recent.add(batch_of([(n * SECOND_NS, frame(A, B)) for n in range(1, 201)]))
    times = [time_of(record) // SECOND_NS for record in recent.find(request(100))]
    assert times == list(range(101 - BEFORE_MAX, 101 + AFTER_MAX))


def test_the_ring_keeps_the_newest_and_stays_as_large_as_it_is() -> None:
    recent = Recent(1, 256)
    for start in range(0, 40_000, 2_000):
        recent.add(batch_of([((start + n) * 1_000_000, frame(A, B, 200)) for n in range(2_000)]))
    newest = recent.find(request(1e6))
    assert time_of(newest[-1]) == 39_999 * 1_000_000
    assert recent.find(request(0.5))[0] != newest[0]
    assert time_of(recent.find(request(0.0))[0]) > 0, "the oldest packets have left"


@given(st.lists(st.tuples(st.integers(0, 1 << 60), st.integers(34, 400)), max_size=60))
def test_a_capsule_is_a_capture_that_others_read(packets: list[tuple[int, int]]) -> None:
    recent = Recent(1, 128)
    made = [(ts, frame(A, B, size)) for ts, size in packets]
    recent.add(batch_of(made))
    records = recent.find(request((1 << 60) / 1e9))
    data = pcapng(records, LINK_ETHERNET, "eth0", 262_144)
    assert len(data) <= CAPSULE_BYTES_MAX
    read = [bytes(packet) for _, packet in dpkt.pcapng.Reader(io.BytesIO(data))]
    assert len(read) == min(len(packets), BEFORE_MAX)
    assert set(read) <= {packet[:128] for _, packet in made}


def test_large_packets_fill_a_capsule_only_to_its_bound() -> None:
    recent = Recent(1, 8_000)
    recent.add(batch_of([(n * SECOND_NS, frame(A, B, 4_000)) for n in range(1, 60)]))
    data = pcapng(around(recent.find(request(30)), 30_000_000), LINK_ETHERNET, "eth0", 262_144)
    assert 50_000 < len(data) <= CAPSULE_BYTES_MAX


@pytest.mark.parametrize(("src", "dst"), [("", ""), ("nonsense", B), ("", "300.1.1.1")])
def test_what_is_no_address_finds_nothing(src: str, dst: str) -> None:
    recent = Recent(1, 256)
    recent.add(batch_of([(SECOND_NS, frame(A, B))]))
    assert recent.find(request(9, src, dst)) == []


def test_the_answer_has_what_came_before_and_what_follows() -> None:
    keeper = Keeper(Recent(1, 256))
    keeper.add(batch_of([(SECOND_NS, frame(A, B))]))
    keeper.ask(request(1.5), now_s=10.0)
    keeper.add(batch_of([(2 * SECOND_NS, frame(B, A))]))
    assert keeper.ready(10.5) == []
    (answer,) = keeper.ready(10.0 + AFTER_S)
    assert [time_of(record) for record in answer["records"]] == [SECOND_NS, 2 * SECOND_NS]
    assert keeper.ready(99.0) == []


def test_too_many_questions_are_refused_and_counted() -> None:
    keeper = Keeper(Recent(1, 256))
    for _ in range(Keeper.WAITING_MAX + 3):
        keeper.ask(request(1), now_s=0.0)
    assert keeper.refused == 3
    assert len(keeper.ready(99.0)) == Keeper.WAITING_MAX
