"""The time that a report is about, and how it is cut into steps of a chart.

Ends are whole minutes, so that sums kept by the minute fit to raw rows. Hours and days are those of the report's time zone: on
the days when clocks change a day has 23 or 25 hours, and so has its bar.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from nsm.errors import QueryError
from nsm.store.moments import moment_us, span_us

US: Final = 1_000_000
MINUTE_US: Final = 60 * US
HOUR_US: Final = 3_600 * US
DAY_US: Final = 24 * HOUR_US
FINE_US: Final = 6 * HOUR_US  # ours: up to here charts have steps of five minutes
HOURLY_US: Final = 4 * DAY_US + HOUR_US  # ours: up to here they have hours, above days; 97 points at most
LONGEST_US: Final = 92 * DAY_US  # ours: a quarter
DEFAULT: Final = "24h"


class Period(msgspec.Struct, frozen=True):
    """start <= t < stop in us UTC, both whole minutes; ``zone`` is a name of the IANA database."""

    start_us: int
    stop_us: int
    zone: str = "UTC"

    @property
    def info(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.zone)

    @property
    def length_us(self) -> int:
        """How long it is."""
        return self.stop_us - self.start_us

    def previous(self) -> Period:
        """The same length right before."""
        return Period(self.start_us - self.length_us, self.start_us, self.zone)

    @property
    def step_s(self) -> int:
        """Steps that sums are made in, such that every step of a chart is a sum of them.

        Zones with an offset of half or three quarters of an hour need steps of that size.
        """
        if self.length_us <= FINE_US:
            return 300
        offsets = {
            int((self.local(us).utcoffset() or timedelta()).total_seconds()) for us in (self.start_us, self.stop_us)
        }
        return next(step for step in (3_600, 1_800, 900, 300, 60) if all(offset % step == 0 for offset in offsets))

    def local(self, us: int) -> datetime:
        """That moment in the time zone."""
        return datetime.fromtimestamp(us // US, UTC).astimezone(self.info)

    @property
    def unit(self) -> str:
        """What a step of a chart is called: "5 min", "hour" or "day"."""
        if self.length_us <= FINE_US:
            return "5 min"
        return "hour" if self.length_us <= HOURLY_US else "day"

    def steps(self) -> tuple[tuple[int, int], ...]:
        """(start, stop) of every step of a chart, the first and the last cut off where the period is."""
        edges = [self.start_us, *self._edges(), self.stop_us]
        return tuple(pairwise(edges))

    def _edges(self) -> Iterator[int]:
        """Where steps of the unit begin, strictly inside the period."""
        if self.unit == "day":
            day = self.local(self.start_us).date()
            while True:
                day += timedelta(days=1)
                at = round(datetime(day.year, day.month, day.day, tzinfo=self.info).timestamp() * US)
                if at >= self.stop_us:
                    return
                if at > self.start_us:
                    yield at
        step_us = 300 * US if self.unit == "5 min" else HOUR_US
        offset = self.local(self.start_us).utcoffset() or timedelta()
        shift = int(offset.total_seconds()) * US % step_us
        at = (self.start_us + shift) // step_us * step_us - shift + step_us
        while at < self.stop_us:
            yield at
            at += step_us

    def label(self, us: int) -> str:
        """A step's name on an axis: 14:00, or Nov 21."""
        moment = self.local(us)
        return f"{moment:%b} {moment.day}" if self.unit == "day" else f"{moment:%H:%M}"

    def text(self, us: int) -> str:
        """A moment with its offset, to the minute: 2026-11-21 14:00 +01:00."""
        moment = self.local(us).isoformat(sep=" ", timespec="minutes")
        return f"{moment[:16]} {moment[16:]}"


def period(last: str | None, start: str | None, stop: str | None, now_us: int, zone: str = "") -> Period:
    """The period of the options ``--last``, ``--from``, ``--to``; without any, the last 24 hours. QueryError when malformed."""
    name = zone or local_zone()
    info = zone_of(name)
    if start is None and stop is not None:
        raise QueryError("--to needs --from", mend="--from yesterday --to today")
    if start is None:
        begin, _ = span_us(last or DEFAULT, None, None, now_us)
        end: int | None = now_us
    elif last is not None:
        raise QueryError("--last and --from or --to exclude each other")
    else:
        begin = moment_us(start, now_us, info)
        end = now_us if stop is None else moment_us(stop, now_us, info)
    first, after = (begin or 0) // MINUTE_US * MINUTE_US, min(end or now_us, now_us) // MINUTE_US * MINUTE_US
    if first >= after:
        raise QueryError("the period ends before it begins, or is shorter than a minute", where="--from, --to")
    if after - first > LONGEST_US:
        raise QueryError("the period is longer than 92 days", mend="a report a month")
    if first - (after - first) < 0:
        raise QueryError("the period begins before 1970")
    return Period(first, after, name)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name; QueryError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise QueryError(f"there is no time zone {name[:40]!r}", mend="for example Europe/Berlin, or UTC") from error


def local_zone(environ: os._Environ[str] | dict[str, str] = os.environ, link: Path = Path("/etc/localtime")) -> str:
    """The name of this machine's time zone; UTC where it has none."""
    named = environ.get("TZ", "").removeprefix(":")
    linked = str(link.resolve()).partition("zoneinfo/")[2] if link.is_symlink() else ""
    for name in (named, linked):
        try:
            if name:
                return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return "UTC"
