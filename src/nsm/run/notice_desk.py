"""Turns alerts into messages of one channel: grouped, limited, held in quiet hours, the rest summed up. Pure.

An alert waits in its group (detector and source) for ``group_s``; then the group is one message, unless the hour is quiet or
the rate is used up: then it goes to what is held, which becomes one summary as soon as it may.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final

import msgspec

from nsm.bounded.tables import LruDict
from nsm.model.finding import Alert, Severity
from nsm.run.notice_rules import Filter, Rate, Rules, is_quiet, local

WAITING_MAX: Final = 2_000  # ours: alerts in groups and held; of more only the number is told
GROUPS_MAX: Final = 4_096  # ours: groups whose last message is remembered
Key = tuple[str, str]


class Parcel(msgspec.Struct, frozen=True):
    """What one message tells: of kind ``alert`` or ``summary``. ``more``: alerts that could not be kept."""

    kind: str
    alerts: tuple[Alert, ...]
    more: int = 0


class _Last:
    """The last message of a group."""

    def __init__(self) -> None:
        self.at, self.severity = -1e18, Severity.INFO


class Desk:
    """The desk of one channel. ``zone`` None: the machine's."""

    def __init__(self, rules: Rules, zone: tzinfo | None = None) -> None:
        self._rules, self._zone = rules, zone
        self._filter, self._rate = Filter(rules), Rate(rules.per_hour)
        self._groups: dict[Key, tuple[float, dict[str, Alert]]] = {}  # when it is due, its alerts
        self._keys: dict[str, Key] = {}  # of each alert in a group: it stays there, whatever its next update says
        self._held: dict[str, Alert] = {}
        self._last: LruDict[Key, _Last] = LruDict(GROUPS_MAX, _Last)
        self._waiting = 0
        self.refused = 0

    @property
    def waiting(self) -> int:
        """Alerts in groups and held."""
        return self._waiting

    def wants(self, alert: Alert, told: int) -> bool:
        """Is it news for this channel: asked for, and not told, or told as less severe (``told``: -1 not at all)?

        That it is over is news where it was told, or is about to be.
        """
        if alert.ended:
            return told >= 0 or alert.id in self._keys or alert.id in self._held
        return int(alert.severity) > told and self._filter.wants(alert)

    def offer(self, alert: Alert, now: float) -> None:
        """Take an alert that ``wants`` wants; the same alert again replaces what waits of it."""
        source = alert.finding.src_ip or next(iter(alert.finding.actors), "")
        key = self._keys.get(alert.id, (alert.finding.detector, source))
        held = self._held.get(alert.id)
        if held is not None and alert.severity <= held.severity:
            self._held[alert.id] = alert
            return
        if held is not None:  # more severe now: it may pass where it could not
            del self._held[alert.id]
            self._waiting -= 1
        if key not in self._groups:
            if self._full():
                return
            last = self._last[key]
            soon = now + self._rules.group_s
            due = soon if alert.severity > last.severity else max(soon, last.at + self._rules.again_s)
            self._groups[key] = (due, {})
        due, alerts = self._groups[key]
        if alert.id not in alerts:
            if self._full():
                return
            self._waiting += 1
            self._keys[alert.id] = key
        alerts[alert.id] = alert
        if alert.severity > self._last[key].severity:
            self._groups[key] = (min(due, now + self._rules.group_s), alerts)

    def _full(self) -> bool:
        if self._waiting < WAITING_MAX:
            return False
        self.refused += 1
        return True

    def due(self, now: float) -> list[Parcel]:
        """The messages of now."""
        ready = sorted((due, key) for key, (due, _) in self._groups.items() if due <= now)
        found = [parcel for _, key in ready if (parcel := self._group(key, now)) is not None]
        summary = self._summary(now)
        return found if summary is None else [*found, summary]

    def _group(self, key: Key, now: float) -> Parcel | None:
        alerts = tuple(self._groups.pop(key)[1].values())
        for alert in alerts:
            del self._keys[alert.id]
        worst = max(alert.severity for alert in alerts)
        if not self._may(worst, now):
            self._held |= {alert.id: alert for alert in alerts}
            return None
        self._waiting -= len(alerts)
        self._rate.count(now)
        last = self._last[key]
        last.at, last.severity = now, worst
        return Parcel("alert", alerts)

    def _may(self, severity: Severity, now: float) -> bool:
        passes = severity == Severity.CRITICAL and self._rules.quiet_passes_critical
        quiet = is_quiet(self._rules.quiet, local(now, self._zone)) and not passes
        return not quiet and self._rate.free(now, severity)

    def _summary(self, now: float) -> Parcel | None:
        """What was held, and the number of what was not even kept; by the rules of what is not critical."""
        if not (self._held or self.refused) or not self._may(Severity.HIGH, now):
            return None
        parcel = Parcel("summary", tuple(self._held.values()), self.refused)
        self._waiting -= len(self._held)
        self._held, self.refused = {}, 0
        self._rate.count(now)
        return parcel
