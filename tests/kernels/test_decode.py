"""Decoding beside its twin: built frames, nested, cut and flipped, on every link type; and nothing is read beyond the end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nsm.decode.rows import Decoder
from nsm.decode.settings import DecodeSettings
from tests.kernels import naive
from tests.kernels.feeding import batch_of, decoded
from tests.kernels.frames import SYN, ether, framed, icmp_ip, ip, tcp_ip, udp_ip
from tests.kernels.naive import Row

A4, B4, A6, B6 = "10.0.0.1", "198.51.100.2", "2001:db8::1", "fd00::2"
LINKS = (0, 1, 9, 12, 50, 51, 101, 104, 108, 113, 228, 229, 276)
TCP4, UDP6 = tcp_ip(A4, B4, 1_000, 80, SYN, b"hello"), udp_ip(A6, B6, 53, 4_000, b"answer")


def kind_of(packet: bytes) -> int:
    return 0x86DD if packet[0] >> 4 == 6 else 0x0800


def behind(link: int, packet: bytes) -> bytes:
    """A packet behind the header of a link type."""
    ethertype = struct.pack(">H", kind_of(packet))
    point = b"\0\x57" if packet[0] >> 4 == 6 else b"\0\x21"
    return {
        0: (b"\x1e" if packet[0] >> 4 == 6 else b"\x02") + bytes(3), 1: bytes(12) + ethertype, 9: b"\xff\x03" + point,
        50: b"\x0f\0" + ethertype, 51: b"\x11\0\0\x01\0\x40" + point, 104: b"\x0f\0" + ethertype,
        108: bytes(3) + (b"\x1e" if packet[0] >> 4 == 6 else b"\x02"), 113: bytes(14) + ethertype,
        276: ethertype + bytes(18),
    }.get(link, b"") + packet  # fmt: skip


WRAPPERS: tuple[Callable[[bytes], bytes], ...] = (
    lambda p: ip(A4, B4, 4 if p[0] >> 4 == 4 else 41, p),
    lambda p: ip(A6, B6, 4 if p[0] >> 4 == 4 else 41, p),
    lambda p: ip(A4, B4, 47, struct.pack(">HH", 0, kind_of(p)) + p),
    lambda p: ip(A4, B4, 47, struct.pack(">HHII", 0x3000, kind_of(p), 7, 9) + p),
    lambda p: ip(A4, B4, 47, struct.pack(">HHI", 0x8000, 0x6558, 0) + framed(p)),
    lambda p: ip(A4, B4, 47, struct.pack(">HHI", 0x1000, 0x88BE, 1) + bytes(8) + framed(p)),
    lambda p: ip(A4, B4, 47, struct.pack(">HHI", 0x1000, 0x22EB, 1) + bytes(12) + framed(p)),
    lambda p: ip(A4, B4, 47, struct.pack(">HHIII", 0x3081, 0x880B, len(p), 1, 2) + b"\xff\x03\0\x21" + p),
    lambda p: udp_ip(A4, B4, 4_000, 4_789, b"\x08" + bytes(7) + framed(p)),
    lambda p: udp_ip(A4, B4, 4_000, 6_081, struct.pack(">BBHI", 1, 0, 0x6558, 0) + bytes(4) + framed(p)),
    lambda p: udp_ip(A4, B4, 2_152, 2_152, b"\x30\xff" + bytes(6) + p),
    lambda p: udp_ip(A4, B4, 2_152, 2_152, b"\x34\xff" + bytes(6) + b"\0\0\0\x85\x01\0\0\0" + p),
    lambda p: udp_ip(A4, B4, 4_000, 3_544, b"\0\1\0\0" + bytes(9) + bytes(8) + p),
    lambda p: ip(A6, B6, 0, struct.pack(">BB", 60, 0) + bytes(6) + struct.pack(">BB", 41, 1) + bytes(14) + p),
)  # fmt: skip

PACKETS: tuple[bytes, ...] = (
    TCP4, UDP6, tcp_ip(A6, B6, 4_000, 22, SYN), udp_ip(B4, A4, 5_353, 5_353, bytes(5_000)),
    icmp_ip(A4, B4, 8, 0, body=bytes(1_200)),
    icmp_ip(B4, A4, 3, 3, bytes(4), TCP4), icmp_ip(B6, A6, 1, 4, bytes(4), UDP6), icmp_ip(A6, B6, 135, 0),
    ip(A4, B4, 17, bytes(40), fragment=0x2000), ip(A4, B4, 17, bytes(40), fragment=5), ip(A4, B4, 132, bytes(16)),
    ip(A6, B6, 44, struct.pack(">BBHI", 17, 0, 1, 9) + bytes(24)),
    ip(A6, B6, 44, struct.pack(">BBHI", 17, 0, 0x41, 9) + bytes(24)),
    ip(A6, B6, 51, struct.pack(">BB", 6, 4) + bytes(22) + TCP4[20:]), ip(A4, B4, 6, TCP4[20:], options=bytes(8)),
    ip(A4, B4, 89, b"x"),
)  # fmt: skip


def twin(frames: list[bytes], link: int, wires: list[int], tags: list[int]) -> list[tuple[int, Row]]:
    return [
        (place, row)
        for place, frame in enumerate(frames)
        for row in naive.decode(frame, wires[place], link, tags[place])
    ]


def assert_twin(
    frames: list[bytes], link: int = 1, wires: list[int] | None = None, tags: list[int] | None = None
) -> None:
    wires, tags = wires or [len(frame) for frame in frames], tags or [0] * len(frames)
    assert decoded(batch_of(frames, link, wires, tags)) == twin(frames, link, wires, tags)


@pytest.mark.parametrize("link", LINKS)
def test_every_packet_on_every_link(link: int) -> None:
    assert_twin([behind(link, packet) for packet in PACKETS], link)


@pytest.mark.parametrize("link", LINKS)
def test_every_cut_of_a_packet(link: int) -> None:
    for packet in (TCP4, UDP6, PACKETS[5], PACKETS[11]):
        whole = behind(link, packet)
        cuts = [whole[:size] for size in range(len(whole) + 1)]
        assert_twin(cuts, link)  # short on the wire too
        assert_twin(cuts, link, [len(whole)] * len(cuts))  # cut by the capture


@pytest.mark.parametrize("wrap", range(len(WRAPPERS)))
def test_every_tunnel_whole_and_cut(wrap: int) -> None:
    for packet in {7: (TCP4,), 12: (UDP6,), 13: (UDP6,)}.get(wrap, (TCP4, UDP6)):  # some carry one version alone
        whole = framed(WRAPPERS[wrap](packet))
        assert [row.kind for _, row in decoded(batch_of([whole]))] == ["outer", "flow"]
        cuts = [whole[:size] for size in range(len(whole) + 1)]
        assert_twin(cuts, wires=[len(whole)] * len(cuts))
        assert_twin(cuts)


def test_tags_labels_and_sessions() -> None:
    top, last = (struct.pack(">I", 0x00064000 | bottom << 8 | 64) for bottom in (0, 1))
    frames = [
        ether(TCP4, 0x0800, (5,)), ether(TCP4, 0x0800, (5, 6)), ether(TCP4, 0x0800, (5, 6, 7)),
        ether(top + last + TCP4, 0x8847), ether(last + bytes(4) + framed(TCP4), 0x8847),
        ether(b"\x11\0\0\x01\0\x40\0\x21" + TCP4, 0x8864), ether(b"\xaa\xaa\x03\0\0\0\x08\0" + TCP4, 50),
        ether(top * 9, 0x8847), ether(bytes(28), 0x0806), ether(b"\x42" * 40, 0x88CC), ether(b"", 0x8100),
    ]  # fmt: skip
    assert_twin(frames)
    assert_twin(frames, tags=[0x1000 + 42] * len(frames))


def test_four_tunnels_are_walked_and_no_fifth() -> None:
    packet = TCP4
    for depth in range(1, 8):
        packet = ip(A4, B4, 4, packet)
        rows = [row for _, row in decoded(batch_of([framed(packet)]))]
        assert_twin([framed(packet)])
        assert len(rows) == min(depth, 4) + 1
        assert ("decoder.too_many_layers" in rows[-1].bad) == (depth > 4)


def test_both_directions_of_a_flow_meet() -> None:
    pairs = [
        (tcp_ip(A4, B4, 1, 2, SYN), tcp_ip(B4, A4, 2, 1, SYN)), (udp_ip(A6, B6, 9, 8), udp_ip(B6, A6, 8, 9)),
        (udp_ip(A4, A4, 9, 8), udp_ip(A4, A4, 8, 9)), (icmp_ip(A4, B4, 8, 0), icmp_ip(B4, A4, 0, 0)),
        (icmp_ip(A6, B6, 128, 0), icmp_ip(B6, A6, 129, 0)),
    ]  # fmt: skip
    for there, back in pairs:
        batch = batch_of([framed(there), framed(back)])
        for seed in (0, 1 << 40):
            with np.errstate(over="ignore"):
                decoder = Decoder(DecodeSettings(), 64, seed)
                decoder.decode(batch, 0)
            rows = decoder.rows
            for name in ("key", "hashes", "a_hi", "a_lo", "b_hi", "b_lo"):
                assert getattr(rows, name)[0] == getattr(rows, name)[1], name
            assert rows.direction[0] != rows.direction[1]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[int, bytes, int, int]:
    """(link, frame, length on the wire, tag): a packet in some tunnels, then bytes flipped and the end cut."""
    packet = draw(st.sampled_from(PACKETS))
    for wrap in draw(st.lists(st.sampled_from(WRAPPERS), max_size=3)):
        packet = wrap(packet) if len(packet) < 3_000 else packet
    link = draw(st.sampled_from(LINKS))
    frame = bytearray(behind(link, packet))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, min(len(frame), 200) - 1))
        frame[place] = draw(st.one_of(st.integers(0, 255), st.sampled_from((0, 0xFF, 0x45, 0x60))))
    whole = len(frame)
    cut = draw(st.one_of(st.just(whole), st.integers(0, whole)))
    wire = draw(st.sampled_from((cut, whole, whole + 4)))
    return link, bytes(frame[:cut]), max(wire, cut), draw(st.sampled_from((0, 0x1005)))


@given(st.lists(damaged(), min_size=1, max_size=8))
@settings(max_examples=300)
def test_damaged_frames(items: list[tuple[int, bytes, int, int]]) -> None:
    for link, frame, wire, tag in items:
        assert_twin([frame], link, [wire], [tag])


@given(st.lists(st.binary(max_size=120), min_size=1, max_size=10), st.sampled_from(LINKS))
@example([b""], 1)
def test_any_bytes(frames: list[bytes], link: int) -> None:
    assert_twin(frames, link)


@given(st.lists(damaged(), min_size=2, max_size=30), st.integers(0, 2**40))
@settings(max_examples=50)
def test_neighbours_and_the_seed_change_nothing(items: list[tuple[int, bytes, int, int]], seed: int) -> None:
    frames, wires, tags = [item[1] for item in items], [item[2] for item in items], [item[3] for item in items]
    together: Any = decoded(batch_of(frames, 1, wires, tags), seed=seed)
    assert together == twin(frames, 1, wires, tags)


@given(st.lists(st.sampled_from(PACKETS), min_size=1, max_size=6), st.data())
@settings(max_examples=100)
def test_checksums(packets: list[bytes], data: st.DataObject) -> None:
    frames = []
    for packet in packets:
        frame = bytearray(framed(packet))
        if data.draw(st.booleans()):
            frame[data.draw(st.integers(14, min(len(frame), 90) - 1))] ^= data.draw(st.integers(1, 255))
        frames.append(bytes(frame))
    expected = twin(frames, 1, [len(frame) for frame in frames], [0] * len(frames))
    for place, row in expected:
        if row.kind in ("flow", "outer"):
            row.bad |= naive.checksums(frames[place], row)
    assert decoded(batch_of(frames), checksums=True) == expected
