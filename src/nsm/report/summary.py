"""The paragraph that a manager reads: is it fine, what changed, what to do. Under 120 words, whatever happened."""

from __future__ import annotations

from typing import Final

from nsm.alert.score import SETTLED
from nsm.report.facts import AlertGroup, Facts
from nsm.report.numbers import change, length, plural, share, size
from nsm.report.period import Period
from nsm.report.scope import said

WORDS_MAX: Final = 119
SENTENCE_WORDS_MAX: Final = 24


def summary(facts: Facts) -> tuple[str, ...]:
    """Three to five sentences, in the order: of what, is it fine, what changed, how well was watched, what to do."""
    grave = [one for one in facts.alerts.groups if _waits(one)]
    parts = [_scope(facts), _fine(facts, grave), _changed(facts), _watched(facts), _to_do(facts, grave)]
    return tuple(_short(part) for part in parts if part)


def _waits(one: AlertGroup) -> bool:
    return one.severity in ("high", "critical") and bool(set(one.states) - SETTLED)


def verdict(facts: Facts) -> str:
    """The summary in a few words, for a subject: "all looks fine", "2 grave alert groups open"."""
    grave = sum(_waits(one) for one in facts.alerts.groups)
    if grave:
        return f"{plural(grave, 'grave alert group')} open"
    if facts.alerts.total:
        return f"no grave alert open, {plural(facts.alerts.total, 'alert')} in all"
    return "not known, nothing was recorded" if facts.traffic is None else "all looks fine"


def _scope(facts: Facts) -> str:
    return f"This is about {said(facts.scope)}." if facts.scope else ""


def _fine(facts: Facts, grave: list[AlertGroup]) -> str:
    if facts.score.score is None and facts.traffic is None and not facts.alerts.total:
        return "Whether the network is fine is not known: nothing was recorded in this period."
    score = "network score" if facts.scope else "score"
    worth = "no score" if facts.score.score is None else f"{score} {facts.score.score} of 100"
    if grave:
        names = f"{grave[0].signature} ({_cited(grave[0])})"
        return f"It is not all fine ({worth}): {plural(len(grave), 'grave alert group')} open, first {names}."
    if facts.alerts.total:
        return f"No grave alert is open ({worth}); {plural(facts.alerts.total, 'alert')} of all severities came in."
    return f"It looks fine ({worth}): no alert came in."


def _changed(facts: Facts) -> str:
    parts = []
    if facts.hosts_new:
        parts.append(plural(len(facts.hosts_new), "new host"))
    opened = sum(what == "opened" for scan in facts.scans for what, _, _ in scan.changes)
    if opened:
        parts.append(plural(opened, "newly open port"))
    if facts.traffic is not None:
        moved = size(facts.traffic.totals.bytes)
        before = facts.before.totals.bytes if facts.before.totals else None
        versus = f"{change(facts.traffic.totals.bytes, before)} against the period before" if before is not None else ""
        parts.append(f"{moved} of traffic" + (f" ({versus})" if versus else " (the period before was not measured)"))
    return f"What changed: {', '.join(parts)}." if parts else ""


def _watched(facts: Facts) -> str:
    quality = facts.quality
    if quality.watched is None:
        return "How completely the network was watched was not measured." if facts.traffic is not None else ""
    blind = max(quality.blind, key=lambda one: one.stop_us - one.start_us, default=None)
    watched = f"{share(quality.watched)} of the time was watched"
    if quality.drops:
        watched += f", {share(quality.seen)} of {'all ' if facts.scope else ''}packets seen"
    return (
        f"{watched}; blind {blind_text(facts.period, blind.start_us, blind.stop_us)}."
        if blind
        else f"{watched}, without a gap."
    )


def _to_do(facts: Facts, grave: list[AlertGroup]) -> str:
    if grave and grave[0].explain.next:
        return f"To do first: {grave[0].explain.next[0]}"
    if facts.quality.drops:
        return "To do: find out why packets are dropped (nsm doctor)."
    if facts.hosts_new:
        return "To do: check that the new hosts are known."
    return "Nothing needs to be done." if facts.traffic is not None else "To do: start the capture (nsm run)."


def _cited(one: AlertGroup) -> str:
    more = len(one.ids) - 1
    return f"alert {one.ids[0]}" + (f" and {more} more" if more else "")


def blind_text(period: Period, start_us: int, stop_us: int) -> str:
    """02:10-02:40; with the day where the period has more than one."""
    first, last = period.local(start_us), period.local(stop_us)
    day = f"{first:%b} {first.day} " if period.length_us > 25 * 3_600_000_000 else ""
    rest = f"{last:%b} {last.day} " if first.date() != last.date() and day else ""
    return f"{day}{first:%H:%M}-{rest}{last:%H:%M} ({length(stop_us - start_us)})"


def _short(sentence: str) -> str:
    """At most so many words; texts of detectors can be long."""
    words = sentence.split()
    return sentence if len(words) <= SENTENCE_WORDS_MAX else " ".join(words[: SENTENCE_WORDS_MAX - 1]) + " ..."
