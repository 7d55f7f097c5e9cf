"""Floods: by rate and by the share of what is answered; one alert, however many sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.detect.flood import Flood, FloodSettings
from nsm.model.finding import Severity
from nsm.model.table import Rows
from nsm.model.traffic import TARGET
from tests.data.detect.make import SERVER
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of

TICK_US = 250_000


def ticks(count: int, first: int = 0, dst: str = SERVER, proto: int = 6, **columns: int) -> Rows:
    return rows_of(TARGET, [
        {"ts": (first + tick) * TICK_US, "dst": dst, "src": "203.0.113.1", "port": 0 if proto == 1 else 80, "proto": proto,
         **{"pkts": columns.get("syns", 0), "flows": columns.get("syns", 0)}, **columns}
        for tick in range(count)
    ])  # fmt: skip


def flood(**settings: float) -> Flood:
    return Flood(FloodSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "signature", "severity"),
    [
        ("flood_syn", "SYN flood", Severity.HIGH), ("flood_syn_slow", "SYN flood", Severity.HIGH),
        ("flood_udp", "UDP flood", Severity.HIGH), ("flood_icmp", "ICMP flood", Severity.MEDIUM),
        ("flood_ack", "TCP flood", Severity.HIGH),
    ],
)  # fmt: skip
def test_a_flood_is_one_alert_that_names_its_victim(
    name: str, signature: str, severity: Severity, tmp_path: Path
) -> None:
    alerts = case(name, tmp_path).of("flood")
    assert {alert.id for alert in alerts} == {alerts[0].id}
    assert alerts[0].finding.signature == signature
    assert alerts[0].finding.victims == (SERVER,)
    assert alerts[0].finding.actors == ()
    assert alerts[0].severity == severity


def test_one_source_is_named() -> None:
    (found,) = findings(flood(), ticks(4, syns=300, single=1))
    assert found.actors == ("203.0.113.1",)
    assert findings(flood(), ticks(4, syns=300, single=0))[0].actors == ()


def test_the_threshold_is_reached_at_its_number() -> None:
    assert not findings(flood(), ticks(3, syns=333))
    assert not findings(flood(), ticks(4, syns=249))
    assert [f.measured for f in findings(flood(), ticks(4, syns=250))] == [1_000]


def test_a_slower_flood_needs_three_seconds() -> None:
    assert not findings(flood(), ticks(8, syns=60))
    (found,) = findings(flood(), ticks(12, syns=60))
    assert (found.window_s, found.threshold) == (3, 200)


def test_a_crowd_whose_handshakes_are_completed_is_quiet() -> None:
    assert not findings(flood(), ticks(40, syns=2_000, completed=1_600))
    assert not findings(flood(), ticks(40, syns=2_000, completed=400))  # a fifth
    assert findings(flood(), ticks(40, syns=2_000, completed=390))


def test_streams_that_are_answered_are_silent() -> None:
    assert not findings(flood(), ticks(40, proto=17, pkts=5_000, flows=10, answered=5))
    assert findings(flood(), ticks(40, proto=17, pkts=5_000, flows=10, answered=1))


@pytest.mark.parametrize("name", ["flash_crowd", "streaming", "outage", "one_side_from_the_middle"])
def test_busy_and_broken_servers_are_quiet(name: str, tmp_path: Path) -> None:
    assert not case(name, tmp_path).of("flood")


def test_multicast_is_silent() -> None:
    assert not findings(flood(), ticks(40, dst="239.1.1.1", proto=17, pkts=9_000, flows=1))


def test_a_flood_that_comes_back_after_ten_minutes_begins_anew() -> None:
    detector = flood()
    assert len(findings(detector, ticks(8, syns=600))) == 2  # at 1,000 and at 2,000
    assert not findings(detector, ticks(8, first=100, syns=600))
    again = findings(detector, ticks(8, first=10_000, syns=600))
    assert len(again) == 2
    assert again[0].first_seen == 10_000 * TICK_US


def test_state_is_bounded_and_what_is_forgotten_is_counted() -> None:
    detector = flood(targets_max=4)
    for host in range(10):
        list(detector.observe(ticks(1, dst=f"192.168.1.{host}", syns=100)))
    assert detector.saturated == 6
    assert len(detector._targets) == 4
