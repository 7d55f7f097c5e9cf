"""Host sweeps: one service, or a ping, on many hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.detect.host_sweep import HostSweep, HostSweepSettings
from nsm.model.flow import FLOW, Outcome
from nsm.model.table import Rows
from tests.data.detect.make import ATTACKER, LOOK_ALIKES
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of
from tests.kernels.frames import SYN


def tries(hosts: list[str], port: int = 445, proto: int = 6, outcome: Outcome = Outcome.UNANSWERED) -> Rows:
    return rows_of(FLOW, [
        {"src": ATTACKER, "dst": host, "dst_port": port, "proto": proto, "outcome": outcome, "tcp_first": SYN,
         "src_port": 8 if proto == 1 else 40_000, "ts": place * 1_000, "emit_us": place * 1_000, "flow_id": place}
        for place, host in enumerate(hosts)
    ])  # fmt: skip


def near(count: int, first: int = 1) -> list[str]:
    return [f"192.168.1.{number}" for number in range(first, first + count)]


def spread(count: int) -> list[str]:
    return [f"45.{number}.7.9" for number in range(count)]


def sweep(**settings: float) -> HostSweep:
    return HostSweep(HostSweepSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "window"),
    [("sweep", 3), ("sweep_minute", 60), ("sweep_hour", 3_600), ("sweep_day", 86_400), ("sweep_echo", 3)],
)
def test_a_sweep_is_found_in_the_window_of_its_pace(name: str, window: int, tmp_path: Path) -> None:
    first = case(name, tmp_path).of("host_sweep")[0].finding
    assert first.window_s == window
    assert first.actors == (ATTACKER,)


def test_the_threshold_is_reached_at_its_number() -> None:
    assert not findings(sweep(), tries(near(11)))
    assert [f.measured for f in findings(sweep(), tries(near(12)))] == [12]


@pytest.mark.parametrize(
    "name", ["busy_resolver", "web_crawler", "peer_to_peer", "monitoring", "office_behind_one_address"]
)
def test_busy_hosts_are_quiet(name: str, tmp_path: Path) -> None:
    assert name in LOOK_ALIKES
    assert not case(name, tmp_path).of("host_sweep")


def test_it_is_silent_on_peers_that_are_spread_over_the_world() -> None:
    assert not findings(sweep(), tries(spread(200), port=51_413))
    assert not findings(sweep(), tries(spread(200), port=30_123, proto=17))
    # A known service on as many networks is a scan of the internet all the same.
    assert findings(sweep(), tries(spread(200), port=445))


def test_it_is_silent_where_most_hosts_answer() -> None:
    detector = sweep()
    assert not findings(detector, tries(near(11)))
    assert not findings(detector, tries(near(100, 100), outcome=Outcome.ANSWERED))
    assert not findings(detector, tries(near(20, 11)))


def test_pings_that_are_answered_are_quiet() -> None:
    assert not findings(sweep(), tries(near(100), proto=1, outcome=Outcome.ANSWERED))
    detector = sweep()
    assert not findings(detector, tries(near(90), proto=1, outcome=Outcome.ANSWERED))
    assert findings(detector, tries(near(60, 100), proto=1))


def test_state_is_bounded_and_what_is_refused_is_counted() -> None:
    detector = sweep(keys_max=5)
    for port in range(20):
        list(detector.observe(tries(near(2), port=port + 1)))
    assert detector.saturated == 30
    assert len(detector._sweeps) == 5
