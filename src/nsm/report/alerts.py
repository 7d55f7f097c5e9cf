"""Alerts of a period: counted, folded into groups, and what they make of the score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from nsm.alert.score import SETTLED, score
from nsm.model.finding import SEVERITY_WORDS, Explain
from nsm.report.facts import AlertFacts, AlertGroup, Quality, ScoreFacts
from nsm.report.period import DAY_US, HOUR_US, US, Period
from nsm.report.quality import between
from nsm.store.queryspec import Node
from nsm.store.reader import AlertFilter, Reader
from nsm.store.report_sums import Minute

ALERTS_MAX: Final = 10_000
PAGE: Final = 1_000
BACK_US: Final = 7 * DAY_US  # an alert of a week ago has lost 127 of 128 parts of its weight in the score
IDS_MAX: Final = 1_000
FLOW_IDS_MAX: Final = 10
TREND_POINTS_MAX: Final = 100

Item = dict[str, Any]


def fetch(reader: Reader, period: Period, where: Node | None = None) -> tuple[list[Item], dict[str, int]]:
    """(alerts last seen in the period or the week before it, newest first, at most 10,000; totals of the period).

    ``where``: a condition that they fulfil; None: all.
    """
    ends = (period.start_us - BACK_US, period.stop_us)
    found: list[Item] = []
    after: str | None = None
    while len(found) < ALERTS_MAX:
        page = reader.alerts(AlertFilter(where=where, start_us=ends[0], stop_us=ends[1], limit=PAGE, after=after))
        found += page.items
        after = page.next
        if after is None:
            break
    page = reader.alerts(AlertFilter(where=where, start_us=period.start_us, stop_us=period.stop_us, limit=1))
    severities = {word: page.by_severity.get(word, 0) for word in reversed(SEVERITY_WORDS)}
    return found, {
        "total": page.total,
        **{f"s:{k}": v for k, v in severities.items()},
        **{f"k:{k}": v for k, v in page.by_kind.items()},
    }


def facts(found: Iterable[Item], totals: dict[str, int], period: Period) -> AlertFacts:
    """The facts of section 3."""
    mine = [item for item in found if period.start_us <= item["last_seen"] < period.stop_us]
    techniques = Counter(name for item in mine for name in item["finding"]["techniques"])
    grave = sum(item["severity"] in ("high", "critical") and item["state"] not in SETTLED for item in mine)
    return AlertFacts(
        totals["total"], len(mine),
        {key[2:]: count for key, count in totals.items() if key.startswith("s:")},
        dict(sorted(((key[2:], count) for key, count in totals.items() if key.startswith("k:")), key=lambda pair: -pair[1])),
        dict(techniques.most_common()), grave, groups(mine),
        tuple((item["last_seen"], item["severity"]) for item in mine),
    )  # fmt: skip


def groups(items: Iterable[Item]) -> tuple[AlertGroup, ...]:
    """Alerts of one signature and one pair, folded; the gravest first, then those with the most alerts."""
    folded: dict[tuple[str, str, str], list[Item]] = {}
    for item in items:
        finding = item["finding"]
        folded.setdefault((finding["signature"], finding["src_ip"], finding["dest_ip"]), []).append(item)
    made = [_group(members) for members in folded.values()]
    made.sort(key=lambda one: (-SEVERITY_WORDS.index(one.severity), -len(one.ids), -one.last_us, one.ids))
    return tuple(made)


def _group(members: Sequence[Item]) -> AlertGroup:
    first = max(members, key=lambda item: (SEVERITY_WORDS.index(item["severity"]), item["finding"]["confidence"],
                                           item["last_seen"], item["id"]))  # fmt: skip
    finding = first["finding"]
    flow_ids = dict.fromkeys(number for item in members for number in item["finding"]["flow_ids"])
    ids = tuple(item["id"] for item in sorted(members, key=lambda item: (-item["last_seen"], item["id"])))
    measured = f"{finding['measured']:g} {finding['unit']}, threshold {finding['threshold']:g}"
    return AlertGroup(
        signature=finding["signature"], kind=finding["kind"], severity=first["severity"],
        confidence=finding["confidence"], src=finding["src_ip"], dst=finding["dest_ip"], ids=ids[:IDS_MAX],
        findings=sum(item["count"] for item in members), first_us=min(item["first_seen"] for item in members),
        last_us=max(item["last_seen"] for item in members),
        states=tuple(sorted({item["state"] for item in members})), techniques=tuple(finding["techniques"]),
        flow_ids=tuple(flow_ids)[:FLOW_IDS_MAX], explain=msgspec.convert(finding["explain"], Explain), measured=measured,
    )  # fmt: skip


def score_facts(
    found: Sequence[Item], period: Period, minutes: Sequence[Minute], first_us: int | None, watched: Quality
) -> ScoreFacts:
    """The score at the end, and at the end of each step of a chart."""
    plain = [
        {"id": item["id"], "severity": item["severity"], "kind": item["finding"]["kind"], "state": item["state"],
         "confidence": item["finding"]["confidence"], "first_seen": item["first_seen"], "last_seen": item["last_seen"]}
        for item in found
    ]  # fmt: skip
    steps = period.steps()
    chosen = steps[:: max(1, -(-len(steps) // TREND_POINTS_MAX))]
    seen = {start for start, share, pkts, _ in watched.by_step if share and pkts}
    trend = []
    for start, stop in chosen:
        made = _at(plain, stop, first_us, start in seen or not minutes, minutes)
        trend.append((stop, made.score))
    capturing = bool(found) or first_us is not None
    last = _at(plain, period.stop_us, first_us, capturing, minutes)
    deductions = tuple((one.label, one.points, one.count, one.q) for one in last.deductions)
    return ScoreFacts(last.score, last.reason, deductions, tuple(trend))


def _at(items: Sequence[Item], at_us: int, first_us: int | None, capturing: bool, minutes: Sequence[Minute]) -> Any:
    """The score of a moment, from what had been seen by then; what people did with an alert counts as of today."""
    known = [
        {**item, "last_seen": min(item["last_seen"], at_us)}
        for item in items
        if item["first_seen"] < at_us and item["last_seen"] >= at_us - BACK_US
    ]
    hour = between(minutes, at_us - HOUR_US, at_us)
    drops, pkts = sum(one.drops for one in hour), sum(one.pkts for one in hour)
    watched_s = (at_us - (at_us if first_us is None else first_us)) / US
    return score(known, at_us / US, watched_s, capturing and watched_s > 0, drops / max(1, drops + pkts))
