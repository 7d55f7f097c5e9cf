"""Reassembly: whatever the order, the bytes of a stream come once and in order; what came first is kept."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nsm.track.reassembly import HELD_SEGMENTS_MAX, Reassembly

FIRST = 0xFFFFFFF0  # numbers wrap within the streams of these tests


def told(order: Reassembly, *segments: tuple[int, bytes]) -> list[bytes | int]:
    found: list[bytes | int] = []
    for at, data in segments:
        found += order.segment((FIRST + at) & 0xFFFFFFFF, data, len(data))
    return found


def joined(pieces: list[bytes | int]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else b"?" * piece for piece in pieces)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_segments_in_any_order_and_more_than_once_give_the_stream(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=8))})
    parts = [(start, stream[start:stop]) for start, stop in itertools.pairwise(cuts)]
    extra = data.draw(st.lists(st.tuples(st.integers(0, len(stream) - 1), st.integers(1, 40)), max_size=5))
    parts += [(at, stream[at : at + size]) for at, size in extra]
    order = Reassembly(FIRST)
    pieces = told(order, *data.draw(st.permutations(parts)))
    assert joined(pieces) == stream
    assert order.whole
    assert order.held_bytes == order.conflicts == 0
    assert order.expected == (FIRST + len(stream)) & 0xFFFFFFFF


def test_what_came_first_is_kept_and_the_difference_counted() -> None:
    order = Reassembly(FIRST)
    assert told(order, (4, b"EFGH"), (2, b"cdxx"), (0, b"ab")) == [b"ab", b"cd", b"EFGH"]
    assert order.conflicts == 1


def test_a_hole_that_was_acknowledged_is_a_gap_and_one_that_was_not_is_waited_for() -> None:
    order = Reassembly(FIRST)
    assert told(order, (10, b"later")) == []
    assert list(order.acknowledged((FIRST + 10) & 0xFFFFFFFF)) == [10, b"later"]
    assert told(order, (0, b"too late!!")) == []


def test_too_much_that_waits_gives_a_hole_up() -> None:
    order = Reassembly(FIRST)
    pieces = told(order, *((10 + 2 * n, b"x") for n in range(HELD_SEGMENTS_MAX + 1)))
    assert pieces[0] == 10
    assert len(pieces) > 1


def test_at_the_end_what_waits_comes_with_its_gaps() -> None:
    order = Reassembly(FIRST)
    assert told(order, (3, b"d"), (6, b"g")) == []
    assert list(order.flush()) == [3, b"d", 2, b"g"]
    assert order.whole


def test_a_segment_cut_by_the_snaplen_leaves_a_gap() -> None:
    order = Reassembly(FIRST)
    assert list(order.segment(FIRST, b"abc", 10)) == [b"abc", 7]
    assert told(order, (10, b"k")) == [b"k"]


def test_bytes_that_wait_for_their_acknowledgement_come_with_it() -> None:
    order = Reassembly(FIRST, acked=True)
    assert told(order, (0, b"abc"), (3, b"def")) == []
    assert list(order.acknowledged((FIRST + 4) & 0xFFFFFFFF)) == [b"abc", b"d"]
    assert list(order.flush()) == [b"ef"]
