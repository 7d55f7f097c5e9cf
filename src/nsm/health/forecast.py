"""When the disk will be full: a line through the used bytes of the last days that outliers do not bend (Theil-Sen).

The median of the slopes of all pairs of points (Sen, JASA 63, 1968) stands up to 29 % of wild points. What retention
deletes is added back first: else every deletion would look like room that grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

import msgspec

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
DAYS: Final = 7
POINTS_MAX: Final = DAYS * 24
SPAN_MIN_S: Final = DAY_S
CRITICAL_DAYS: Final = 3.0  # ours: a weekend


class Forecast(msgspec.Struct, frozen=True):
    """``days_left`` None: no forecast, ``reason`` says why. ``level``: ok, warn or critical."""

    days_left: float | None
    bytes_a_day: float | None
    level: str
    reason: str


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """The Theil-Sen slope of (x, y); None without two different x. Quadratic: at most POINTS_MAX points, evenly chosen."""
    if len(points) > POINTS_MAX:
        step = (len(points) - 1) / (POINTS_MAX - 1)
        points = [points[round(place * step)] for place in range(POINTS_MAX)]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for place, earlier in enumerate(points)
        for later in points[place + 1 :]
        if later[0] != earlier[0]
    ]
    return median(slopes) if slopes else None


def without_deletions(
    used: Sequence[tuple[float, float]], deleted: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Used bytes as if nothing had been deleted. ``deleted``: a counter over time; where it goes back it began anew."""
    total, at, out = 0.0, 0, []
    steps = [(when, max(now - before, 0.0)) for (_, before), (when, now) in pairwise(deleted)]
    for when, value in used:
        while at < len(steps) and steps[at][0] <= when:
            total += steps[at][1]
            at += 1
        out.append((when, value + total))
    return out


def forecast(
    used: Sequence[tuple[float, float]], free_bytes: float, total_bytes: float, *, reserve_bytes: float = 0.0,
    days_min: float = 14.0, free_min: float = 0.05,
) -> Forecast:  # fmt: skip
    """From (s, used bytes without deletions) in the order of time, and what is free now.

    No forecast under a day of data, or when nothing grows; too little room now is critical in any case.
    """
    short = total_bytes > 0 and free_bytes < free_min * total_bytes
    level = "critical" if short else "ok"
    recent = [point for point in used if not used or point[0] >= used[-1][0] - DAYS * DAY_S]
    if not recent or recent[-1][0] - recent[0][0] < SPAN_MIN_S:
        return Forecast(None, None, level, "less than a day of figures")
    a_second = slope(recent)
    if a_second is None or a_second <= 0:
        return Forecast(None, None if a_second is None else a_second * DAY_S, level, "use of the disk does not grow")
    days = max(0.0, free_bytes - reserve_bytes) / (a_second * DAY_S)
    if days < min(CRITICAL_DAYS, days_min):
        level = "critical"
    elif days < days_min and not short:
        level = "warn"
    return Forecast(days, a_second * DAY_S, level, "")
