"""New external connections: learning first, then one alert a host."""

from __future__ import annotations

from pathlib import Path

from nsm.detect.new_external import HOUR_US, NewExternal, NewExternalSettings
from nsm.model.finding import Severity
from nsm.model.flow import FLOW, Outcome
from nsm.model.table import Rows
from tests.data.detect.make import OURS
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of


def to(dst: str, hour: float, src: str = OURS, outcome: Outcome = Outcome.ANSWERED) -> Rows:
    ts = int(1 + hour * HOUR_US)
    return rows_of(FLOW, [
        {"src": src, "dst": dst, "dst_port": 443, "proto": 6, "outcome": outcome, "ts": ts, "emit_us": ts, "flow_id": 1}
    ])  # fmt: skip


def watch(**settings: float) -> NewExternal:
    return NewExternal(NewExternalSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


def test_after_the_first_day_a_new_network_is_told_and_counted_on(tmp_path: Path) -> None:
    alerts = case("news_network", tmp_path).of("new_external")
    assert [(alert.finding.actors, alert.count) for alert in alerts] == [((OURS,), 1), ((OURS,), 2)]
    assert {alert.severity for alert in alerts} == {Severity.INFO}
    assert len({alert.id for alert in alerts}) == 1


def test_the_first_day_is_quiet() -> None:
    detector = watch()
    for number in range(200):
        assert not findings(detector, to(f"45.{number}.1.1", number * 23.9 / 200))
    assert findings(detector, to("46.1.1.1", 24.1))


def test_what_is_known_stays_quiet() -> None:
    detector = watch()
    list(detector.observe(to("45.1.1.1", 0)))
    assert not findings(detector, to("45.1.1.77", 30))  # another address of that network
    assert not findings(detector, to("45.1.1.1", 30, src="192.168.1.33"))  # another host of ours


def test_what_was_not_answered_is_quiet_and_not_learned() -> None:
    detector = watch()
    list(detector.observe(to("45.1.1.1", 0)))
    assert not findings(detector, to("45.9.1.1", 25, outcome=Outcome.UNANSWERED))
    assert findings(detector, to("45.9.1.1", 26))


def test_inside_and_inwards_are_silent() -> None:
    detector = watch(learn_hours=0)
    assert not findings(detector, to("192.168.7.7", 1))
    assert not findings(detector, to(OURS, 1, src="45.1.1.1"))
    assert not findings(detector, to("224.0.0.251", 1))


def test_state_is_bounded_and_what_is_forgotten_is_counted() -> None:
    detector = watch(learn_hours=0, networks_max=10, hosts_max=2)
    for number in range(30):
        list(detector.observe(to(f"45.{number}.1.1", 1, src=f"192.168.1.{number}")))
    assert detector.saturated == 20 + 28
    assert len(detector._known) == 10
    assert len(detector._hosts) == 2
