"""What was found, host by host, in bounded memory: open ports one by one, the many alike as counts."""

from __future__ import annotations

from typing import Final

import msgspec

from nsm.model.scan import PortState, ScannedHost, ScannedPort

FEW_MAX: Final = 25  # ours: so many ports of one state are listed one by one; more are a count
ALL_MAX: Final = 10  # ours: of so few ports that were asked, each is listed
MAYBE_MAX: Final = 100  # ours: the same for open|filtered, which a silent host has by the thousand
LISTED: Final = (PortState.OPEN, PortState.OPEN_FILTERED, PortState.UNFILTERED)


class Tally(msgspec.Struct):
    """The ports of one host and protocol: how many are in each state, and those that are worth a line."""

    counts: dict[PortState, int] = {}
    ports: dict[int, ScannedPort] = {}
    few: dict[PortState, list[ScannedPort]] = {}


class Ledger:
    """Results of one protocol ("tcp", "udp") on a group of hosts, whose addresses are given in order."""

    def __init__(self, addresses: list[str], proto: str, silent: PortState, tallies: list[Tally] | None = None) -> None:
        """``silent``: what a port is that never answered."""
        self.addresses = addresses
        self._proto = proto
        self._silent = silent
        self.tallies = tallies or [Tally() for _ in addresses]
        self.opened = sum(tally.counts.get(PortState.OPEN, 0) for tally in self.tallies)

    def record(
        self, host: int, port: int, state: PortState, reason: str, *, ttl: int = 0, tries: int = 1, rtt: float = 0.0
    ) -> None:
        """Take the answer of one port; the first one counts. ``rtt`` in s."""
        tally = self.tallies[host]
        tally.counts[state] = tally.counts.get(state, 0) + 1
        if state in LISTED:
            self.opened += state == PortState.OPEN
            tally.ports[port] = self._port(host, port, state, reason, ttl, tries, rtt)
            return
        few = tally.few.setdefault(state, [])
        if len(few) <= FEW_MAX:
            few.append(self._port(host, port, state, reason, ttl, tries, rtt))

    def _port(
        self, host: int, port: int, state: PortState, reason: str, ttl: int, tries: int, rtt: float
    ) -> ScannedPort:
        return ScannedPort(self.addresses[host], self._proto, port, state, reason, ttl, tries, round(rtt * 1000, 3))

    def record_silent(self, silent: list[tuple[int, int, int]]) -> None:
        """Take the questions (host, port, tries) that never had an answer."""
        for host, port, tries in silent:
            self.record(host, port, self._silent, "no answer", tries=tries)


def summed(host: ScannedHost, tallies: list[Tally]) -> tuple[ScannedHost, list[ScannedPort]]:
    """A host with the counts of what is not listed, and its listed ports."""
    counts: dict[str, int] = {}
    listed: list[ScannedPort] = []
    for tally in tallies:
        for state, number in tally.counts.items():
            if not _is_listed(tally, state, number):
                counts[state.value] = counts.get(state.value, 0) + number
            elif state in LISTED:
                listed += [port for port in tally.ports.values() if port.state == state]
            else:
                listed += tally.few[state]
    listed.sort(key=lambda port: (port.proto, port.port))
    return msgspec.structs.replace(host, counts=counts), listed


def _is_listed(tally: Tally, state: PortState, number: int) -> bool:
    """Open ports always; others where they are few, and not what most ports of a larger scan are."""
    if state in {PortState.OPEN, PortState.UNFILTERED}:
        return True
    if state == PortState.OPEN_FILTERED:
        return number <= MAYBE_MAX
    return number <= FEW_MAX and (number < max(tally.counts.values()) or sum(tally.counts.values()) <= ALL_MAX)
