"""Alert desk: findings of one cause become one alert that counts on."""

from __future__ import annotations

from typing import Any

import pytest

from nsm.alert.desk import AlertDesk, AlertSettings, alert_id, risk_of, severity_of
from nsm.model.finding import Alert, Explain, Finding, Severity

T0_US = 1_700_000_000_000_000
SECOND_US = 1_000_000


def finding(at_s: float = 0, **words: Any) -> Finding:
    """A finding that many seconds after the start."""
    now = T0_US + round(at_s * SECOND_US)
    plain: dict[str, Any] = {
        "detector": "port_scan", "key": ("198.51.100.7", "192.168.1.20", "TCP"), "kind": "network_scan",
        "signature": "Port scan (SYN)", "signature_id": 9_000_001, "category": "Detection of a Network Scan", "ts": now,
        "first_seen": now, "actors": ("198.51.100.7",), "victims": ("192.168.1.20",), "measured": 8, "threshold": 8,
        "unit": "ports", "window_s": 1, "impact": Severity.MEDIUM, "confidence": 0.9,
    }  # fmt: skip
    return Finding(**(plain | words))


def alerts(*findings: Finding, **settings: Any) -> list[Alert]:
    """What a fresh desk makes of them."""
    return list(AlertDesk(AlertSettings(**settings), "cafe").take(findings))


def test_a_finding_is_a_new_alert() -> None:
    (alert,) = alerts(finding(5, first_seen=T0_US, count=8))
    assert alert.rev == 1
    assert alert.count == 8
    assert alert.first_seen == T0_US
    assert alert.last_seen == T0_US + 5 * SECOND_US
    assert alert.state == "new"
    assert alert.settings_hash == "cafe"


def test_the_same_cause_again_is_the_same_alert_counted_on() -> None:
    first, second, third = alerts(finding(0, count=8), finding(1, count=16, measured=16), finding(2, count=1))
    assert first.id == second.id == third.id
    assert [alert.rev for alert in (first, second, third)] == [1, 2, 3]
    assert [alert.count for alert in (first, second, third)] == [8, 16, 17]
    assert second.finding.measured == 16
    assert (third.first_seen, third.last_seen) == (T0_US, T0_US + 2 * SECOND_US)


def test_an_earlier_beginning_and_a_late_finding_keep_the_whole_span() -> None:
    _, alert = alerts(finding(10), finding(4, first_seen=T0_US - SECOND_US))
    assert (alert.first_seen, alert.last_seen) == (T0_US - SECOND_US, T0_US + 10 * SECOND_US)


def test_after_an_hour_of_quiet_it_is_a_new_alert_and_not_a_microsecond_sooner() -> None:
    first, second, third = alerts(finding(0), finding(3_600), finding(7_200.000001))
    assert second.id == first.id
    assert third.id != first.id
    assert (third.rev, third.count) == (1, 1)


@pytest.mark.parametrize(
    "words", [{"detector": "host_sweep"}, {"key": ("198.51.100.7", "192.168.1.21", "TCP")}, {"key": ("198.51.100.7",)}]
)
def test_another_detector_or_key_is_another_alert(words: dict[str, Any]) -> None:
    first, second = alerts(finding(), finding(1, **words))
    assert second.id != first.id
    assert second.rev == 1


def test_the_name_of_an_alert_depends_on_its_cause_and_first_time_alone() -> None:
    plain = alert_id(finding())
    assert alert_id(finding(measured=99, count=7, confidence=0.1)) == plain
    assert alert_id(finding(1)) != plain
    assert alert_id(finding(key=("198.51.100.7192.168.1.20", "TCP"))) != alert_id(
        finding(key=("198.51.100.7", "192.168.1.20TCP"))
    )
    assert len(plain) == 13
    assert plain[0] == "A"
    assert int(plain[1:], 16) >= 0


