"""Alert desk: findings of one cause become one alert that counts on. It knows fields of a Finding, never a detector."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import LruDict
from nsm.model.finding import NEW, OVER, Alert, Finding, Severity
from nsm.settings.section import Count, Seconds, SettingsSection

# Impact words as numbers, and risk as words: docs/detections.md, "Severity".
IMPACT: Final = {
    Severity.INFO: 0.1, Severity.LOW: 0.3, Severity.MEDIUM: 0.5, Severity.HIGH: 0.8, Severity.CRITICAL: 1.0
}  # fmt: skip
LEVELS: Final = ((75, Severity.CRITICAL), (50, Severity.HIGH), (25, Severity.MEDIUM), (10, Severity.LOW))


class AlertSettings(msgspec.Struct, frozen=True):
    """When the same finding is a new alert, and how many are held."""

    quiet_s: Seconds = 3_600.0
    """A finding with the key of an alert that was quiet for longer begins a new one (Zeek's suppression interval)."""
    open_max: Count = 10_000
    """Alerts that findings can still be added to; the least recently seen leaves and is counted."""


SETTINGS: Final = SettingsSection(name="alert", struct=AlertSettings)


def risk_of(finding: Finding) -> int:
    """0 to 100: impact by confidence."""
    return round(100 * IMPACT[finding.impact] * min(max(finding.confidence, 0.05), 0.99))


def severity_of(risk: int) -> Severity:
    """The word for a risk."""
    return next((severity for lowest, severity in LEVELS if risk >= lowest), Severity.INFO)


def alert_id(finding: Finding) -> str:
    """A function of detector, key and first time alone: the same in every run over the same packets."""
    text = "\x1f".join((finding.detector, *finding.key, str(finding.ts)))
    return "A" + hashlib.sha256(text.encode()).hexdigest()[:12]


class AlertDesk:
    """State: the open alerts by (detector, key), at most open_max."""

    def __init__(self, settings: AlertSettings, settings_hash: str) -> None:
        self._settings, self._hash = settings, settings_hash
        self._open: LruDict[tuple[str, ...], list[Alert]] = LruDict(settings.open_max, list)

    @property
    def forgotten(self) -> int:
        """Alerts that left while they were open."""
        return self._open.evicted

    def adopt(self, alert: Alert) -> None:
        """Go on with an alert of an earlier process, unless one of that key is open."""
        slot = self._open[(alert.finding.detector, *alert.finding.key)]
        slot[:] = slot or [alert]

    def take(self, findings: Iterable[Finding]) -> Iterator[Alert]:
        """The alert of each finding, new or with a higher ``rev``; none where what is over was not open."""
        for finding in findings:
            slot = self._open[(finding.detector, *finding.key)]
            known = slot[0] if slot else None
            if finding.over:
                if known is None or known.ended:
                    continue
                alert = self._over(known, finding)
            elif known is not None and finding.ts - known.last_seen <= self._settings.quiet_s * 1e6:
                alert = self._again(known, finding)
            else:
                alert = self._new(finding)
            slot[:] = [alert]
            yield alert

    def _new(self, finding: Finding) -> Alert:
        risk = risk_of(finding)
        return Alert(
            id=alert_id(finding), finding=finding, severity=severity_of(risk), risk=risk, count=finding.count,
            first_seen=finding.first_seen, last_seen=finding.ts, settings_hash=self._hash,
        )  # fmt: skip

    def _again(self, known: Alert, finding: Finding) -> Alert:
        risk = max(known.risk, risk_of(finding))
        return msgspec.structs.replace(
            known, finding=finding, severity=severity_of(risk), risk=risk, count=max(finding.count, known.count + 1),
            first_seen=min(known.first_seen, finding.first_seen), last_seen=max(known.last_seen, finding.ts),
            rev=known.rev + 1, state=NEW, ended=0,
        )  # fmt: skip

    def _over(self, known: Alert, finding: Finding) -> Alert:
        """The alert that was, with the sentence that it is over; nothing is left to do."""
        explain = msgspec.structs.replace(known.finding.explain, what=finding.explain.what, next=())
        return msgspec.structs.replace(
            known, finding=msgspec.structs.replace(known.finding, over=True, explain=explain),
            last_seen=max(known.last_seen, finding.ts), rev=known.rev + 1, state=OVER, ended=finding.ts,
        )  # fmt: skip
