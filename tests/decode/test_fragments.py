"""Fragments become datagrams, in any order, overlapping or not; what is never whole is given up and counted."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.decode.fragments import DATAGRAMS_MAX, WAIT_NS, Fragments
from tests.kernels.frames import ip

BODY = bytes(range(256)) * 8


def pieces(size: int, version: int = 4, number: int = 7) -> list[bytes]:
    """BODY in fragments of so many bytes, as IP packets."""
    made = []
    for at in range(0, len(BODY), size):
        part = BODY[at : at + size]
        more = at + size < len(BODY)
        if version == 4:
            packet = bytearray(ip("10.0.0.1", "10.0.0.2", 17, part, fragment=at // 8 | (0x2000 if more else 0)))
            struct.pack_into(">H", packet, 4, number)
        else:
            head = b"\x60\0\0\0" + struct.pack(">HBB", len(part) + 8, 44, 64) + bytes(15) + b"\1" + bytes(15) + b"\2"
            packet = bytearray(head + struct.pack(">BBHI", 17, 0, at | int(more), number) + part)
        made.append(bytes(packet))
    return made


def whole(packets: list[bytes]) -> list[bytes]:
    fragments = Fragments()
    return [found for packet in packets if (found := fragments.add(packet, 0, 0)) is not None]


@given(st.sampled_from((4, 6)), st.sampled_from((8, 64, 520)), st.randoms())
@settings(max_examples=40)
def test_in_any_order_the_datagram_is_whole_at_its_last_piece(version: int, size: int, random: object) -> None:
    packets = pieces(size, version)
    random.shuffle(packets)  # type: ignore[attr-defined]
    (found,) = whole(packets)
    assert found.endswith(BODY)
    head = found[: -len(BODY)]
    if version == 4:
        assert (len(head), struct.unpack_from(">H", head, 2)[0], head[6:8]) == (20, len(found), b"\0\0")
        assert sum(struct.unpack(">10H", head)) % 0xFFFF == 0
    else:
        assert (len(head), struct.unpack_from(">H", head, 4)[0], head[6]) == (40, len(BODY), 17)


def test_where_pieces_overlap_the_first_is_kept() -> None:
    first = ip("10.0.0.1", "10.0.0.2", 17, b"A" * 16, fragment=0x2000)
    second = ip("10.0.0.1", "10.0.0.2", 17, b"B" * 16, fragment=1)
    (found,) = whole([first, second])
    assert found.endswith(b"A" * 16 + b"B" * 8)


def test_datagrams_of_other_hosts_numbers_and_tags_are_not_mixed() -> None:
    fragments = Fragments()
    start, end = pieces(1_024)
    other = pieces(1_024, number=8)[1]
    assert fragments.add(start, 1, 0) is None
    assert fragments.add(end, 2, 0) is None
    assert fragments.add(other, 1, 0) is None
    assert fragments.add(end, 1, 0) is not None


def test_a_datagram_that_takes_too_long_begins_anew_and_too_many_push_the_oldest_out() -> None:
    fragments = Fragments()
    start, end = pieces(1_024)
    fragments.add(start, 0, 0)
    assert fragments.add(end, 0, WAIT_NS + 1) is None
    assert fragments.given_up == 1
    for number in range(DATAGRAMS_MAX + 5):
        fragments.add(pieces(1_024, number=number % 65_536)[0], number // 65_536 + 1, 0)
    assert fragments.given_up == 1 + 6


@given(st.lists(st.binary(max_size=120), max_size=6))
def test_any_bytes_are_taken(packets: list[bytes]) -> None:
    for found in whole(packets):
        assert len(found) <= 65_535


def test_a_packet_longer_than_ip_can_be_is_given_up() -> None:
    fragments = Fragments()
    assert fragments.add(ip("10.0.0.1", "10.0.0.2", 17, b"x" * 64, fragment=0x1FFF), 0, 0) is None
    assert fragments.given_up == 1
