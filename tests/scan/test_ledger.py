"""What is listed port by port, and what is a count."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsm.model.scan import PortState, ScannedHost
from nsm.scan.ledger import FEW_MAX, MAYBE_MAX, Ledger, summed

HOST = ScannedHost("10.0.0.1")


def ledger_of(**numbers: int) -> Ledger:
    ledger = Ledger(["10.0.0.1"], "tcp", PortState.FILTERED)
    port = 0
    for state, number in numbers.items():
        for _ in range(number):
            port += 1
            ledger.record(0, port, PortState[state.upper()], "because", rtt=0.0012)
    return ledger


def test_the_many_are_counted_and_the_few_listed() -> None:
    host, ports = summed(HOST, ledger_of(open=2, closed=1_000, filtered=3).tallies)
    assert host.counts == {"closed": 1_000}
    assert [port.state.value for port in ports] == ["open"] * 2 + ["filtered"] * 3
    assert (ports[0].address, ports[0].proto, ports[0].rtt_ms) == ("10.0.0.1", "tcp", 1.2)


def test_a_large_minority_is_counted_too() -> None:
    host, ports = summed(HOST, ledger_of(closed=1_000, filtered=FEW_MAX + 1).tallies)
    assert host.counts == {"closed": 1_000, "filtered": FEW_MAX + 1}
    assert not ports


def test_of_a_handful_of_ports_each_is_listed() -> None:
    host, ports = summed(HOST, ledger_of(closed=3).tallies)
    assert (host.counts, len(ports)) == ({}, 3)


def test_open_ports_are_always_listed_and_perhaps_open_ones_while_they_are_few() -> None:
    host, ports = summed(HOST, ledger_of(open=500, open_filtered=MAYBE_MAX).tallies)
    assert (host.counts, len(ports)) == ({}, 600)
    host, ports = summed(HOST, ledger_of(open=500, open_filtered=MAYBE_MAX + 1).tallies)
    assert (host.counts, len(ports)) == ({"open|filtered": MAYBE_MAX + 1}, 500)


@given(
    st.dictionaries(st.sampled_from(["open", "closed", "filtered", "unfiltered", "open_filtered"]), st.integers(1, 150))
)
def test_every_port_is_listed_or_counted(numbers: dict[str, int]) -> None:
    ledger = ledger_of(**numbers)
    host, ports = summed(HOST, ledger.tallies)
    assert sum(host.counts.values()) + len(ports) == sum(numbers.values())
    assert ledger.opened == numbers.get("open", 0)


def test_memory_of_closed_ports_is_bounded() -> None:
    assert len(ledger_of(closed=5_000).tallies[0].few[PortState.CLOSED]) == FEW_MAX + 1


def test_silent_ports_get_the_state_of_their_protocol() -> None:
    ledger = Ledger(["10.0.0.1"], "udp", PortState.OPEN_FILTERED)
    ledger.record_silent([(0, 53, 3)])
    assert ledger.tallies[0].ports[53].state == PortState.OPEN_FILTERED
    assert (ledger.tallies[0].ports[53].tries, ledger.tallies[0].ports[53].reason) == (3, "no answer")
