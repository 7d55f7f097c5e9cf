"""One scan from targets to its result.

Targets -> hosts that are up -> groups of hosts -> ports by TCP, then by UDP -> services of what is open. A group is as
large as its open questions fit in memory; its hosts are asked in turn. A scan that is stopped, or a process that
died, goes on from its journal.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from nsm.errors import ScanError
from nsm.model.scan import PortState, Scan, ScannedHost, ScannedPort, ScanState
from nsm.scan import journal as journals
from nsm.scan.connect import ConnectProber
from nsm.scan.discovery import Discovery, Seen, host_of, unreachable, usable_routes
from nsm.scan.echo import Up
from nsm.scan.journal import Journal, Request, Underway
from nsm.scan.ledger import Ledger, Tally, summed
from nsm.scan.os_hint import os_hint
from nsm.scan.ports import UDP_PLAIN, Ports, parse, ranges
from nsm.scan.probing import Prober, probe
from nsm.scan.raw_socket import may_open
from nsm.scan.route import Route
from nsm.scan.schedule import Pace, Schedule
from nsm.scan.settings import RATE_MAX, ScanSettings
from nsm.scan.syn import SynProber
from nsm.scan.targets import HOSTS_LARGE_MAX, Resolver, Target, expand, system_resolver
from nsm.scan.udp import UdpProber

GROUP_QUESTIONS_MAX: Final = 1 << 18  # ours: about 50 MB where none of them is ever answered
GROUP_HOSTS_MAX: Final = 1_024  # ours: each turn of the loop looks at all of them
RECONNECT_MIN_S: Final = 0.1  # a connection is tried anew after three round trips, but not sooner
RECONNECT_RTTS: Final = 3.0
UDP_TIMEOUT_MIN_S: Final = 0.2  # ours: ICMP is made when a host has time

Identify = Callable[[Sequence[ScannedPort]], list[ScannedPort]]


class Progress(msgspec.Struct, frozen=True):
    """How far a scan is. ``stage``: "hosts", "ports" or "services"; ``done`` of ``total`` questions are settled."""

    stage: str
    done: int = 0
    total: int = 0
    hosts: int = 0
    open: int = 0


class Tools(msgspec.Struct, frozen=True):
    """What a scan is given from outside, so that tests can give their own."""

    clock: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    resolve: Resolver = system_resolver
    stopping: Callable[[], bool] = lambda: False
    progress: Callable[[Progress], None] = lambda _: None
    warn: Callable[[str], None] = lambda _: None
    identify: Identify | None = None
    seen: Seen = frozenset


def scan(
    request: Request, settings: ScanSettings | None = None, tools: Tools | None = None, *,
    journal: Path | None = None, resumed: Journal | None = None,
) -> Scan:  # fmt: skip
    """Scan, and return what was found; ``state`` is PARTIAL when ``tools.stopping`` ended it before its end.

    ``journal`` is the file to go on from; ``resumed`` is what such a file said. ScanError when the request is not
    possible, ScanPermissionError when it is not allowed.
    """
    settings, tools = settings or ScanSettings(), tools or Tools()
    begun = resumed or begin(request, settings, tools)
    return _Run(begun, settings, tools, journal).run()


def begin(request: Request, settings: ScanSettings, tools: Tools) -> Journal:
    """A scan that has not sent anything yet; all rails are checked here."""
    if request.rate is not None and not 0 <= request.rate <= RATE_MAX:
        raise ScanError(f"a rate of {request.rate} is not possible", where="--rate", mend=f"1 to {RATE_MAX}, or max")
    seed = secrets.randbits(32)
    ports_of(request, settings, seed)
    targets = expand(
        request.targets, tools.resolve, permitted=request.permitted,
        hosts_max=HOSTS_LARGE_MAX if request.large else settings.hosts_max,
    )  # fmt: skip
    return Journal(journals.FORM, secrets.token_hex(6), tools.now_us(), request, seed, targets)


def ports_of(request: Request, settings: ScanSettings, seed: int) -> Ports:
    """The ports that a request means, in the order of asking; ScanError when they are written wrongly."""
    if request.ports:
        return parse(request.ports, udp=request.udp, seed=seed)
    plain = parse(settings.ports, seed=seed)
    return msgspec.structs.replace(plain, udp=parse(f"U:{UDP_PLAIN}", seed=seed).udp) if request.udp else plain


class _Run:
    def __init__(self, journal: Journal, settings: ScanSettings, tools: Tools, path: Path | None) -> None:
        self._journal, self._settings, self._tools = journal, settings, tools
        self._request = journal.request
        self._ports = ports_of(journal.request, settings, journal.seed)
        self._raw = may_open()
        self._method = journal.request.method or ("syn" if self._raw else "connect")
        self._secret = secrets.token_bytes(16)
        self._writer = journals.Writer(path, tools.clock, tools.warn)
        self._source_ports: set[str] = set()
        self._stage = Progress("hosts", total=len(journal.targets))
        rate = journal.request.rate
        self._rates = (settings.rate, settings.rate_host) if rate is None else (rate, rate)

    def run(self) -> Scan:
        """All stages; each knows from the journal what it has to do still."""
        journal = self._journal
        whole = False
        try:
            whole = (journal.known_up or self._find_hosts()) and self._scan_groups()
        finally:
            if not whole:
                self._writer.write(journal)
        hosts, found = self._result()
        open_ports = [port for port in found if port.state == PortState.OPEN]
        if whole and self._tools.identify and open_ports:
            self._tell(Progress("services", total=len(open_ports), hosts=len(hosts), open=len(open_ports)))
            known = {(port.address, port.proto, port.port): port for port in self._tools.identify(open_ports)}
            found = [known.get((port.address, port.proto, port.port), port) for port in found]
        hosts = _with_hints(hosts, found)
        if whole:
            self._writer.remove()
        return self._scan(hosts, found, ScanState.COMPLETE if whole else ScanState.PARTIAL)

    def _tell(self, stage: Progress | None = None) -> bool:
        """Say how far it is; False when the scan is to stop."""
        self._stage = stage or self._stage
        self._tools.progress(self._stage)
        return not self._tools.stopping()

    # Hosts.

    def _find_hosts(self) -> bool:
        journal = self._journal
        if not self._request.discovery:
            routes = self._routes(journal.targets)
            journal.hosts = [host_of(t, Up("assumed")) for t in journal.targets if t.address in routes]
        else:
            # The id of an echo request has 16 bits.
            tag = secrets.randbits(16) if self._raw and self._method == "syn" else -1
            discovery = Discovery(
                self._tcp_prober, self._rates[0], tag, self._tools.clock, self._tell, self._tools.seen
            )
            journal.hosts = discovery.hosts_up(journal.targets)
            journal.sent += discovery.sent
        journal.hosts.sort(key=lambda host: ":" in host.address)  # a group has one IP version; the sort is stable
        journal.known_up = not self._tools.stopping()
        return journal.known_up

    def _routes(self, targets: Sequence[Target]) -> dict[str, Route]:
        routes = usable_routes(targets)
        if not routes:
            raise unreachable(targets[0])
        return routes

    def _group(self) -> list[ScannedHost]:
        """The hosts to ask now: as the journal says, else as many as fit, of one IP version."""
        journal = self._journal
        rest = journal.hosts[journal.finished :]
        if not journal.group:
            questions = max(len(self._ports.tcp), len(self._ports.udp), 1)
            most = max(1, min(GROUP_HOSTS_MAX, GROUP_QUESTIONS_MAX // questions))
            same = [host for host in rest if (":" in host.address) == (":" in rest[0].address)]
            journal.group = min(most, len(same))
        return rest[: journal.group]

    # Ports.

    def _scan_groups(self) -> bool:
        while self._journal.finished < len(self._journal.hosts):
            if not self._scan_group(self._group()):
                return False
        return True

    def _scan_group(self, hosts: list[ScannedHost]) -> bool:
        journal = self._journal
        routes = self._routes([Target(host.address) for host in hosts])
        for proto, ports in (("tcp", self._ports.tcp), ("udp", self._ports.udp)):
            part = journal.underway.setdefault(proto, Underway())
            if ports and not part.done and not self._probe(hosts, routes, proto, ports, part):
                return False
        for number, host in enumerate(hosts):
            tallies = [part.tallies[number] for part in journal.underway.values() if part.tallies]
            done, found = summed(host, tallies)
            journal.done.append(done)
            journal.found += found
        journal.finished += len(hosts)
        journal.group = 0
        journal.underway = {}
        return True

    def _probe(
        self, hosts: list[ScannedHost], routes: Mapping[str, Route], proto: str, ports: Sequence[int], part: Underway
    ) -> bool:
        addresses = [host.address for host in hosts]
        version = 6 if ":" in addresses[0] else 4
        schedule = Schedule(len(hosts), ports, self._pace(proto), part.states)
        for number, host in enumerate(hosts):
            if host.rtt_ms:
                schedule.know_rtt(number, host.rtt_ms / 1000)
        silent = PortState.FILTERED if proto == "tcp" else PortState.OPEN_FILTERED
        ledger = Ledger(addresses, proto, silent, part.tallies)
        before = (self._journal.sent, self._journal.answered, self._journal.lost)
        settled = sum(sum(tally.counts.values()) for tally in part.tallies)

        def tell() -> bool:
            self._count(schedule, before)
            if self._writer.due():
                part.states, part.tallies = schedule.states(), ledger.tallies
                self._writer.write(self._journal)
            done = settled + schedule.answered + schedule.put_aside
            return self._tell(Progress("ports", done, len(hosts) * len(ports), len(hosts), ledger.opened))

        prober = self._prober(proto, addresses, routes, version)
        try:
            whole = probe(schedule, prober, ledger, self._tools.clock, tell)
        finally:
            prober.close()
        self._count(schedule, before)
        part.states, part.tallies, part.done = schedule.states(), ledger.tallies, whole
        if whole:
            ledger.record_silent(schedule.silent())
        return whole

    def _count(self, schedule: Schedule, before: tuple[int, int, int]) -> None:
        journal = self._journal
        journal.sent = before[0] + schedule.sent
        journal.answered = before[1] + schedule.answered
        journal.lost = before[2] + schedule.lost

    def _pace(self, proto: str) -> Pace:
        settings = self._settings
        least, rtts = settings.timeout_min_s, 1.0
        if proto == "udp":
            least = max(least, UDP_TIMEOUT_MIN_S)
        elif self._method == "connect":
            least, rtts = max(least, RECONNECT_MIN_S), RECONNECT_RTTS
        return Pace(
            rate=self._rates[0], rate_host=self._rates[1], tries=settings.tries, timeout_first_s=settings.timeout_first_s,
            timeout_min_s=least, timeout_max_s=max(settings.timeout_max_s, least), timeout_rtts=rtts, thin=proto == "udp",
        )  # fmt: skip

    def _prober(self, proto: str, addresses: Sequence[str], routes: Mapping[str, Route], version: int) -> Prober:
        if proto == "udp":
            prober = UdpProber(addresses, version)
            self._source_ports.add(f"udp {prober.source_ports}")
            return prober
        return self._tcp_prober(addresses, routes, version)

    def _tcp_prober(self, addresses: Sequence[str], routes: Mapping[str, Route], version: int) -> Prober:
        if self._method == "connect":
            return ConnectProber(addresses)
        # A host whose route was lost since it was found: sending to it will say so.
        other = next(iter(routes.values()))
        pairs = [(routes.get(address, other).source, address) for address in addresses]
        prober = SynProber(pairs, version, self._secret)
        self._source_ports.add(f"tcp {prober.source_ports}")
        return prober

    # The result.

    def _result(self) -> tuple[list[ScannedHost], list[ScannedPort]]:
        """All hosts that are done, and those under way as far as they are."""
        journal = self._journal
        hosts, found = [*journal.done], [*journal.found]
        for number, host in enumerate(journal.hosts[journal.finished :]):
            tallies: list[Tally] = [
                part.tallies[number] for part in journal.underway.values() if number < len(part.tallies)
            ]
            counted, ports = summed(host, tallies)
            hosts.append(counted)
            found += ports
        return hosts, found

    def _scan(self, hosts: list[ScannedHost], found: list[ScannedPort], state: ScanState) -> Scan:
        journal, request = self._journal, self._request
        rates = ["max" if not rate else str(rate) for rate in self._rates]
        options = {
            "method": self._method, "rate": rates[0], "rate_host": rates[1], "udp": str(request.udp).lower(),
            "discovery": str(request.discovery).lower(), "source_ports": "; ".join(sorted(self._source_ports)),
        }  # fmt: skip
        known = journal.lost + journal.answered
        return Scan(
            journal.id, journal.started, self._tools.now_us(), request.targets, request.ports or self._settings.ports, options,
            state, journal.sent, journal.answered, round(journal.lost / known, 4) if known else 0.0,
            {"tcp": ranges(self._ports.tcp), "udp": ranges(self._ports.udp)}, tuple(hosts), tuple(found),
        )  # fmt: skip


def _with_hints(hosts: Sequence[ScannedHost], found: Sequence[ScannedPort]) -> list[ScannedHost]:
    """The hosts with hints of their systems; of this machine itself there is nothing to guess."""
    of: dict[str, list[ScannedPort]] = {}
    for port in found:
        of.setdefault(port.address, []).append(port)
    return [
        msgspec.structs.replace(host, os_hint="" if host.up_by == "local" else os_hint(of.get(host.address, ())))
        for host in hosts
    ]
