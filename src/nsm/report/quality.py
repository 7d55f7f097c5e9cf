"""How well a period was watched: gaps, drops, silence, and the share of each step that remains.

Watched is what no gap covers, from the first row that the store has. A time without a single packet may be a quiet network or
a monitor that looked at the wrong interface: from ten minutes on it is said, and not counted as watched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from nsm.report.facts import Blind, Quality
from nsm.report.period import MINUTE_US, Period
from nsm.store.records import Gap
from nsm.store.report_sums import Minute

SILENT_US: Final = 10 * MINUTE_US  # ours: shorter silence is common at night in a small network
DROP_RATIO_MIN: Final = 0.001  # as the score takes it
BLIND_MAX: Final = 1_000

Span = tuple[int, int]


def quality(period: Period, minutes: Sequence[Minute], gaps: Sequence[Gap], first_us: int | None) -> Quality:
    """The facts of section 8."""
    known = merged((gap.start_us, gap.stop_us) for gap in gaps)
    silent = _silence(period, minutes, first_us)
    dark = [
        *_before(period, first_us),
        *(one for one in silent if overlap(known, one.start_us, one.stop_us) < one.stop_us - one.start_us),
    ]
    holes = merged([*known, *((one.start_us, one.stop_us) for one in dark)])
    blind = [
        *dark,
        *(Blind(gap.start_us, gap.stop_us, gap.what, gap.packets or None) for gap in gaps),
        *_dropping(minutes),
    ]
    by_step = []
    for start, stop in period.steps():
        inside = between(minutes, start, stop)
        share = None if not minutes else 1 - overlap(holes, start, stop) / (stop - start)
        pkts, drops = (sum(getattr(one, name) for one in inside) if inside else None for name in ("pkts", "drops"))
        by_step.append((start, share, pkts, drops))
    kept = sorted((_cut(one, period) for one in blind), key=lambda one: (one.start_us, one.stop_us, one.why))
    if not minutes:
        return Quality(None, None, None, None, None, tuple(by_step), tuple(kept[:BLIND_MAX]))
    pkts, drops = sum(one.pkts for one in minutes), sum(one.drops for one in minutes)
    watched = 1 - overlap(holes, period.start_us, period.stop_us) / period.length_us
    seen = pkts / (pkts + drops) if pkts + drops else None
    malformed = sum(one.malformed for one in minutes)
    return Quality(watched, seen, pkts, drops, malformed, tuple(by_step), tuple(kept[:BLIND_MAX]))


def between(minutes: Sequence[Minute], start_us: int, stop_us: int) -> Sequence[Minute]:
    """Those that begin in start <= t < stop; they are in the order of time."""
    first, after = (bisect_left(minutes, us, key=lambda one: one.t_us) for us in (start_us, stop_us))
    return minutes[first:after]


def _cut(one: Blind, period: Period) -> Blind:
    return Blind(max(one.start_us, period.start_us), min(one.stop_us, period.stop_us), one.why, one.lost)


def _before(period: Period, first_us: int | None) -> list[Blind]:
    """The time before the store has anything."""
    first = period.stop_us if first_us is None else first_us
    if first < period.start_us + MINUTE_US:
        return []
    return [Blind(period.start_us, min(first, period.stop_us), "nothing is kept of this time", None)]


def _silence(period: Period, minutes: Sequence[Minute], first_us: int | None) -> list[Blind]:
    """Stretches without a packet; none when packets were not counted at all."""
    if not minutes:
        return []
    edges = [max(period.start_us, first_us or 0) - MINUTE_US, *(one.t_us for one in minutes), period.stop_us]
    why = "no packet was seen: nobody watched, or nothing was sent"
    return [
        Blind(before + MINUTE_US, after, why, None)
        for before, after in pairwise(edges)
        if after - before - MINUTE_US >= SILENT_US
    ]


def _dropping(minutes: Iterable[Minute]) -> list[Blind]:
    """Consecutive minutes in which packets were dropped, as one stretch each."""
    out: list[Blind] = []
    for one in minutes:
        if one.drops < DROP_RATIO_MIN * (one.pkts + one.drops) or not one.drops:
            continue
        if out and out[-1].stop_us == one.t_us:
            out[-1] = Blind(out[-1].start_us, one.t_us + MINUTE_US, out[-1].why, (out[-1].lost or 0) + one.drops)
        else:
            out.append(Blind(one.t_us, one.t_us + MINUTE_US, "packets were dropped", one.drops))
    return out


def merged(spans: Iterable[Span]) -> list[Span]:
    """The union of spans, in order, without overlaps."""
    out: list[Span] = []
    for start, stop in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out


def overlap(spans: Iterable[Span], start: int, stop: int) -> int:
    """How much of start..stop the spans, which do not overlap each other, cover."""
    return sum(max(0, min(last, stop) - max(first, start)) for first, last in spans)
