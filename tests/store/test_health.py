"""Kept figures: by minute, bounded in time and in names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nsm.store import health
from nsm.store.health import HealthStore

DAY = 86_400


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HealthStore]:
    made = HealthStore(tmp_path)
    yield made
    made.close()


def test_values_come_back_by_name_and_step(store: HealthStore) -> None:
    for minute in range(10):
        store.add(60 * minute, {"a.x": float(minute), "a.y": None, "b": 1.0}, 30)
    assert store.series("a.", 0, 600) == {"a.x": [(60 * n, float(n)) for n in range(10)]}
    assert store.series("a.", 0, 600, 300) == {"a.x": [(0, 2.0), (300, 7.0)]}
    assert store.series("a.", 120, 240)["a.x"] == [(120, 2.0), (180, 3.0)]
    assert set(store.series("", 0, 600)) == {"a.x", "b"}
    assert store.series("%", 0, 600) == {}  # no pattern


def test_old_values_leave(store: HealthStore) -> None:
    store.add(0, {"a": 1.0}, 30)
    store.add(30 * DAY, {"a": 2.0}, 30)
    assert len(store.series("a", 0, 40 * DAY)["a"]) == 2
    store.add(30 * DAY + 60, {"a": 3.0}, 30)
    assert store.series("a", 0, 2 * DAY) == {}


def test_a_minute_that_is_written_again_is_replaced(store: HealthStore) -> None:
    store.add(60, {"a": 1.0}, 30)
    store.add(60, {"a": 5.0}, 30)
    assert store.series("a", 0, 120) == {"a": [(60, 5.0)]}


def test_names_are_bounded_and_those_without_values_make_room(
    store: HealthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "SERIES_MAX", 3)
    store.add(0, {f"n{n}": 1.0 for n in range(5)}, 1)
    assert store.refused == 2
    assert set(store.series("n", 0, 60)) == {"n0", "n1", "n2"}
    store.add(3 * DAY, {"n0": 1.0}, 1)  # the others have no values any more
    store.add(3 * DAY + 60, {"new": 1.0}, 1)
    assert set(store.series("n", 0, 9 * DAY)) == {"n0", "new"}


def test_a_long_time_is_thinned(store: HealthStore) -> None:
    store.add(0, {"a": 1.0}, 365)
    found = store.series("a", 0, 365 * DAY)
    assert found == {"a": [(0, 1.0)]}


def test_interruptions_are_read(store: HealthStore) -> None:
    store._connection.execute("INSERT INTO gap(start_us, stop_us, process, what, packets) VALUES (5, 9, 'p', 'w', 0)")
    assert store.gaps_since(0) == [(5, 9, "p", "w")]
    assert store.gaps_since(10) == []
