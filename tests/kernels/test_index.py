"""Where packets lie: pcap and ring blocks beside their twins, pcapng beside what was written, times of every resolution."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.capture.files import ByteReader
from nsm.capture.pcapng import PcapngFile
from nsm.errors import CaptureError
from nsm.kernels import index as ix
from nsm.model.batch import PacketBatch
from tests.kernels import naive
from tests.kernels.feeding import GUARD
from tests.kernels.frames import block, enhanced, interface, option, pcap, section


def records_of(batch: PacketBatch, count: int) -> list[naive.Record]:
    return [naive.Record(*(int(column[i]) for column in batch.columns)) for i in range(count)]


def indexed(data: bytes, big: bool, unit: int, limit: int, link: int = 1) -> tuple[list[naive.Record], str]:
    """What the kernel says, ``limit`` packets at a time; a guard stands behind the data."""
    batch = PacketBatch(np.frombuffer(data + GUARD, np.uint8).copy(), limit)
    state, at, found = np.zeros(4, np.int64), 0, []
    while True:
        ix.index_pcap(batch.data, at, len(data), big, 16, unit, link, limit, *batch.columns, state)
        at = int(state[ix.NEXT])
        found += records_of(batch, int(state[ix.COUNT]))
        if state[ix.STATUS] != ix.FULL:
            return found, {ix.MORE: "more", ix.BAD_LENGTH: "bad length"}[int(state[ix.STATUS])]


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=70)), max_size=12), st.booleans(), st.booleans(),
    st.integers(0, 400), st.integers(1, 5),
)  # fmt: skip
def test_a_pcap_cut_anywhere_is_the_twins(
    packets: list[tuple[int, bytes]], big: bool, nano: bool, cut: int, limit: int
) -> None:
    data = pcap([(when, frame) for when, frame in packets if when < 2**32 - 1], big=big, nano=nano, base_s=0)[24:]
    data = data[: max(0, len(data) - cut)]
    unit = 1 if nano else 1_000
    assert indexed(data, big, unit, limit) == naive.index_pcap(data, big, unit, 1)


@given(st.binary(max_size=300), st.booleans(), st.integers(1, 4))
def test_any_bytes_are_the_twins(data: bytes, big: bool, limit: int) -> None:
    assert indexed(data, big, 1_000, limit) == naive.index_pcap(data, big, 1_000, 1)


@pytest.mark.parametrize("length", [262_144, 262_145, 2**31, 2**32 - 1])
def test_a_length_is_never_believed(length: int) -> None:
    data = bytes(8) + length.to_bytes(4, "little") * 2 + bytes(100)
    assert indexed(data, False, 1_000, 4) == ([], "more" if length == 262_144 else "bad length")


def test_a_frame_beyond_65535_bytes_is_cut_and_counted() -> None:
    data = pcap([(0, bytes(70_000)), (1, b"x")])[24:]
    found, _ = indexed(data, False, 1_000, 4)
    assert [(item.caplen, item.wirelen) for item in found] == [(65_535, 70_000), (1, 1)]


def packets_of(data: bytes, rows: int = 3) -> list[tuple[int, bytes, int, int, int]]:
    """(time, frame, wire length, link, interface) of a pcapng."""
    file = io.BytesIO(data)
    source = PcapngFile(ByteReader(file, file, "test"), rows)
    found: list[tuple[int, bytes, int, int, int]] = []
    with np.errstate(over="ignore"):  # impossible times wrap before they are cut, where the compiler is off
        for batch in source.batches():
            found += [
                (int(batch.ts_ns[i]), batch.packet(i), int(batch.wirelen[i]), int(batch.links[i]), int(batch.ifaces[i]))
                for i in range(batch.count)
            ]
    return found


@pytest.mark.parametrize("big", [False, True])
def test_every_kind_of_packet_block_of_two_sections(big: bool) -> None:
    order: Any = "big" if big else "little"
    simple = block(3, (5).to_bytes(4, order) + b"abcde", big)
    old = block(2, b"".join((
        (1).to_bytes(2, order), bytes(2), (0).to_bytes(4, order), (9).to_bytes(4, order), (3).to_bytes(4, order),
        (60).to_bytes(4, order), b"xyz\0",
    )), big)  # fmt: skip
    part = section(big) + interface(1, big=big) + interface(101, big=big) + enhanced(b"hello", 7, 1, 90, big)
    part += block(0xBAD, b"unknown!", big) + simple + old
    expected = [(7_000, b"hello", 90, 101, 1), (7_000, b"abcde", 5, 1, 0), (9_000, b"xyz", 60, 101, 1)]
    shifted = [(ts, frame, wire, link, iface + 2) for ts, frame, wire, link, iface in expected]
    # A block without a time has that of the packet before, wherever a batch ends.
    for rows in (1, 2, 3, 50):
        assert packets_of(part + part, rows) == expected + shifted


@pytest.mark.parametrize("resolution", [0, 3, 6, 9, 10, 12, 0x80, 0x81, 0x8A, 0xA0, 0xAA, 0xBF, 0xFF])
@given(
    ticks=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**40)),
    offset=st.sampled_from((0, 1, -5, 2**33, -(2**33))),
)
@settings(max_examples=40)
def test_times_of_every_resolution(resolution: int, ticks: int, offset: int) -> None:
    options = option(9, bytes((resolution,))) + option(14, offset.to_bytes(8, "little", signed=True))
    ((ts, *_),) = packets_of(section() + interface(options=options) + enhanced(b"x", ticks))
    if resolution & 0x80:
        exact = ticks * 10**9 // 2 ** min(resolution & 0x7F, 63)
        slack = 2  # a fraction of more than 32 bits is cut
    else:
        exact, slack = ticks * 10**9 // 10**resolution, 0
    expected = min(max(min(exact, ix.TS_MAX) + offset * 10**9, 0), ix.TS_MAX)
    assert abs(ts - expected) <= slack


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
@settings(max_examples=200)
def test_a_damaged_pcapng_gives_packets_or_one_error(tail: bytes, place: int, value: int) -> None:
    data = bytearray(section() + interface() + enhanced(b"frame" * 4, 5) + enhanced(b"other", 6) + tail)
    data[place % len(data)] = value
    try:
        for _, frame, wire, _, _ in packets_of(bytes(data)):
            assert len(frame) <= wire
    except CaptureError as error:
        assert "\n" not in str(error)


def header(step: int, frame: bytes, mac: int, wire: int, tag: int | None, kind: int, ts: tuple[int, int]) -> bytes:
    """struct tpacket3_hdr and struct sockaddr_ll of Linux's if_packet.h, then ``frame`` at ``mac``."""
    status, tci = (1, 0) if tag is None else (1 | 0x10 | 0x40, tag)
    head = struct.pack("<IIIIIIHHIIHH8x", step, *ts, len(frame), wire, status, mac, mac, 7, tci, 0x8100, 0)
    return (head + struct.pack("<HHiHBB8x", 17, 0x0800, 2, 1, kind, 6)).ljust(mac, b"\0") + frame


