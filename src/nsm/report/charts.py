"""Which charts there are, and their values out of the facts."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Final

from nsm.report.colours import FAMILIES, family
from nsm.report.facts import Facts
from nsm.report.numbers import count, share, size
from nsm.report.scope import said
from nsm.report.svg import Chart, Series
from nsm.report.table import period_text

HEAT_HOSTS: Final = 10


def rate(value: float | None) -> str:
    """Bits a second, SI: 48.1 Mbit/s."""
    if value is None:
        return "not measured"
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "bit/s" else f"{value:.1f} {unit}"
        value /= 1_000
    return f"{value:.1f} Tbit/s"


def traffic(facts: Facts) -> Chart | None:
    """Mean rate by family, stacked; None when nothing was measured."""
    if facts.traffic is None:
        return None
    steps = facts.period.steps()
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(steps))
    at = 0
    for one in facts.traffic.slices:  # in the order of time
        while at + 1 < len(steps) and one.t_us >= steps[at][1]:
            at += 1
        seconds = (steps[at][1] - steps[at][0]) / 1e6
        sums[family(one.app, one.proto)][at] += 8 * (one.bytes_s + one.bytes_c) / seconds
    watched = [_there(facts, place) for place in range(len(steps))]
    series = tuple(
        Series(
            name,
            colour,
            tuple(value if seen or value else None for value, seen in zip(sums[name], watched, strict=True)),
        )
        for name, (colour, _) in FAMILIES.items()
        if name in sums
    )
    return Chart("traffic", "area", "Traffic by family", _about(facts, "Mean rate in both directions"),
                 _labels(facts), series, rate)  # fmt: skip


def alerts(facts: Facts) -> Chart:
    """Alerts by severity and the step in which they were last seen."""
    steps = facts.period.steps()
    sums = {word: [0.0] * len(steps) for word in facts.alerts.by_severity}
    starts = [start for start, _ in steps]
    for seen_us, severity in facts.alerts.times:
        sums[severity][max(0, bisect_right(starts, seen_us) - 1)] += 1
    series = tuple(Series(word, f"{word}-fill", tuple(values)) for word, values in reversed(sums.items()))
    largest = max((sum(column) for column in zip(*sums.values(), strict=True)), default=0)
    top = max(4, -(-largest // 4) * 4)  # quarters of it are whole numbers
    return Chart("alerts", "bar", "Alerts by severity", _about(facts, "Alerts by the time they were last seen"),
                 _labels(facts), series, count, top)  # fmt: skip


def hosts(facts: Facts) -> Chart | None:
    """The largest local hosts over time, as a heat strip."""
    if facts.traffic is None or not facts.traffic.host_steps:
        return None
    steps = facts.period.steps()
    sums: dict[str, list[float]] = {}
    for host in [one.address for one in facts.traffic.hosts if one.local][:HEAT_HOSTS]:
        sums[host] = [0.0] * len(steps)
    at = 0
    for one in facts.traffic.host_steps:
        while at + 1 < len(steps) and one.t_us >= steps[at][1]:
            at += 1
        if one.address in sums:
            sums[one.address][at] += one.bytes
    series = tuple(
        Series(facts.names.get(address) or address, "series-blue",
               tuple(value if value or _there(facts, place) else None for place, value in enumerate(values)))
        for address, values in sums.items()
    )  # fmt: skip
    return Chart(
        "hosts",
        "heat",
        "The largest local hosts",
        _about(facts, "Bytes, the stronger the colour the more"),
        _labels(facts),
        series,
        size,
    )


def protocols(facts: Facts) -> Chart | None:
    """Bytes by family, as bars."""
    if facts.traffic is None:
        return None
    sums: dict[str, float] = dict.fromkeys(FAMILIES, 0.0)
    for one in facts.traffic.slices:
        sums[family(one.app, one.proto)] += one.bytes_s + one.bytes_c
    names = tuple(name for name in FAMILIES if sums[name])
    series = tuple(
        Series(name, FAMILIES[name][0], tuple(sums[name] if other == name else 0.0 for other in names))
        for name in names
    )
    return Chart(
        "protocols", "bar", "Traffic by family", _about(facts, "Bytes in both directions"), names, series, size
    )


def score(facts: Facts) -> Chart | None:
    """The score over time; None with fewer than three points, which are no trend."""
    known = [value for _, value in facts.score.trend if value is not None]
    if len(known) < 3:
        return None
    values = tuple(float(value) if value is not None else None for _, value in facts.score.trend)
    labels = tuple(facts.period.label(us) for us, _ in facts.score.trend)
    return Chart("score", "line", "Score", _about(facts, "The score at the end of each step", of_all=True), labels,
                 (Series("score", "accent", values),), count, 100)  # fmt: skip


def coverage(facts: Facts) -> Chart | None:
    """The share of each step that was watched, as a heat strip; None when not measured."""
    if facts.quality.watched is None:
        return None
    watched = tuple(part for _, part, _, _ in facts.quality.by_step)
    lost = tuple(
        None if pkts is None or drops is None else drops / max(1, pkts + drops)
        for _, _, pkts, drops in facts.quality.by_step
    )
    series = (Series("watched", "series-teal", watched), Series("packets lost", "high-fill", lost))
    return Chart("coverage", "heat", "Coverage", _about(facts, "Share of the time watched, share of packets lost", of_all=True),
                 _labels(facts), series, share, 1.0)  # fmt: skip


def _there(facts: Facts, place: int) -> bool:
    """Was that step watched at all? Without counted packets it is taken to be so."""
    return facts.quality.by_step[place][1] != 0.0


def _labels(facts: Facts) -> tuple[str, ...]:
    return tuple(facts.period.label(start) for start, _ in facts.period.steps())


def _about(facts: Facts, what: str, *, of_all: bool = False) -> str:
    """``of_all``: the figures know no scope."""
    place = f", {'whole network' if of_all else said(facts.scope)}" if facts.scope else ""
    return f"{what}, by {facts.period.unit}, {period_text(facts.period)}{place}"
