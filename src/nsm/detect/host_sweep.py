"""Host sweep: one source tries one port, or ICMP echo, on many hosts, and most do not answer. ATT&CK T1046, T1018.

Must stay silent: resolvers, NTP pools, crawlers and monitors (their contacts are answered), and peer-to-peer clients,
whose dead peers are spread over as many networks as there are peers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import RefusingDict, Tally
from nsm.bounded.windows import SECOND_US, DistinctWindows, Ladder
from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, SERVICE_NAMES, proto_name
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.settings.section import Count, Factor, Share
from nsm.track.contacts import QUIET, Address, Contact, contacts

SIGNATURE_ID: Final = 9_000_002
HOSTS_KEPT: Final = 1_024
IDLE_S: Final = 86_400
LATELY_S: Final = 600  # answers in the last ten minutes speak for a source
# Ports on which clients meet many dead peers by design: DNS, NTP, SSDP, mDNS, LLMNR.
QUIET_UDP: Final = frozenset({53, 123, 1900, 5353, 5355})
P2P_PORTS: Final = frozenset({4662, 4672, 6346, 6347, 51413, *range(6881, 7000)})


class HostSweepSettings(msgspec.Struct, frozen=True):
    """Thresholds of distinct failed hosts; measurements behind them are in docs/detections.md."""

    burst_hosts: Count = 12
    """Within three seconds, from anywhere."""
    minute_hosts: Count = 20
    """Within a minute, from outside the local networks."""
    hour_hosts: Count = 40
    """Within an hour, from outside."""
    day_hosts: Count = 100
    """Within a day, from outside."""
    inside_factor: Factor = 1.6
    """The three windows above are this much longer-suffering with sources of the local networks."""
    failed_share: Share = 0.7
    """At least this part of the first contacts must have failed."""
    echo_failed_share: Share = 0.25
    """ICMP echo: at least this part of the hosts must have been silent (a monitor's are there)."""
    hosts_per_network: Factor = 3.0
    """UDP, and TCP on ports without a known service: at least so many hosts for each /24 or /64 (peers are spread)."""
    keys_max: Count = 65_536
    """(source, port) pairs watched at once; beyond, new ones are refused and counted."""


class _Sweep:
    """What is known of one source and one port."""

    __slots__ = ("answered", "echoes_answered", "flow_ids", "hosts", "level", "near", "networks")

    def __init__(self) -> None:
        self.hosts = DistinctWindows(HOSTS_KEPT)
        self.networks: set[Address] = set()
        self.answered = 0
        self.echoes_answered = 0
        self.level = 1
        self.near = False
        self.flow_ids: list[int] = []


def network_of(address: Address) -> Address:
    """The /24 or /64 of an address."""
    hi, lo = address
    return (0, lo & ~0xFF) if hi == 0 and lo >> 32 == 0xFFFF else (hi, 0)


class HostSweep:
    """State: hosts per (source, protocol, port), at most keys_max times 1,024."""

    def __init__(self, settings: HostSweepSettings, surroundings: Surroundings) -> None:
        self._settings, self._home = settings, surroundings.home
        spans = ((60, settings.minute_hosts), (3_600, settings.hour_hosts), (86_400, settings.day_hosts))
        factor = settings.inside_factor
        self._outside = Ladder(((3, settings.burst_hosts), *spans))
        self._inside = Ladder(((3, settings.burst_hosts), *((span, int(hosts * factor)) for span, hosts in spans)))
        self._sweeps: RefusingDict[tuple[int, ...], _Sweep] = RefusingDict(
            settings.keys_max, _Sweep, IDLE_S * SECOND_US
        )

        self._answered: Tally[tuple[int, ...]] = Tally(settings.keys_max, LATELY_S * SECOND_US)

    @property
    def saturated(self) -> int:
        """Keys that were refused."""
        return self._sweeps.refused

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """At most one finding for each doubling of a key's count."""
        for contact in contacts(rows):
            if contact.proto == PROTO_UDP and (contact.dport in QUIET_UDP or contact.sport in QUIET_UDP):
                continue
            if contact.proto == PROTO_TCP and contact.flags in QUIET:
                continue  # the end of connections that the capture did not see begin
            port = 0 if contact.proto in (PROTO_ICMP, PROTO_ICMPV6) else contact.dport
            key = (*contact.src, contact.proto, port)
            if not contact.failed and port:
                self._answered.add(key, contact.ts)
                known = self._sweeps.peek(key)
                if known is not None:
                    known.answered += 1
                    if contact.late:
                        known.hosts.discard(contact.dst)
                continue
            sweep = self._sweeps.get(key, contact.ts)
            if sweep is None:
                continue
            # Echo requests go to a host and not to a service: all of them count, and some have to fail.
            sweep.echoes_answered += not contact.failed and not contact.late
            if sweep.hosts.add(contact.dst, contact.ts):
                yield from self._judge(sweep, contact, port)

    def _judge(self, sweep: _Sweep, contact: Contact, port: int) -> Iterator[Finding | NearMiss]:
        if len(sweep.networks) < HOSTS_KEPT:
            sweep.networks.add(network_of(contact.dst))
        sweep.flow_ids = [*sweep.flow_ids[-4:], contact.flow_id]
        if len(sweep.hosts) < 3:
            return
        outside = contact.src_text not in self._home
        ladder = self._outside if outside else self._inside
        if not sweep.near and (near := ladder.near(sweep.hosts)):
            sweep.near = True
            yield NearMiss(
                detector=SPEC.name, key=(contact.src_text, proto_name(contact.proto), str(port)), ts=contact.ts,
                measured=near[2], threshold=near[1], window_s=near[0],
            )  # fmt: skip
        reached = ladder.reached(sweep.hosts, sweep.level)
        if reached is None or not self._convincing(sweep, contact, port):
            return
        while ladder.reached(sweep.hosts, sweep.level):
            sweep.level *= 2
        yield self._finding(sweep, contact, port, outside, *reached)

    def _convincing(self, sweep: _Sweep, contact: Contact, port: int) -> bool:
        hosts = len(sweep.hosts)
        if port == 0:
            return hosts - sweep.echoes_answered >= self._settings.echo_failed_share * hosts
        key = (*contact.src, contact.proto, port)
        answered = max(sweep.answered, self._answered.lately(key, contact.ts))  # before our uplink failed, for one
        if hosts < self._settings.failed_share * (hosts + answered):
            return False
        service = contact.proto == PROTO_TCP and port in SERVICE_NAMES and port not in P2P_PORTS
        return service or hosts >= self._settings.hosts_per_network * len(sweep.networks)

    def _finding(
        self, sweep: _Sweep, contact: Contact, port: int, outside: bool, span: float, threshold: int, measured: int
    ) -> Finding:
        src = contact.src_text
        what = "ICMP echo" if port == 0 else f"port {port}/{proto_name(contact.proto).lower()}"
        return Finding(
            detector=SPEC.name, key=(src, proto_name(contact.proto), str(port)), kind="network_scan",
            signature=f"Host sweep ({what})", signature_id=SIGNATURE_ID, category="Detection of a Network Scan",
            ts=contact.ts, first_seen=sweep.hosts.first_us, actors=(src,), victims=(contact.dst_text,), measured=measured,
            threshold=threshold, unit="hosts", window_s=span, impact=Severity.LOW if outside else Severity.MEDIUM,
            confidence=0.85, techniques=("T1046", "T1018", "T1595.001") if outside else ("T1046", "T1018"),
            tactics=("TA0007", "TA0043") if outside else ("TA0007",), flow_ids=tuple(sweep.flow_ids), src_ip=src,
            dest_ip=contact.dst_text, src_port=contact.sport, dest_port=contact.dport, proto=contact.proto,
            count=sweep.hosts.total,
            explain=Explain(
                what=f"{src} tried {what} on {sweep.hosts.total + sweep.answered} hosts; "
                f"{sweep.answered + sweep.echoes_answered} answered.",
                why="Looking for hosts that offer one service is how attackers and worms find their next victim.",
                sure_for=(
                    f"measured {measured} hosts in {span:g} s, threshold {threshold}",
                    f"{len(sweep.networks)} networks of 256 addresses",
                ),
                sure_against=(f"{sweep.answered} contacts were answered",) if sweep.answered else (),
                benign=("a monitoring or inventory server", "a client with a list of dead servers"),
                next=(
                    "Ask the owner of the source whether this was meant.",
                    f"See what it did next: nsm flows --host {src}",
                ),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="host_sweep", settings=HostSweepSettings, detector=HostSweep, wants=FLOW,
    attack=("T1046", "T1018", "T1595.001"), quiet_for="resolvers, NTP pools, crawlers, monitors, peer-to-peer clients",
)  # fmt: skip
