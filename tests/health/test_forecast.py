"""Days until the disk is full."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.health.forecast import DAY_S, POINTS_MAX, forecast, slope, without_deletions

GB = 1e9


def hours(days: float, gb_a_day: float, begin: float = 100.0) -> list[tuple[float, float]]:
    return [(n * 3600.0, (begin + gb_a_day * n / 24) * GB) for n in range(int(days * 24) + 1)]


points = st.lists(st.tuples(st.integers(0, 10_000), st.integers(-1_000, 1_000)), max_size=40)


@given(points)
def test_the_slope_is_the_median_of_all_slopes(points: list[tuple[int, int]]) -> None:
    given = [(float(x), float(y)) for x, y in points]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for n, a in enumerate(given) for b in given[:n] if a[0] != b[0]]
    assert slope(given) == (pytest.approx(median(slopes)) if slopes else None)


def test_wild_hours_do_not_bend_it() -> None:
    line = hours(7, 10)
    wild = [(x, y * 5 if n % 5 == 0 else y) for n, (x, y) in enumerate(line)]
    found = forecast(wild, 50 * GB, 500 * GB)
    assert found.bytes_a_day == pytest.approx(10 * GB, rel=0.05)


def test_many_points_are_thinned_evenly() -> None:
    line = [(float(n), 3.0 * n) for n in range(POINTS_MAX * 20)]
    assert slope(line) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("free", "level"), [(200.0, "ok"), (139.0, "warn"), (31.0, "warn"), (29.0, "critical"), (20.0, "critical")]
)
def test_days_and_levels(free: float, level: str) -> None:
    found = forecast(hours(7, 10), free * GB, 500 * GB)
    assert found.days_left == pytest.approx(free / 10)
    assert found.level == level


def test_a_reserve_is_not_free() -> None:
    found = forecast(hours(7, 10), 100 * GB, 500 * GB, reserve_bytes=40 * GB)
    assert found.days_left == pytest.approx(6)


def test_no_forecast_under_a_day_or_when_nothing_grows() -> None:
    assert forecast(hours(0.9, 10), 10 * GB, 100 * GB).days_left is None
    assert forecast([], 10 * GB, 100 * GB).reason == "less than a day of figures"
    flat = forecast(hours(3, 0), 10 * GB, 100 * GB)
    assert (flat.days_left, flat.level) == (None, "ok")
    assert forecast(hours(3, -5), 1 * GB, 100 * GB).level == "critical"  # 1 % free, growing or not


def test_what_was_deleted_is_added_back() -> None:
    deleted = [(n * 3600.0, (0 if n < 48 else 30) * GB) for n in range(24 * 5)]
    used = [(x, y - (0 if x < 48 * 3600 else 30 * GB)) for x, y in hours(4.9, 10)]
    whole = without_deletions(used, deleted)
    assert [y for _, y in whole] == pytest.approx([y for _, y in hours(4.9, 10)])
    assert forecast(whole, 100 * GB, 500 * GB).days_left == pytest.approx(10)


def test_a_counter_that_goes_back_began_anew() -> None:
    deleted = [(0.0, 0.0), (1.0, 10.0), (2.0, 0.0), (3.0, 5.0)]
    used = [(float(n), 100.0) for n in range(5)]
    assert [y for _, y in without_deletions(used, deleted)] == [100, 110, 110, 115, 115]


def test_only_the_last_week_counts() -> None:
    line = hours(14, 10)
    jumped = [(x, y + (1_000 * GB if x > 3 * DAY_S else 0)) for x, y in line]
    assert forecast(jumped, 100 * GB, 9_000 * GB).bytes_a_day == pytest.approx(10 * GB)
