"""What a message says: the five parts of an alert (what, why, how sure, what next, evidence), lists, the day. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import tzinfo
from typing import Final

import msgspec

from nsm.model.finding import Alert, Severity
from nsm.model.notice import Notice, Part, one_line
from nsm.run.notice_desk import Parcel
from nsm.run.notice_rules import local

MAX: Final = 20  # ours: alerts that one message lists; the page has all


class Scene(msgspec.Struct, frozen=True):
    """What every message has in common: this machine's name, the address of the page, the zone of times."""

    sensor: str
    link: str = ""
    zone: tzinfo | None = None

    def time(self, us: int) -> str:
        """A time as people read it."""
        return local(us / 1e6, self.zone).strftime("%Y-%m-%d %H:%M:%S")


class Day(msgspec.Struct, frozen=True):
    """What changed in a day. Hosts as (address, name); ``scans``: sentences about differences."""

    start_us: int
    stop_us: int
    hosts: tuple[tuple[str, str], ...] = ()
    alerts: tuple[Alert, ...] = ()
    scans: tuple[str, ...] = ()


def count_of(number: int, noun: str) -> str:
    """1 alert, 2 alerts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def title_of(alert: Alert) -> str:
    """Severity and what it is called, or that it is over."""
    word = "Over" if alert.ended else alert.severity.word.capitalize()
    return one_line(f"{word}: {alert.finding.signature}", 120)


def notice_of(parcel: Parcel, notice_id: str, now: float, scene: Scene) -> Notice:
    """The message of a parcel: one alert in full, several as a list with the worst in full, a summary as a list."""
    ordered = tuple(sorted(parcel.alerts, key=lambda alert: (-alert.severity, -alert.risk, alert.id)))
    worst = ordered[0] if ordered else None
    total = len(ordered) + parcel.more
    parts = explained(worst, scene) if worst is not None and parcel.kind == "alert" else ()
    if worst is None or total > 1 or parcel.kind == "summary":
        parts = (*parts, listed(ordered, parcel.more, scene))
    if worst is None or parcel.kind == "summary":
        title = f"{count_of(total, 'alert')} held back until now"
    elif total > 1:
        title = f"{title_of(worst)} and {count_of(total - 1, 'more alert')}"
    else:
        title = title_of(worst)
    return Notice(
        id=notice_id, kind=parcel.kind, title=title, severity=worst.severity if worst else Severity.INFO, ts=int(now * 1e6),
        sensor=scene.sensor, parts=parts, alerts=ordered[:MAX], more=max(0, total - MAX), link=scene.link,
    )  # fmt: skip


def explained(alert: Alert, scene: Scene) -> tuple[Part, ...]:
    """The five parts of one alert; what is not known is left out."""
    finding, told = alert.finding, alert.finding.explain
    against = [f"Speaks against it: {text}" for text in told.sure_against]
    benign = [f"Innocent cause: {text}" for text in told.benign]
    sides = (("From", finding.actors), ("To", finding.victims))
    evidence = [
        f"Measured {finding.measured:g} {finding.unit} in {finding.window_s:g} s, threshold {finding.threshold:g}"
        f" (detector {finding.detector})",
        *(f"{name} {', '.join(texts)}" for name, texts in sides if texts),
        f"{count_of(alert.count, 'time')}, {scene.time(alert.first_seen)} to {scene.time(alert.last_seen)}",
        f"nsm explain {alert.id}",
    ]
    parts = (
        ("What happened", [told.what]), ("Why it matters", [told.why]),
        (f"How sure: {finding.confidence:.0%}", [*told.sure_for, *against, *benign]),
        ("What to do next", [f"{place}. {text}" for place, text in enumerate(told.next, 1)]), ("Evidence", evidence),
    )  # fmt: skip
    kept = ((heading, [one_line(text) for text in lines if text]) for heading, lines in parts)
    return tuple(Part(heading, tuple(lines)) for heading, lines in kept if lines)


def listed(alerts: Sequence[Alert], more: int, scene: Scene) -> Part:
    """Alerts with a line each, the rest as a number."""
    lines = [one_line(f"{scene.time(alert.last_seen)} {title_of(alert)}: {alert.finding.explain.what}", 300)
             for alert in alerts[:MAX]]  # fmt: skip
    rest = max(0, len(alerts) - MAX) + more
    return Part("Alerts", (*lines, *([f"and {count_of(rest, 'more alert')}"] if rest else [])))


def daily_notice(day: Day, notice_id: str, scene: Scene) -> Notice:
    """What changed since yesterday; also when nothing did, so that silence means a fault."""
    severities = Counter(alert.severity for alert in day.alerts)
    numbers = ", ".join(f"{severities[one]} {one.word}" for one in sorted(severities, reverse=True))
    ordered = sorted(day.alerts, key=lambda alert: (-alert.severity, -alert.risk, alert.id))
    parts = [Part("Alerts", (numbers or "none",))]
    if ordered:
        parts = [Part(f"Alerts: {numbers}", listed(ordered, 0, scene).lines)]
    names = [one_line(f"{address} {name}".strip(), 120) for address, name in day.hosts[:MAX]]
    rest = len(day.hosts) - MAX
    parts.append(
        Part("New hosts", (*(names or ["none"]), *([f"and {count_of(rest, 'more host')}"] if rest > 0 else [])))
    )
    scans = [one_line(text, 300) for text in day.scans[:MAX]]
    rest = len(day.scans) - MAX
    parts.append(
        Part("Scans", (*(scans or ["no difference"]), *([f"and {count_of(rest, 'more change')}"] if rest > 0 else [])))
    )
    title = f"Since yesterday: {count_of(len(day.alerts), 'alert')}, {count_of(len(day.hosts), 'new host')}, " + (
        count_of(len(day.scans), "scan difference")
    )
    return Notice(
        id=notice_id, kind="daily", title=title, severity=ordered[0].severity if ordered else Severity.INFO,
        ts=day.stop_us, sensor=scene.sensor, parts=tuple(parts), link=scene.link,
    )  # fmt: skip


def unsure_notice(lost: Notice, notice_id: str, now: float, scene: Scene) -> Notice:
    """A message may not have arrived: said once, in place of sending it twice."""
    what = "The program ended while it sent this message, so it may not have arrived:"
    lines = (what, f"{lost.title} ({scene.time(lost.ts)})", *(f"nsm explain {alert.id}" for alert in lost.alerts[:MAX]))
    return Notice(
        id=notice_id, kind="unsure", title=one_line(f"This may not have arrived: {lost.title}", 160), severity=lost.severity,
        ts=int(now * 1e6), sensor=scene.sensor, parts=(Part("What happened", lines),), link=scene.link,
    )  # fmt: skip


def trial_notice(notice_id: str, now: float, scene: Scene) -> Notice:
    """A message that only shows that messages arrive."""
    lines = ("Somebody asked for it, to see whether messages arrive. Nothing happened in the network.",)
    return Notice(
        id=notice_id, kind="test", title="This is a test", severity=Severity.INFO, ts=int(now * 1e6), sensor=scene.sensor,
        parts=(Part("What happened", lines),), link=scene.link,
    )  # fmt: skip


def problem_words(channel: str, error: str) -> str:
    """What an outage of a channel is called."""
    return one_line(f"Messages do not reach {channel}: {error}", 300)
