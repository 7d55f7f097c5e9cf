"""Repeated failed connections to one service."""

from __future__ import annotations

from pathlib import Path

from nsm.detect.failed_connections import FailedConnections, FailedConnectionsSettings
from nsm.model.finding import Severity
from nsm.model.flow import FLOW, Outcome
from nsm.model.table import Rows
from tests.data.detect.make import OURS, SERVER
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of
from tests.kernels.frames import SYN

SECOND_US = 1_000_000


def tries(count: int, src: str = OURS, first: int = 0, outcome: Outcome = Outcome.REFUSED, step_s: int = 10) -> Rows:
    return rows_of(FLOW, [
        {"src": src, "dst": SERVER, "dst_port": 3389, "proto": 6, "outcome": outcome, "tcp_first": SYN,
         "ts": (first + place) * step_s * SECOND_US, "emit_us": (first + place) * step_s * SECOND_US,
         "flow_id": 1 + first + place}
        for place in range(count)
    ])  # fmt: skip


def watch(**settings: int) -> FailedConnections:
    return FailedConnections(FailedConnectionsSettings(**settings), SURROUNDINGS)


def test_somebody_who_keeps_knocking_is_told_of(tmp_path: Path) -> None:
    alert = case("knocking", tmp_path).of("failed_connections")[0]
    assert alert.finding.actors == (OURS,)
    assert alert.finding.victims == (SERVER,)
    assert alert.severity == Severity.LOW


def test_the_threshold_is_reached_at_its_number() -> None:
    assert not findings(watch(), tries(19))
    assert [f.measured for f in findings(watch(), tries(20))] == [20]
    assert not findings(watch(), tries(59, step_s=60))
    assert [f.window_s for f in findings(watch(), tries(60, step_s=60))] == [3_600]


def test_a_client_that_gets_through_in_between_is_quiet(tmp_path: Path) -> None:
    assert not case("mended_client", tmp_path).of("failed_connections")
    detector = watch()
    for turn in range(5):
        assert not findings(detector, tries(15, first=turn * 20))
        assert not findings(detector, tries(1, first=turn * 20 + 15, outcome=Outcome.ANSWERED))


def test_an_outage_that_many_meet_is_quiet(tmp_path: Path) -> None:
    assert not case("outage", tmp_path).of("failed_connections")


def test_state_is_bounded_and_what_is_refused_is_counted() -> None:
    detector = watch(keys_max=4, sources_max=100)
    for host in range(10):
        list(detector.observe(tries(2, src=f"192.168.1.{host}")))
    assert detector.saturated == 12
    assert len(detector._keys) == 4
    list(detector.observe(tries(2_000, src="192.168.1.0")))
    assert max(len(value.tries) for value in detector._keys._values.values()) <= 512
