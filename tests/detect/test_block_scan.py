"""Block scans: several ports on several hosts."""

from __future__ import annotations

from pathlib import Path

from nsm.detect.block_scan import BlockScan, BlockScanSettings
from nsm.model.flow import FLOW, Outcome
from nsm.model.table import Rows
from tests.data.detect.make import ATTACKER
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of
from tests.kernels.frames import SYN


def tries(pairs: list[tuple[str, int]], src: str = ATTACKER, outcome: Outcome = Outcome.REFUSED) -> Rows:
    return rows_of(FLOW, [
        {"src": src, "dst": host, "dst_port": port, "proto": 6, "outcome": outcome, "tcp_first": SYN,
         "ts": place * 1_000, "emit_us": place * 1_000, "flow_id": place}
        for place, (host, port) in enumerate(pairs)
    ])  # fmt: skip


def grid(hosts: int, ports: int) -> list[tuple[str, int]]:
    return [(f"192.168.1.{host + 1}", port + 20) for host in range(hosts) for port in range(ports)]


def scan(**settings: float) -> BlockScan:
    return BlockScan(BlockScanSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


def test_a_block_is_found_where_neither_ports_nor_hosts_alone_are_many(tmp_path: Path) -> None:
    seen = case("block", tmp_path)
    assert seen.of("block_scan")[0].finding.actors == (ATTACKER,)
    assert not seen.of("port_scan")
    assert not seen.of("host_sweep")


def test_the_threshold_is_reached_at_its_number() -> None:
    assert not findings(scan(), tries(grid(10, 7)[:39]))
    found = findings(scan(), tries(grid(10, 7)))
    # Not before there are more than five hosts and five ports in it.
    assert found[0].measured == 40
    assert found[0].threshold == 40


def test_it_is_silent_when_it_is_one_host_or_one_port() -> None:
    assert not findings(scan(), tries(grid(1, 200)))
    assert not findings(scan(), tries(grid(200, 1)))


def test_peers_on_high_ports_of_many_networks_are_quiet(tmp_path: Path) -> None:
    peers = [(f"45.{number}.7.9", 20_000 + number * 13) for number in range(200)]
    assert not findings(scan(), tries(peers))
    assert not case("peer_to_peer", tmp_path).of("block_scan")


def test_it_is_silent_where_most_are_answered() -> None:
    detector = scan()
    list(detector.observe(tries(grid(1, 2))))
    list(detector.observe(tries(grid(20, 10), outcome=Outcome.ANSWERED)))
    assert not findings(detector, tries(grid(10, 7)))


def test_state_is_bounded_and_what_is_refused_is_counted() -> None:
    detector = scan(sources_max=3)
    for host in range(9):
        list(detector.observe(tries(grid(1, 2), src=f"203.0.113.{host}")))
    assert detector.saturated == 12
    assert len(detector._sources) == 3
    many = [(f"10.0.{number // 250}.{number % 250}", number % 60_000 + 1) for number in range(3_000)]
    list(detector.observe(tries(many, src="203.0.113.0")))
    source = detector._sources._values[(0, 0xFFFF_CB00_7100)]
    assert max(len(source.hosts), len(source.ports), len(source.pairs)) <= 1_024
