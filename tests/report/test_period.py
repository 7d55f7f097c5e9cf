"""Periods: ends, steps of charts, days on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import QueryError
from nsm.report.period import DAY_US, HOUR_US, MINUTE_US, US, Period, local_zone, period

NOW = int(datetime(2025, 11, 21, 14, 30, 25, tzinfo=UTC).timestamp()) * US


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * US


def test_the_default_is_the_last_day_in_whole_minutes() -> None:
    made = period(None, None, None, NOW, "UTC")
    assert (made.start_us, made.stop_us) == (us("2025-11-20T14:30:00Z"), us("2025-11-21T14:30:00Z"))
    assert made.previous() == Period(made.start_us - DAY_US, made.start_us, "UTC")


def test_times_without_a_zone_are_of_the_report() -> None:
    made = period(None, "2025-11-20 00:00", "today", NOW, "Europe/Berlin")
    assert made.start_us == us("2025-11-19T23:00:00Z")
    assert made.stop_us == us("2025-11-20T23:00:00Z")
    assert period(None, "yesterday 12:00", None, NOW, "UTC").stop_us == us("2025-11-21T14:30:00Z")


@pytest.mark.parametrize(("day", "hours"), [("2025-10-26", 25), ("2025-03-30", 23), ("2025-06-01", 24)])
def test_a_day_has_as_many_hours_as_its_clocks_say(day: str, hours: int) -> None:
    zone = Period(0, 1, "Europe/Berlin").info
    first = datetime.fromisoformat(day).replace(tzinfo=zone)
    last = datetime.fromordinal(first.toordinal() + 1).replace(tzinfo=zone)
    one = Period(int(first.timestamp()) * US, int(last.timestamp()) * US, "Europe/Berlin")
    assert len(one.steps()) == hours
    week = Period(one.start_us - 7 * DAY_US, one.stop_us + 7 * DAY_US, "Europe/Berlin")
    assert (one.start_us, one.stop_us) in week.steps()  # one bar of 23, 24 or 25 hours


@pytest.mark.parametrize(("zone", "step_s"), [("UTC", 3600), ("Asia/Kolkata", 1800), ("Asia/Kathmandu", 900)])
def test_sums_are_made_in_steps_that_fit_the_zone(zone: str, step_s: int) -> None:
    made = period("7d", None, None, NOW, zone)
    assert made.step_s == step_s
    assert all((start % (step_s * US) == 0) for start, _ in made.steps()[1:])


@given(
    start=st.integers(0, 2_000_000_000 // 60), minutes=st.integers(1, 92 * 1440),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)  # fmt: skip
def test_steps_cover_the_period_once_and_are_whole_inside(start: int, minutes: int, zone: str) -> None:
    made = Period(start * MINUTE_US, (start + minutes) * MINUTE_US, zone)
    steps = made.steps()
    assert steps[0][0] == made.start_us
    assert steps[-1][1] == made.stop_us
    assert all(first[1] == then[0] for first, then in pairwise(steps))
    assert all(begin < end for begin, end in steps)
    assert len(steps) <= 98
    if made.unit == "day":
        assert all(made.local(begin).hour == made.local(begin).minute == 0 for begin, _ in steps[1:])
        assert all(22 * HOUR_US < end - begin < 26 * HOUR_US for begin, end in steps[1:-1])


@pytest.mark.parametrize(
    ("last", "start", "stop", "said"),
    [
        ("soon", None, None, "not a duration"), ("1d", "yesterday", None, "exclude each other"),
        (None, "2025-11-22", None, "ends before it begins"), (None, None, "today", "--to needs --from"),
        ("2000d", None, None, "longer than 92 days"), (None, "whenever", None, "not a time"),
    ],
)  # fmt: skip
def test_what_is_no_period_is_refused(last: str | None, start: str | None, stop: str | None, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        period(last, start, stop, NOW, "UTC")


def test_a_zone_that_there_is_not_is_refused() -> None:
    with pytest.raises(QueryError, match="no time zone 'Mars/Olympus'"):
        period("1d", None, None, NOW, "Mars/Olympus")
    with pytest.raises(QueryError, match="no time zone"):
        period("1d", None, None, NOW, "../../etc/passwd")


def test_the_zone_of_the_machine_is_known_by_name(tmp_path: Path) -> None:
    assert local_zone({"TZ": "Europe/Paris"}, tmp_path / "none") == "Europe/Paris"
    assert local_zone({"TZ": "nonsense"}, tmp_path / "none") == "UTC"
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Europe/Rome")
    assert local_zone({}, link) in ("Europe/Rome", "UTC")
