"""Which alerts are told, and when: filters, quiet hours, the number of messages an hour. Pure; time is passed in."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

import msgspec

from nsm.model.address import Networks
from nsm.model.finding import Alert, Severity
from nsm.notify.settings import NotifySettings, quiet_span

HOUR_S: Final = 3_600.0
OPEN_STATES: Final = ("new", "escalated")  # of an alert: nobody has dealt with it


class Rules(msgspec.Struct, frozen=True):
    """What one channel is told. ``quiet``: begin and end in minutes of the day, None when there are no quiet hours."""

    severity_min: Severity
    kinds: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    group_s: float = 5.0
    again_s: float = 300.0
    per_hour: int = 20
    quiet: tuple[int, int] | None = None
    quiet_passes_critical: bool = True


def rules_of(settings: NotifySettings, channel: Any, *, each: bool) -> Rules:
    """The rules of a channel; one that wants each alert knows neither groups nor quiet hours nor a rate."""
    word = getattr(channel, "severity_min", "") or settings.severity_min
    plain = Rules(
        severity_min=Severity[word.upper()], kinds=settings.kinds, hosts=settings.hosts, group_s=0, again_s=0, per_hour=0
    )  # fmt: skip
    if each:
        return plain
    return msgspec.structs.replace(
        plain, group_s=settings.group_s, again_s=settings.again_s, per_hour=settings.per_hour,
        quiet=quiet_span(settings.quiet), quiet_passes_critical=settings.quiet_passes_critical,
    )  # fmt: skip


class Filter:
    """Is an alert told at all?"""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._hosts = Networks(rules.hosts)

    def wants(self, alert: Alert) -> bool:
        """True for an open alert of that severity, those kinds and those hosts."""
        rules, finding = self._rules, alert.finding
        if alert.severity < rules.severity_min or alert.state not in OPEN_STATES:
            return False
        if rules.kinds and finding.kind not in rules.kinds:
            return False
        addresses = {*finding.actors, *finding.victims, finding.src_ip, finding.dest_ip} - {""}
        return not rules.hosts or any(_within(address, self._hosts) for address in addresses)


def _within(address: str, networks: Networks) -> bool:
    try:
        return address in networks
    except ValueError:  # a detector may name something else than an address, such as a MAC
        return False


def local(now: float, zone: tzinfo | None) -> datetime:
    """The time in that zone; None: the machine's."""
    return datetime.fromtimestamp(now, zone)


def is_quiet(span: tuple[int, int] | None, at: datetime) -> bool:
    """Is that a quiet hour? A span that ends before it begins goes over midnight; one of no length is the whole day."""
    if span is None:
        return False
    begin, end = span
    minute = at.hour * 60 + at.minute
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def daily_due(hour: int, at: datetime, done_day: int | None) -> bool:
    """Is the daily message due: its hour has come, and there was none today? ``done_day``: ordinal of the last one's day."""
    return hour >= 0 and at.hour >= hour and at.toordinal() != done_day


def day_before(at: datetime, hour: int) -> datetime:
    """Where the time of a daily message begins: a day before its hour."""
    return at.replace(hour=max(hour, 0), minute=0, second=0, microsecond=0) - timedelta(days=1)


class Rate:
    """Messages of the last hour; remembers at most twice ``per_hour`` times."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._sent: deque[float] = deque()

    def free(self, now: float, severity: Severity) -> bool:
        """May one more be sent? Critical ones may be twice as many."""
        while self._sent and self._sent[0] <= now - HOUR_S:
            self._sent.popleft()
        most = self._per_hour * (2 if severity == Severity.CRITICAL else 1)
        return not self._per_hour or len(self._sent) < most

    def count(self, now: float) -> None:
        """One was sent."""
        if self._per_hour:
            self._sent.append(now)