@st.composite
def ring_blocks(draw: st.DrawFn) -> tuple[bytes, int]:
    """(bytes from the first header to the end of the block, frames that it says it has)."""
    count = draw(st.integers(0, 8))
    frames = []
    for place in range(count):
        size, more = draw(st.one_of(st.integers(0, 90), st.just(66_000))), draw(st.integers(0, 9))
        mac = draw(st.sampled_from((68, 82, 96)))
        tag = draw(st.sampled_from((None, None, 0, 1, 0xFFF, 0xE123)))
        ts = draw(st.sampled_from((0, 1_700_000_000, 2**32 - 1))), draw(st.integers(0, 999_999_999))
        # The header after it lies at a multiple of eight; the last says that there is none.
        step = 0 if place == count - 1 else (mac + size + 7) // 8 * 8
        frames.append(header(step, bytes(size), mac, size + more, tag, draw(st.integers(0, 4)), ts).ljust(step, b"\0"))
    data = b"".join(frames)
    return data[: len(data) - draw(st.sampled_from((0, 0, 1, 2, 30, 90)))], count


def from_ring(data: bytes, frames: int, skip_outgoing: bool, limit: int) -> list[naive.Record]:
    """What the kernel says of the block ``data``, ``limit`` frames at a time; it stands between two guards."""
    batch = PacketBatch(np.frombuffer(GUARD + data + GUARD, np.uint8).copy(), limit)
    state, found = np.zeros(4, np.int64), list[naive.Record]()
    at, left, stop = len(GUARD), frames, len(GUARD) + len(data)
    while left > 0:
        ix.index_ring_block(batch.data, at, left, stop, 1, 3, skip_outgoing, limit, *batch.columns, state)
        at, left = int(state[ix.NEXT]), int(state[ix.STATUS])
        found += records_of(batch, int(state[ix.COUNT]))
    # Cut here, or by the kernel before; the tag that it took out counts in the length alone.
    cut = [one.caplen == naive.FRAME_MAX or one.caplen < one.wirelen - (4 if one.vlan else 0) for one in found]
    assert int(state[ix.CUT]) == sum(cut)
    for item in found:
        item.at -= len(GUARD)
    return found


@given(ring_blocks(), st.booleans(), st.integers(1, 4))
@settings(max_examples=400)
def test_a_ring_block_is_the_twins(made: tuple[bytes, int], skip: bool, limit: int) -> None:
    data, frames = made
    assert from_ring(data, frames, skip, limit) == naive.index_ring(data, 0, frames, 1, 3, skip)


@given(
    ring_blocks(), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6), st.integers(0, 10),
    st.booleans(), st.integers(1, 4),
)  # fmt: skip
@settings(max_examples=400)
def test_a_ring_block_that_lies_is_the_twins(
    made: tuple[bytes, int], lies: list[tuple[int, int]], frames: int, skip: bool, limit: int
) -> None:
    data = bytearray(made[0] or bytes(200))
    for place, value in lies:
        data[place % len(data)] = value
    assert from_ring(bytes(data), frames, skip, limit) == naive.index_ring(bytes(data), 0, frames, 1, 3, skip)


@given(st.binary(max_size=400), st.integers(0, 9), st.booleans(), st.integers(1, 4))
def test_any_bytes_of_a_ring_are_the_twins(data: bytes, frames: int, skip: bool, limit: int) -> None:
    assert from_ring(data, frames, skip, limit) == naive.index_ring(data, 0, frames, 1, 3, skip)


def test_no_frame_follows_the_last_of_a_block() -> None:
    data = header(0, b"x" * 20, 68, 20, None, 0, (1, 0))
    assert len(from_ring(data, 3, False, 4)) == 1


def test_a_tag_does_not_carry_a_length_over_its_word() -> None:
    data = header(0, b"x" * 20, 68, 2**32 - 3, 5, 0, (1, 0))
    (found,) = from_ring(data, 1, False, 4)
    assert found.wirelen == 2**32 - 1
