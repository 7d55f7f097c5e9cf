"""New hosts on the network."""

from __future__ import annotations

from pathlib import Path

from nsm.detect.new_host import MINUTE_US, NewHost, NewHostSettings
from nsm.model.finding import Severity
from nsm.model.flow import FLOW
from nsm.model.table import Rows
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of


def sent(src: str, minute: float, dst: str = "45.1.1.1", answers: int = 0) -> Rows:
    ts = int(1 + minute * MINUTE_US)
    return rows_of(FLOW, [
        {"src": src, "dst": dst, "proto": 6, "ts": ts, "emit_us": ts, "flow_id": 1, "src_mac": 0x020000000007, "pkts_c": answers}
    ])  # fmt: skip


def watch(**settings: float) -> NewHost:
    return NewHost(NewHostSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


def test_a_host_that_was_not_there_before_is_told_once(tmp_path: Path) -> None:
    (alert,) = case("news_host", tmp_path).of("new_host")
    assert alert.finding.actors == ("192.168.1.77",)
    assert alert.severity == Severity.INFO
    assert "02:00:00:00:00:01" in alert.finding.explain.what


def test_the_first_minutes_are_quiet() -> None:
    detector = watch()
    for number in range(100):
        assert not findings(detector, sent(f"192.168.1.{number + 1}", number * 0.099))
    assert [f.actors for f in findings(detector, sent("192.168.1.200", 10.1))] == [("192.168.1.200",)]
    assert not findings(detector, sent("192.168.1.200", 90))


def test_a_server_that_answers_is_new_too_and_one_that_does_not_is_quiet() -> None:
    detector = watch(learn_minutes=0)
    list(detector.observe(sent("192.168.1.1", 0)))
    assert not findings(detector, sent("192.168.1.1", 1, dst="192.168.1.2"))
    assert [f.actors for f in findings(detector, sent("192.168.1.1", 2, dst="192.168.1.2", answers=1))] == [
        ("192.168.1.2",)
    ]


def test_strangers_are_silent() -> None:
    assert not findings(watch(learn_minutes=0), sent("45.1.1.1", 5, dst="46.1.1.1", answers=3))


def test_state_is_bounded_and_what_is_forgotten_is_counted() -> None:
    detector = watch(hosts_max=5)
    for number in range(20):
        list(detector.observe(sent(f"192.168.1.{number + 1}", 0)))
    assert detector.saturated == 15
    assert len(detector._hosts) == 5
