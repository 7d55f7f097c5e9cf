"""ARP sweeps: questions for every address of a network."""

from __future__ import annotations

from pathlib import Path

from nsm.detect.arp_sweep import REPLY, REQUEST, ArpSweep, ArpSweepSettings
from nsm.model.table import Rows
from nsm.model.traffic import ARP
from tests.data.detect.make import OURS
from tests.detect.kit import SURROUNDINGS, case, findings, rows_of


def asks(hosts: list[int], src: str = OURS, step_us: int = 50_000) -> Rows:
    return rows_of(ARP, [
        {"src": src, "dst": f"192.168.1.{host}", "opcode": REQUEST, "ts": 1 + place * step_us}
        for place, host in enumerate(hosts)
    ])  # fmt: skip


def answers(hosts: list[int]) -> Rows:
    return rows_of(ARP, [{"src": f"192.168.1.{host}", "dst": OURS, "opcode": REPLY, "ts": 1} for host in hosts])


def sweep(**settings: float) -> ArpSweep:
    return ArpSweep(ArpSweepSettings(**settings), SURROUNDINGS)  # type: ignore[arg-type]


def test_a_sweep_is_found(tmp_path: Path) -> None:
    first = case("sweep_arp", tmp_path).of("arp_sweep")[0].finding
    assert first.actors == (OURS,)
    assert first.measured == 15


def test_a_gateway_that_looks_for_its_hosts_is_quiet(tmp_path: Path) -> None:
    assert not case("gateway_arp", tmp_path).of("arp_sweep")


def test_it_is_silent_when_half_of_the_hosts_are_there() -> None:
    detector = sweep()
    list(detector.observe(asks([1])))
    list(detector.observe(answers(list(range(2, 40)))))
    assert not findings(detector, asks(list(range(40, 60))))


def test_it_is_silent_on_a_providers_gateway_whose_answers_are_not_seen() -> None:
    hosts = [(number * 37) % 251 + 1 for number in range(200)]  # in no order
    assert not findings(sweep(), asks(hosts))
    assert findings(sweep(), asks(sorted(hosts)))


def test_probes_for_an_address_of_ones_own_are_quiet() -> None:
    detector = sweep()
    assert not findings(detector, asks(list(range(1, 100)), src="0.0.0.0"))
    own = rows_of(ARP, [{"src": OURS, "dst": OURS, "opcode": REQUEST, "ts": 1 + n} for n in range(50)])
    assert not findings(detector, own)


def test_state_is_bounded_and_what_is_refused_is_counted() -> None:
    detector = sweep(sources_max=4)
    for host in range(10):
        list(detector.observe(asks([100, 101], src=f"192.168.1.{1 + host}")))
    assert detector.saturated == 12
    assert len(detector._askers) == 4
