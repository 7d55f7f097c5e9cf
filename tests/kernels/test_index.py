"""Where packets lie: classic pcap beside its twin, pcapng beside what was written, and times of every resolution."""

from __future__ import annotations

import io
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


def indexed(data: bytes, big: bool, unit: int, limit: int, link: int = 1) -> tuple[list[naive.Record], str]:
    """What the kernel says, ``limit`` packets at a time; a guard stands behind the data."""
    batch = PacketBatch(np.frombuffer(data + GUARD, np.uint8).copy(), limit)
    state, at, found = np.zeros(4, np.int64), 0, []
    while True:
        ix.index_pcap(batch.data, at, len(data), big, 16, unit, link, limit, *batch.columns, state)
        at = int(state[ix.NEXT])
        found += [
            naive.Record(*(int(column[i]) for column in (
                batch.ts_ns, batch.offset, batch.caplen, batch.wirelen, batch.links, batch.ifaces)))
            for i in range(int(state[ix.COUNT]))
        ]  # fmt: skip
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
