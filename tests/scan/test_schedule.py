"""The schedule against a made-up network: everything is asked, answered once, and never too fast."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.errors import ScanError
from nsm.model.scan import PortState
from nsm.scan.ledger import Ledger
from nsm.scan.pacing import FIRST_WAVE, WINDOW_MAX
from nsm.scan.probing import probe
from nsm.scan.schedule import HostState, Pace, Schedule
from tests.scan.network import Network

FAST = Pace(rate=0, rate_host=0)


def scanned(network: Network, schedule: Schedule, hosts: int = 1, ledger: Ledger | None = None) -> Ledger:
    ledger = ledger or Ledger([f"10.0.0.{number}" for number in range(hosts)], "tcp", PortState.FILTERED)
    assert probe(schedule, network, ledger, network.clock, lambda: True)
    ledger.record_silent(schedule.silent())
    return ledger


@settings(max_examples=40)
@given(
    hosts=st.integers(1, 5),
    ports=st.integers(1, 60),
    loss=st.floats(0, 0.3),
    rtt=st.floats(0.0001, 0.2),
    silent=st.sets(st.integers(1, 60)),
    opened=st.sets(st.integers(1, 60)),
    full_every=st.sampled_from((0, 3, 50)),
    seed=st.integers(0, 1000),
)
def test_every_question_is_settled_exactly_once(
    hosts: int, ports: int, loss: float, rtt: float, silent: set[int], opened: set[int], full_every: int, seed: int
) -> None:
    network = Network(loss=loss, rtt=rtt, silent=silent, opened=opened, seed=seed, full_every=full_every)
    schedule = Schedule(hosts, range(1, ports + 1), FAST)
    ledger = scanned(network, schedule, hosts)
    for tally in ledger.tallies:
        assert sum(tally.counts.values()) == ports
        assert set(tally.ports) <= opened
    assert schedule.sent == len(network.sent)
    assert not schedule.take(network.now)  # nothing is left over
    assert schedule._underway == 0
    assert all(host.underway == 0 for host in schedule._hosts)


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1, 0.2])
def test_open_ports_are_found_under_loss(loss: float) -> None:
    opened = set(range(10, 3_000, 100))
    network = Network(loss=loss, opened=opened, silent=range(2_900, 3_000))
    ledger = scanned(network, Schedule(1, range(1, 3_001), FAST))
    assert set(ledger.tallies[0].ports) == opened - set(range(2_900, 3_000))
    assert ledger.tallies[0].counts[PortState.FILTERED] == 100


def test_without_loss_a_silent_port_costs_three_tries_and_others_one() -> None:
    network = Network(silent=range(1, 51))
    scanned(network, Schedule(1, range(1, 201), FAST))
    tries = Counter(port for _, (_, port, _) in network.sent)
    assert {tries[port] for port in range(1, 51)} == {3}
    assert {tries[port] for port in range(51, 201)} == {1}


def test_with_loss_silent_ports_are_asked_more_often_even_those_given_up_before() -> None:
    # The silent ports come first: they have had all their tries before the loss is known.
    network = Network(loss=0.4, silent=range(1, 51), seed=3)
    schedule = Schedule(1, range(1, 401), FAST)
    ledger = scanned(network, schedule)
    tries = Counter(port for _, (_, port, _) in network.sent)
    assert min(tries[port] for port in range(1, 51)) >= 5
    assert max(tries.values()) <= 10
    assert ledger.tallies[0].counts[PortState.CLOSED] >= 349
    assert schedule.lost / (schedule.lost + schedule.answered) == pytest.approx(0.4, abs=0.08)


def test_a_late_answer_is_taken_and_teaches_the_timer() -> None:
    # The answers take twice as long as the first time-out: they come when the second try is on its way.
    network = Network(rtt=0.6)
    schedule = Schedule(1, range(1, 11), FAST)
    ledger = scanned(network, schedule)
    assert ledger.tallies[0].counts == {PortState.CLOSED: 10}
    assert schedule._hosts[0].timer.rto > 0.6
    assert ledger.tallies[0].few[PortState.CLOSED][0].rtt_ms == pytest.approx(600, rel=0.15)


@settings(max_examples=15)
@given(rate=st.integers(10, 5_000), rate_host=st.integers(10, 2_000), hosts=st.integers(1, 4))
def test_no_rate_is_ever_exceeded(rate: int, rate_host: int, hosts: int) -> None:
    network = Network()
    scanned(network, Schedule(hosts, range(1, 101), Pace(rate=rate, rate_host=rate_host)), hosts)
    for bound, times in [
        (rate, [at for at, _ in network.sent]),
        *((rate_host, [at for at, (host, _, _) in network.sent if host == number]) for number in range(hosts)),
    ]:
        burst = max(1.0, bound * 0.01)
        for first in range(len(times)):
            for last in range(first, len(times), 7):
                assert last - first + 1 <= burst + bound * (times[last] - times[first] + 130e-5) + 1


def test_the_rate_is_reached_too() -> None:
    network = Network()
    scanned(network, Schedule(1, range(1, 1_001), Pace(rate=1_000, rate_host=500)))
    assert network.now - 100.0 == pytest.approx(2.0, rel=0.1)


def test_the_window_bounds_what_is_on_its_way() -> None:
    network = Network(rtt=0.1)
    scanned(network, Schedule(1, range(1, 20_001), Pace(rate=0, rate_host=0, timeout_min_s=0.5)))
    assert 1_000 < network.on_way_max <= WINDOW_MAX


def test_hosts_are_asked_in_turn() -> None:
    network = Network()
    scanned(network, Schedule(8, range(1, 33), FAST), 8)
    first = Counter(host for _, (host, _, _) in network.sent[:128])
    assert set(first) == set(range(8))
    assert max(first.values()) <= 2 * min(first.values())


def test_a_silent_host_does_not_hold_up_the_others() -> None:
    class OneSilent(Network):
        def send(self, probes):  # type: ignore[no-untyped-def]
            return super().send([item if item[0] else (0, 0, item[2]) for item in probes])

    network = OneSilent(silent={0})
    schedule = Schedule(2, range(1, 101), FAST)
    ledger = scanned(network, schedule, 2)
    assert ledger.tallies[0].counts == {PortState.FILTERED: 100}
    assert ledger.tallies[1].counts == {PortState.CLOSED: 100}


def test_a_host_that_cannot_be_reached_is_not_asked_again() -> None:
    network = Network(silent=range(1, 100))
    network.unreachable.append((0, "no route"))
    schedule = Schedule(2, range(1, 100), FAST)
    ledger = scanned(network, schedule, 2)
    assert ledger.tallies[0].counts == {PortState.FILTERED: 99}
    assert {port.reason for port in ledger.tallies[0].few[PortState.FILTERED]} == {"no route"}
    assert ledger.tallies[1].counts == {PortState.FILTERED: 99}
    assert len([1 for _, (host, _, _) in network.sent if host == 0]) <= 128


def test_a_scan_goes_on_from_any_moment_to_the_same_result() -> None:
    opened = set(range(5, 400, 7))
    for turns in (1, 2, 5, 9):
        network = Network(opened=opened, loss=0.1, rtt=0.02)
        before = Schedule(2, range(1, 401), FAST)
        ledger = Ledger(["10.0.0.1", "10.0.0.2"], "tcp", PortState.FILTERED)
        for _ in range(turns):
            network.send(before.take(network.now))
            for host, port, attempt, state, reason, _ in network.receive(0.03):
                if before.answer(host, port, attempt, network.now) >= 0:
                    ledger.record(host, port, state, reason)
        states = before.states()
        assert sum(len(state.open) for state in states) < 400  # what is answered is not asked again
        other = Network(opened=opened, loss=0.1, rtt=0.02, seed=2)
        scanned(other, Schedule(2, range(1, 401), FAST, states), 2, ledger)
        for tally in ledger.tallies:
            assert set(tally.ports) == opened
            assert sum(tally.counts.values()) == 400


def test_what_was_put_aside_is_told_so_that_sockets_can_be_closed() -> None:
    network = Network(silent={3})
    scanned(network, Schedule(1, range(1, 200), Pace(rate=100, rate_host=100)))
    assert network.forgotten == [(0, 3)]


def test_an_answer_counts_once() -> None:
    schedule = Schedule(1, (7,), FAST)
    assert schedule.take(1.0) == [(0, 7, 1)]
    assert schedule.answer(0, 7, 1, 1.25) == 0.25
    assert schedule.answer(0, 7, 1, 1.26) == -1
    assert schedule.answer(0, 8, 1, 1.26) == -1
    assert (schedule.sent, schedule.answered) == (1, 1)


def test_udp_sends_at_first_what_every_host_tells_of() -> None:
    schedule = Schedule(1, range(1, 100), Pace(rate=0, rate_host=0, thin=True))
    assert len(schedule.take(1.0)) == FIRST_WAVE
    assert not schedule.take(1.001)
    schedule.answer(0, 1, 1, 1.01)
    schedule.closed_told(0, 1, 1.0)
    assert 1 <= sum(len(schedule.take(1.02 + step / 100)) for step in range(100)) <= 15


def test_a_silent_host_is_not_asked_slowly() -> None:
    network = Network(silent=range(1, 1_000))
    scanned(network, Schedule(1, range(1, 1_000), Pace(rate=0, rate_host=0, thin=True)))
    assert network.now - 100 < 20  # waits of a third of a second, 64 at a time


@pytest.mark.parametrize(("rate", "loss", "seconds"), [(1.0, 0.0, 150), (50.0, 0.0, 10), (1_000.0, 0.05, 5)])
def test_udp_keeps_to_what_a_host_tells_of_closed_ports(rate: float, loss: float, seconds: float) -> None:
    network = Network(icmp_rate=rate, loss=loss, opened=[50], silent=[60])
    pace = Pace(rate=0, rate_host=0, thin=True, timeout_min_s=0.2)
    ledger = scanned(network, Schedule(1, range(1, 101), pace))
    assert ledger.tallies[0].counts == {PortState.CLOSED: 98, PortState.OPEN: 1, PortState.FILTERED: 1}
    assert network.now - 100 < seconds


def test_a_journal_of_other_hosts_is_not_needed() -> None:
    schedule = Schedule(1, (1, 2, 3), FAST, [HostState(2, [1])])
    assert sorted(port for _, port, _ in schedule.take(1.0)) == [1, 3]


def test_a_slow_host_is_never_asked_faster_than_the_rate_allows() -> None:
    schedule = Schedule(1, range(1, 100), Pace(rate=10, rate_host=10, thin=True))
    for _ in range(40):
        schedule.closed_told(0, 1, 1.0)
    assert schedule._hosts[0].bucket.rate == 10


def test_a_scan_that_can_send_nothing_gives_up_with_a_reason() -> None:
    with pytest.raises(ScanError, match="nothing could be sent"):
        scanned(Network(full_every=1), Schedule(1, range(1, 5), FAST))
