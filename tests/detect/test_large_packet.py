"""Large packets and odd fragments."""

from __future__ import annotations

from pathlib import Path

from nsm.detect.large_packet import LargePacket, LargePacketSettings
from nsm.model.finding import Severity
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, FRAGMENT_TOO_LARGE, LARGE_PACKET, TINY_FRAGMENT
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of


def events(name: str, count: int, src: str = "10.0.0.1") -> Rows:
    return rows_of(ANOMALY, [
        {"event": name, "ts": place, "src": src, "dst": "10.0.0.2", "proto": 17, "value": 100 + place} for place in range(count)
    ])  # fmt: skip


def large(**settings: int) -> LargePacket:
    return LargePacket(LargePacketSettings(**settings), SURROUNDINGS)


def test_large_packets_are_told_as_information(tmp_path: Path) -> None:
    alerts = case("large", tmp_path).of("large_packet")
    assert [a.finding.signature for a in alerts] == ["Unusually large packet (ICMP)", "Unusually large packet (UDP)"]
    assert [a.finding.measured for a in alerts] == [1_300, 6_000]
    assert {a.severity for a in alerts} == {Severity.INFO}


def test_the_sizes_are_settings(tmp_path: Path) -> None:
    settings = {"decode": {"large_icmp_bytes": 1_400, "large_udp_bytes": 7_000}}
    assert not case("large", tmp_path, settings).of("large_packet")


def test_fragments_that_break_a_receiver_are_worse(tmp_path: Path) -> None:
    (alert,) = case("fragment_beyond", tmp_path).of("large_packet")
    assert alert.finding.key[0] == FRAGMENT_TOO_LARGE
    assert alert.severity == Severity.MEDIUM


def test_tiny_fragments_are_told_when_they_are_many(tmp_path: Path) -> None:
    assert len(case("fragments_tiny", tmp_path).of("large_packet")) == 1
    assert not findings(large(), events(TINY_FRAGMENT, 19))
    assert [f.count for f in findings(large(), events(TINY_FRAGMENT, 50))] == [20, 40]


def test_ordinary_packets_are_quiet(tmp_path: Path) -> None:
    assert not case("ordinary", tmp_path).of("large_packet")
    assert not findings(large(), events("decoder.ipv4.trunc_pkt", 50))


def test_state_is_bounded_and_what_is_forgotten_is_counted() -> None:
    detector = large(pairs_max=3)
    for host in range(8):
        list(detector.observe(events(LARGE_PACKET, 1, src=f"10.0.0.{host}")))
    assert detector.saturated == 5
    assert len(detector._pairs) == 3
