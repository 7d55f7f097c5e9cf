"""Which hosts are up, before their ports are asked.

On the link the neighbour protocols say it, if this process may send them. Elsewhere hosts that the monitor saw lately are
up; of the others an echo, a timestamp and the ports 443, 22 and 80 are tried side by side: any answer shows the host, a
refusal too. An ICMP "unreachable" shows nothing, since a router on the way sends it.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from nsm.errors import ScanError
from nsm.model.scan import PortState, ScannedHost
from nsm.scan.echo import Clock, Echo, Up
from nsm.scan.ledger import Ledger
from nsm.scan.neighbours import neighbours
from nsm.scan.pacing import Bucket
from nsm.scan.probing import Prober, probe
from nsm.scan.route import Route, routes_to
from nsm.scan.schedule import Pace, Schedule
from nsm.scan.targets import Target

PORTS: Final = (443, 22, 80)
TRIES: Final = 2
WINDOW: Final = 512  # ours: most hosts are silent, so that answers cannot open the window
ECHO_WAIT_S: Final = 0.3  # ours: for answers that come after those of TCP
BROADCASTS_MAX: Final = 2_000  # ours: a second; each wakes every host of the link
CHUNK: Final = 4_096  # ours: hosts that are asked at once

ProberOf = Callable[[Sequence[str], Mapping[str, Route], int], Prober]
"""(addresses, their routes, IP version) -> what asks their TCP ports."""
Seen = Callable[[], Collection[str]]
"""Hosts that the monitor saw lately: they are up, and need not be asked. Called once, where the link does not tell."""


def usable_routes(targets: Sequence[Target]) -> dict[str, Route]:
    """The ways to the targets that have one and are single hosts."""
    found = routes_to(target.address for target in targets)
    return {address: route for address, route in found.items() if route is not None and not route.broadcast}


def unreachable(target: Target) -> ScanError:
    """Why there is no usable way to a target."""
    address = target.address
    if routes_to([address])[address] is not None:
        return ScanError(
            f"{address} cannot be scanned: a broadcast address is many hosts at once", where=f"target {address}",
            mend="name one host or network",
        )  # fmt: skip
    return ScanError(
        f"there is no route to {address}", where=f"target {address}", mend="ip route   shows the ways there are"
    )


class Discovery:
    """Finds the hosts that are up among targets."""

    def __init__(
        self, prober_of: ProberOf, rate: float, tag: int, clock: Clock, tell: Callable[[], bool], seen: Seen = frozenset,
    ) -> None:  # fmt: skip
        """``tag``: 16 bits that mark our echo requests; -1: this process may not send raw packets. Rate in probes/s."""
        self._prober_of, self._rate, self._tag, self._clock, self._tell = prober_of, rate, tag, clock, tell
        self._seen = seen
        self.sent = 0

    def hosts_up(self, targets: Sequence[Target]) -> list[ScannedHost]:
        """The targets that are up, in order, fewer when ``tell`` says to stop; ScanError when none has a usable way."""
        found: list[ScannedHost] = []
        ways = 0
        for start in range(0, len(targets), CHUNK):
            chunk = targets[start : start + CHUNK]
            routes = usable_routes(chunk)
            ways += len(routes)
            up = self._up(routes)
            found += [host_of(target, up[target.address]) for target in chunk if target.address in up]
            if not self._tell():
                break
        if not ways:
            raise unreachable(targets[0])
        return found

    def _up(self, routes: Mapping[str, Route]) -> dict[str, Up]:
        up = {address: Up("local") for address, route in routes.items() if route.local}
        rest = {address: route for address, route in routes.items() if not route.local}
        if self._tag >= 0:
            near = {address: route for address, route in rest.items() if route.on_link}
            self.sent += len(near)
            up |= neighbours(near, min(self._rate or BROADCASTS_MAX, BROADCASTS_MAX), self._clock, self._tell)
            rest = {address: route for address, route in rest.items() if not route.on_link}
        if rest:
            lately = self._seen()
            up |= {address: Up("seen by the monitor") for address in rest if address in lately}
            rest = {address: route for address, route in rest.items() if address not in up}
        for version in (4, 6):
            far = [address for address in rest if (":" in address) == (version == 6)]
            if far:
                up |= self._far(far, routes, version)
        return up

    def _far(self, addresses: list[str], routes: Mapping[str, Route], version: int) -> dict[str, Up]:
        if self._tag < 0:
            return self._by_ports(addresses, routes, version)
        echo = Echo(version, self._tag)
        try:
            echo.ask(addresses, Bucket(self._rate), self._clock, self._tell)
            self.sent += len(addresses)
            up = echo.read(self._clock())
            silent = [address for address in addresses if address not in up]
            up |= self._by_ports(silent, routes, version) if silent else {}
            if len(up) < len(addresses):
                select.select([echo.sock], (), (), ECHO_WAIT_S)
            return echo.read(self._clock()) | up
        finally:
            echo.sock.close()

    def _by_ports(self, addresses: list[str], routes: Mapping[str, Route], version: int) -> dict[str, Up]:
        pace = Pace(
            rate=self._rate, rate_host=0, tries=TRIES, tries_fixed=True, window=WINDOW, timeout_min_s=0.1,
        )  # fmt: skip
        schedule = Schedule(len(addresses), PORTS, pace)
        ledger = Ledger(addresses, "tcp", PortState.FILTERED)
        prober = self._prober_of(addresses, routes, version)
        try:
            probe(schedule, prober, ledger, self._clock, self._tell)
        finally:
            prober.close()
        self.sent += schedule.sent
        found = {}
        for address, tally in zip(addresses, ledger.tallies, strict=True):
            answers = [*tally.ports.values(), *tally.few.get(PortState.CLOSED, ())]
            if answers:
                first = min(answers, key=lambda port: port.rtt_ms)
                found[address] = Up(f"{first.reason} {first.port}", first.rtt_ms / 1000)
        return found


def host_of(target: Target, up: Up) -> ScannedHost:
    """The noun for a host that is up."""
    return ScannedHost(target.address, target.name, up.mac, up.by, round(up.rtt * 1000, 3))
