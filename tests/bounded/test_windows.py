"""Distinct things in the last so many seconds, beside a list that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsm.bounded.windows import SECOND_US, DistinctWindows, Ladder

STEPS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=60)


@given(STEPS, st.integers(1, 20))
def test_counts_are_exact_while_there_is_room(steps: list[tuple[int, int]], span: int) -> None:
    seen: dict[int, int] = {}
    windows, now = DistinctWindows(100), 1
    for item, gap in steps:
        now += gap
        assert windows.add(item, now) == (item not in seen)
        seen[item] = now
    expected = sum(1 for last in seen.values() if last >= now - span)
    assert windows.within(span, 1_000) == expected
    assert windows.within(span, 3) == min(expected, 3)
    assert (len(windows), windows.total) == (len(seen), len(seen))


@given(STEPS, st.integers(1, 10))
def test_it_never_holds_more_than_it_may(steps: list[tuple[int, int]], most: int) -> None:
    windows, now = DistinctWindows(most), 1
    for item, gap in steps:
        now += gap
        windows.add(item, now)
        assert len(windows) <= most
        assert windows.items()[-1] == item


def test_what_is_taken_back_does_not_count() -> None:
    windows = DistinctWindows(10)
    windows.add("a", 1)
    windows.add("b", 2)
    windows.discard("a")
    windows.discard("never there")
    assert (len(windows), windows.total, windows.items()) == (1, 1, ["b"])


def test_a_ladder_names_the_first_step_that_is_reached() -> None:
    ladder = Ladder(((1, 5), (60, 8)))
    fast, slow = DistinctWindows(100), DistinctWindows(100)
    for number in range(8):
        fast.add(number, 1 + number)
        slow.add(number, 1 + number * 5 * SECOND_US)
    assert ladder.lowest == 5
    assert ladder.reached(fast, 1) == (1, 5, 8)
    assert ladder.reached(slow, 1) == (60, 8, 8)
    assert ladder.reached(fast, 2) is None
    assert ladder.near(slow) == (60, 8, 2)


def test_nothing_is_near_before_there_are_two() -> None:
    windows = DistinctWindows(10)
    windows.add(1, 1)
    assert Ladder(((1, 4),)).near(windows) is None
    windows.add(2, 2)
    assert Ladder(((1, 4),)).near(windows) == (1, 4, 2)
