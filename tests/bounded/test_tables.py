"""Dictionaries with a bound: what leaves, what is refused, what is counted."""

from __future__ import annotations

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from nsm.bounded.tables import LruDict, RefusingDict


@given(st.lists(st.integers(0, 12)), st.integers(1, 6))
def test_the_least_recently_used_leaves(keys: list[int], size: int) -> None:
    table: LruDict[int, list[int]] = LruDict(size, list)
    model: OrderedDict[int, list[int]] = OrderedDict()
    gone = 0
    for place, key in enumerate(keys):
        table[key].append(place)
        model.setdefault(key, []).append(place)
        model.move_to_end(key)
        if len(model) > size:
            model.popitem(last=False)
            gone += 1
        assert len(table) <= size
    assert list(table) == list(model)
    assert {key: table.get(key) for key in table} == dict(model)
    assert table.evicted == gone


def test_looking_is_no_use() -> None:
    table: LruDict[str, list[int]] = LruDict(2, list)
    table["a"], table["b"]
    assert table.get("a") == []
    assert "a" in table
    table["c"]
    assert "a" not in table
    assert table.get("a") is None


def test_new_keys_are_refused_when_it_is_full_and_old_ones_served() -> None:
    table: RefusingDict[int, list[int]] = RefusingDict(3, list, idle=80)
    for key in range(10):
        assert (table.get(key, 1) is None) == (key >= 3)
    assert (len(table), table.refused) == (3, 7)
    assert table.get(0, 2) is table.peek(0)
    assert table.peek(9) is None


def test_idle_keys_make_room_and_busy_ones_stay() -> None:
    table: RefusingDict[int, list[int]] = RefusingDict(3, list, idle=80)
    for key in range(3):
        table.get(key, 1)
    table.get(2, 70)
    assert table.get(9, 100) is not None
    assert sorted(key for key in range(10) if key in table) == [2, 9]
    assert table.refused == 0


def test_a_flood_of_keys_sweeps_seldom() -> None:
    looked = 0

    class Counting(RefusingDict[int, list[int]]):
        def _sweep(self, now: int) -> None:
            nonlocal looked
            before = self._swept
            super()._sweep(now)
            looked += self._swept != before

    table = Counting(3, list, idle=800)
    for now in range(1, 1_001):
        table.get(now, now)
    assert looked <= 11
    assert len(table) <= 3