RISKS = [
    (Severity.INFO, 0.9, 9, Severity.INFO),
    (Severity.LOW, 0.9, 27, Severity.MEDIUM),
    (Severity.LOW, 0.6, 18, Severity.LOW),
    (Severity.MEDIUM, 0.9, 45, Severity.MEDIUM),
    (Severity.HIGH, 0.9, 72, Severity.HIGH),
    (Severity.CRITICAL, 0.9, 90, Severity.CRITICAL),
    (Severity.CRITICAL, 1.0, 99, Severity.CRITICAL),
    (Severity.CRITICAL, 0.0, 5, Severity.INFO),
]


@pytest.mark.parametrize(("impact", "confidence", "risk", "severity"), RISKS)
def test_severity_is_impact_by_confidence(impact: Severity, confidence: float, risk: int, severity: Severity) -> None:
    assert risk_of(finding(impact=impact, confidence=confidence)) == risk
    (alert,) = alerts(finding(impact=impact, confidence=confidence))
    assert (alert.risk, alert.severity) == (risk, severity)


@pytest.mark.parametrize(
    ("risk", "severity"),
    [(0, "info"), (9, "info"), (10, "low"), (24, "low"), (25, "medium"), (49, "medium"), (50, "high"), (74, "high"),
     (75, "critical"), (100, "critical")],
)  # fmt: skip
def test_words_of_risk(risk: int, severity: str) -> None:
    assert severity_of(risk).word == severity


def test_an_alert_never_gets_less_severe() -> None:
    _, worse, after = alerts(
        finding(0, impact=Severity.LOW), finding(1, impact=Severity.HIGH), finding(2, impact=Severity.INFO)
    )
    assert worse.severity == Severity.HIGH
    assert (after.severity, after.risk) == (Severity.HIGH, worse.risk)


def test_forgets_the_least_recent_alert_when_it_is_full() -> None:
    desk = AlertDesk(AlertSettings(open_max=10), "cafe")
    first = [alert.id for alert in desk.take(finding(0, key=(str(number),)) for number in range(30))]
    assert desk.forgotten == 20
    (kept,) = desk.take([finding(1, key=("29",))])
    (begun_again,) = desk.take([finding(1, key=("0",))])
    assert (kept.id, kept.rev) == (first[29], 2)
    assert begun_again.rev == 1


def test_findings_in_other_portions_give_the_same_alerts() -> None:
    findings = [finding(number, key=(str(number % 7),), count=number + 1) for number in range(100)]
    whole = alerts(*findings)
    desk = AlertDesk(AlertSettings(), "cafe")
    assert [alert for one in findings for alert in desk.take([one])] == whole


def test_an_alert_as_plain_values_has_words_for_its_severities() -> None:
    (alert,) = alerts(finding())
    plain = alert.as_dict()
    assert plain["severity"] == "medium"
    assert plain["finding"]["impact"] == "medium"
    assert plain["finding"]["key"] == ("198.51.100.7", "192.168.1.20", "TCP")


def test_what_is_over_ends_its_alert_once_and_may_begin_again() -> None:
    desk = AlertDesk(AlertSettings(), "cafe")
    over = finding(400, over=True, signature="", measured=0, impact=Severity.INFO, explain=Explain("It is over.", ""))
    assert list(desk.take([over])) == []  # it was not open
    first, end, *again = desk.take(
        [finding(0, count=3, explain=Explain("Scanned.", "Why.", next=("Look.",))), over, over]
    )
    assert not again
    assert (end.id, end.rev, end.state, end.ended, end.count) == (first.id, 2, "over", over.ts, 3)
    assert (end.severity, end.finding.signature, end.finding.measured) == (first.severity, "Port scan (SYN)", 8)
    assert (end.finding.explain.what, end.finding.explain.why, end.finding.explain.next) == ("It is over.", "Why.", ())
    (back,) = desk.take([finding(900)])
    assert (back.id, back.rev, back.state, back.ended) == (first.id, 3, "new", 0)


def test_an_alert_of_an_earlier_process_is_adopted_unless_one_is_open() -> None:
    (old,) = alerts(finding(0))
    desk = AlertDesk(AlertSettings(), "cafe")
    desk.adopt(old)
    (end,) = desk.take([finding(7_200, over=True)])
    assert (end.id, end.rev, end.state) == (old.id, 2, "over")
    desk.adopt(old)
    assert list(desk.take([finding(7_201, over=True)])) == []
