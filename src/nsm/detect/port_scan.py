"""Port scan: one source, many ports of one host that refuse or do not answer. ATT&CK T1046, T1595.001.

TCP connect, SYN, NULL, FIN, XMAS, ACK and Maimon probes and UDP alike; fast to slow by four windows. Only
failed first contacts count, so that services, resolvers, crawlers and monitors stay silent; a scanned host's refusals
are answers in the scanner's own flows, so it is never taken for a scanner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import RefusingDict
from nsm.bounded.windows import SECOND_US, DistinctWindows, Ladder
from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_UDP
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.settings.section import Count, Factor, Share
from nsm.track.contacts import ACK_SCAN, FIN_SCAN, MAIMON_SCAN, NULL_SCAN, XMAS_SCAN, Contact, contacts

SIGNATURE_ID: Final = 9_000_001
PORTS_KEPT: Final = 1_024
IDLE_S: Final = 86_400
PROBES: Final = {NULL_SCAN: "NULL", FIN_SCAN: "FIN", XMAS_SCAN: "XMAS", ACK_SCAN: "ACK", MAIMON_SCAN: "Maimon"}

FAMILIES: Final = ("TCP", "UDP", "stealth")  # each is watched on its own: who scans UDP after TCP is told of twice


def family_of(contact: Contact) -> str:
    """The kind of probe: TCP connections, UDP, or segments that begin no connection."""
    if contact.proto == PROTO_UDP:
        return "UDP"
    return "stealth" if contact.flags in PROBES else "TCP"


class PortScanSettings(msgspec.Struct, frozen=True):
    """Thresholds of distinct failed ports; measurements behind them are in docs/detections.md."""

    burst_ports: Count = 8
    """Within a second, from anywhere."""
    minute_ports: Count = 15
    """Within a minute, from outside the local networks."""
    hour_ports: Count = 25
    """Within an hour, from outside."""
    day_ports: Count = 40
    """Within a day, from outside."""
    inside_factor: Factor = 1.6
    """The three windows above are this much longer-suffering with sources of the local networks."""
    failed_share: Share = 0.7
    """At least this part of the first contacts of the pair must have failed."""
    pairs_max: Count = 65_536
    """(source, target) pairs watched at once; beyond, new ones are refused and counted."""


class _Pair:
    """What is known of one source and one target."""

    __slots__ = ("answered", "flow_ids", "level", "near", "ports", "probes", "refused")

    def __init__(self) -> None:
        self.ports = DistinctWindows(PORTS_KEPT)
        self.answered: set[int] = set()
        self.refused = 0
        self.level = 1
        self.near = False
        self.flow_ids: list[int] = []
        self.probes: dict[str, int] = {}


class PortScan:
    """State: ports per pair, at most pairs_max times 1,024."""

    def __init__(self, settings: PortScanSettings, surroundings: Surroundings) -> None:
        self._settings, self._home = settings, surroundings.home
        factor = settings.inside_factor
        spans = ((60, settings.minute_ports), (3_600, settings.hour_ports), (86_400, settings.day_ports))
        self._outside = Ladder(((1, settings.burst_ports), *spans))
        self._inside = Ladder(((1, settings.burst_ports), *((span, int(ports * factor)) for span, ports in spans)))
        self._pairs: RefusingDict[tuple[int, ...], _Pair] = RefusingDict(settings.pairs_max, _Pair, IDLE_S * SECOND_US)

    @property
    def saturated(self) -> int:
        """Pairs that were refused."""
        return self._pairs.refused

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """At most one finding for each doubling of a pair's count."""
        for contact in contacts(rows):
            if contact.proto in (PROTO_ICMP, PROTO_ICMPV6):
                continue
            family = family_of(contact)
            key = (*contact.src, *contact.dst, FAMILIES.index(family))
            if not contact.failed:
                known = self._pairs.peek(key)
                if known is not None:
                    if contact.late:
                        known.ports.discard((contact.proto, contact.dport))
                    if len(known.answered) < PORTS_KEPT:
                        known.answered.add(contact.dport)
                continue
            pair = self._pairs.get(key, contact.ts)
            if pair is not None and pair.ports.add((contact.proto, contact.dport), contact.ts):
                yield from self._judge(pair, contact)

    def _judge(self, pair: _Pair, contact: Contact) -> Iterator[Finding | NearMiss]:
        pair.refused += contact.refused
        pair.flow_ids = [*pair.flow_ids[-4:], contact.flow_id]
        probe = "UDP" if contact.proto == PROTO_UDP else PROBES.get(contact.flags, "SYN")
        pair.probes[probe] = pair.probes.get(probe, 0) + 1
        if len(pair.ports) < 2:
            return
        outside = contact.src_text not in self._home if len(pair.ports) >= self._outside.lowest // 4 else True
        ladder = self._outside if outside else self._inside
        if not pair.near and (near := ladder.near(pair.ports)):
            pair.near = True
            yield NearMiss(
                detector=SPEC.name, key=(contact.src_text, contact.dst_text, family_of(contact)), ts=contact.ts, measured=near[2],
                threshold=near[1], window_s=near[0],
            )  # fmt: skip
        reached = ladder.reached(pair.ports, pair.level)
        if reached is None or len(pair.ports) < self._settings.failed_share * (len(pair.ports) + len(pair.answered)):
            return
        while ladder.reached(pair.ports, pair.level):
            pair.level *= 2
        yield self._finding(pair, contact, outside, *reached)

    def _finding(
        self, pair: _Pair, contact: Contact, outside: bool, span: float, threshold: int, measured: int
    ) -> Finding:
        src, dst = contact.src_text, contact.dst_text
        kinds = ", ".join(sorted(pair.probes))
        return Finding(
            detector=SPEC.name, key=(src, dst, family_of(contact)), kind="network_scan", signature=f"Port scan ({kinds})",
            signature_id=SIGNATURE_ID, category="Detection of a Network Scan", ts=contact.ts, first_seen=pair.ports.first_us,
            actors=(src,), victims=(dst,), measured=measured, threshold=threshold, unit="ports", window_s=span,
            impact=Severity.LOW if outside else Severity.MEDIUM, confidence=0.9,
            techniques=("T1046", "T1595.001") if outside else ("T1046",),
            tactics=("TA0007", "TA0043") if outside else ("TA0007",),
            flow_ids=tuple(pair.flow_ids), src_ip=src, dest_ip=dst, src_port=contact.sport, dest_port=contact.dport,
            proto=contact.proto, count=pair.ports.total,
            explain=Explain(
                what=f"{src} tried {pair.ports.total} different ports of {dst}: {pair.refused} refused, "
                f"{pair.ports.total - pair.refused} unanswered, {len(pair.answered)} answered ({kinds} probes).",
                why="Listing open ports is often the first step before an attack; from inside it can mean that the "
                "source is infected.",
                sure_for=(f"measured {measured} failed ports in {span:g} s, threshold {threshold}",),
                sure_against=(f"{len(pair.answered)} port{'s' * (len(pair.answered) != 1)} answered",) if pair.answered else (),
                benign=("an inventory tool or a curious owner", "a server that was switched off"),
                next=(
                    "Ask the owner of the source whether a scan was run.",
                    f"See what it did next: nsm flows --host {src}",
                    "If nobody knows, take it off the network.",
                ),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="port_scan", settings=PortScanSettings, detector=PortScan, wants=FLOW, attack=("T1046", "T1595.001"),
    quiet_for="services, resolvers, crawlers, monitors, peer-to-peer clients, a scanned host's answers",
)  # fmt: skip
