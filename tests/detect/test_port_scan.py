"""Port scans: every kind of probe, every pace, inside and outside; and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.detect.port_scan import PortScan, PortScanSettings
from nsm.model.finding import Finding, NearMiss
from nsm.model.flow import FLOW, MARK_LATE_ANSWER, Outcome
from nsm.model.table import Rows
from tests.data.detect.make import ATTACKER, SERVER, refused
from tests.detect.kit import SURROUNDINGS, analysed, case, findings, rows_of
from tests.kernels.frames import SYN

US = 1_000_000


def tries(
    ports: range, src: str = ATTACKER, dst: str = SERVER, step_us: int = 1_000, outcome: Outcome = Outcome.REFUSED,
    marks: int = 0, proto: int = 6, flags: int = SYN,
) -> Rows:  # fmt: skip
    return rows_of(FLOW, [
        {"src": src, "dst": dst, "dst_port": port, "proto": proto, "outcome": outcome, "tcp_first": flags, "marks": marks,
         "ts": place * step_us, "emit_us": place * step_us, "flow_id": port, "pkts_s": 1, "ttl_min_s": 64}
        for place, port in enumerate(ports)
    ])  # fmt: skip


def scan(**settings: float) -> PortScan:
    return PortScan(PortScanSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "probe", "window"),
    [
        ("connect", "SYN", 1), ("syn", "SYN", 1), ("syn_silent", "SYN", 1), ("null", "NULL", 1), ("fin", "FIN", 1),
        ("xmas", "XMAS", 1), ("ack", "ACK", 1), ("udp", "UDP", 1), ("six", "SYN", 1), ("tunnel", "SYN", 1),
        ("minute", "SYN", 60), ("hour", "SYN", 3_600), ("day", "SYN", 86_400), ("inside", "SYN", 1),
    ],
)  # fmt: skip
def test_a_scan_is_found_in_the_window_of_its_pace(name: str, probe: str, window: int, tmp_path: Path) -> None:
    alert = case(name, tmp_path).of("port_scan")[0]
    assert alert.finding.signature == f"Port scan ({probe})"
    assert alert.finding.window_s == window
    assert len({a.id for a in case(name, tmp_path).of("port_scan")}) == 1


def test_who_scans_is_the_actor_and_who_is_scanned_is_not(tmp_path: Path) -> None:
    for alert in case("syn", tmp_path).of("port_scan"):
        assert alert.finding.actors == (ATTACKER,)
        assert alert.finding.victims == (SERVER,)


def test_the_threshold_is_reached_at_its_number_and_told_again_at_the_double() -> None:
    detector = scan(burst_ports=8)
    assert findings(detector, tries(range(1, 8))) == []
    assert [f.measured for f in findings(detector, tries(range(8, 9)))] == [8]
    assert findings(detector, tries(range(9, 16))) == []
    assert [f.count for f in findings(detector, tries(range(16, 17)))] == [16]


def test_sources_of_ours_get_more_patience() -> None:
    assert findings(scan(), tries(range(1, 16), step_us=2 * US))
    assert not findings(scan(), tries(range(1, 24), src="192.168.1.66", step_us=2 * US))
    assert findings(scan(), tries(range(1, 25), src="192.168.1.66", step_us=2 * US))


def test_it_is_silent_when_most_ports_answer() -> None:
    detector = scan()
    assert not findings(detector, tries(range(1, 7)))
    assert not findings(detector, tries(range(100, 200), outcome=Outcome.ANSWERED))
    assert not findings(detector, tries(range(7, 40)))


def test_it_is_silent_when_the_answers_were_only_late() -> None:
    detector = scan()
    assert not findings(detector, tries(range(1, 8), outcome=Outcome.UNANSWERED))
    assert not findings(detector, tries(range(1, 8), outcome=Outcome.ANSWERED, marks=MARK_LATE_ANSWER))
    assert not findings(detector, tries(range(10, 17), outcome=Outcome.UNANSWERED))


def test_one_port_again_and_again_is_quiet() -> None:
    detector = scan()
    for _ in range(100):
        assert not findings(detector, tries(range(22, 23)))


def test_a_near_miss_is_kept_from_a_quarter_of_the_threshold(tmp_path: Path) -> None:
    frames = [item for number in range(5) for item in refused(number * 0.05, ATTACKER, SERVER, 40_000, 1 + number)]
    seen = analysed(frames, tmp_path)
    assert not seen.of("port_scan")
    assert [(near.detector, near.measured) for near in seen.near if near.detector == "port_scan"] == [("port_scan", 2)]


def test_the_same_rows_in_other_portions_give_the_same() -> None:
    rows = tries(range(1, 60))
    whole = list(scan().observe(rows))
    detector = scan()
    parts = [item for at in range(0, 59, 7) for item in detector.observe(rows.slice(at, at + 7))]
    assert parts == whole
    assert any(isinstance(item, Finding) for item in whole)
    assert any(isinstance(item, NearMiss) for item in whole)


def test_state_is_bounded_and_what_is_refused_is_counted() -> None:
    detector = scan(pairs_max=10)
    for host in range(30):
        list(detector.observe(tries(range(1, 3), src=f"203.0.113.{host}")))
    assert detector.saturated == 40
    assert len(detector._pairs) == 10
    # A flood of sources does not push out the scan that is being watched.
    assert findings(detector, tries(range(3, 40), src="203.0.113.0"))


def test_ports_of_one_pair_are_bounded() -> None:
    detector = scan()
    list(detector.observe(tries(range(1, 3_000), step_us=10)))
    pair = next(iter(detector._pairs._values.values()))
    assert len(pair.ports) == 1_024
    assert pair.ports.total == 2_999
