"""Block scan: one source, several ports on several hosts, mostly failing. ATT&CK T1046, T1595.001.

What neither the port scan nor the host sweep sees: 6 ports on 10 hosts each. Must stay silent: peer-to-peer clients and game
launchers, whose peers sit on high ports spread over as many networks as there are peers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import RefusingDict, Tally
from nsm.bounded.windows import SECOND_US, DistinctWindows, Ladder
from nsm.iana import PROTO_TCP
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.settings.section import Count, Share
from nsm.track.contacts import QUIET, Contact, contacts

SIGNATURE_ID: Final = 9_000_003
PAIRS_KEPT: Final = 1_024
IDLE_S: Final = 86_400
LATELY_S: Final = 600  # answers in the last ten minutes speak for a source


class BlockScanSettings(msgspec.Struct, frozen=True):
    """Thresholds of distinct failed (host, port) pairs of TCP; measurements behind them are in docs/detections.md."""

    minute_pairs: Count = 40
    """Within a minute."""
    hour_pairs: Count = 80
    """Within an hour."""
    day_pairs: Count = 160
    """Within a day."""
    each_min: Count = 5
    """More than so many hosts and more than so many ports are in it."""
    failed_share: Share = 0.7
    """At least this part of the source's first contacts must have failed."""
    sources_max: Count = 65_536
    """Sources watched at once; beyond, new ones are refused and counted."""


class _Source:
    __slots__ = ("answered", "flow_ids", "hosts", "level", "low_ports", "near", "pairs", "ports")

    def __init__(self) -> None:
        self.pairs = DistinctWindows(PAIRS_KEPT)
        self.hosts: set[tuple[int, int]] = set()
        self.ports: set[int] = set()
        self.low_ports = 0
        self.answered = 0
        self.level = 1
        self.near = False
        self.flow_ids: list[int] = []


class BlockScan:
    """State: pairs per source, at most sources_max times 1,024."""

    def __init__(self, settings: BlockScanSettings, surroundings: Surroundings) -> None:
        self._settings, self._home = settings, surroundings.home
        self._ladder = Ladder(((60, settings.minute_pairs), (3_600, settings.hour_pairs), (86_400, settings.day_pairs)))
        self._sources: RefusingDict[tuple[int, int], _Source] = RefusingDict(
            settings.sources_max, _Source, IDLE_S * SECOND_US
        )

        self._answered: Tally[tuple[int, int]] = Tally(settings.sources_max, LATELY_S * SECOND_US)

    @property
    def saturated(self) -> int:
        """Sources that were refused."""
        return self._sources.refused

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """At most one finding for each doubling of a source's count."""
        for contact in contacts(rows):
            if contact.proto != PROTO_TCP or contact.flags in QUIET:
                continue
            if not contact.failed:
                self._answered.add(contact.src, contact.ts)
                known = self._sources.peek(contact.src)
                if known is not None:
                    known.answered += 1
                    if contact.late:
                        known.pairs.discard((contact.dst, contact.dport))
                continue
            source = self._sources.get(contact.src, contact.ts)
            if source is not None and source.pairs.add((contact.dst, contact.dport), contact.ts):
                yield from self._judge(source, contact)

    def _judge(self, source: _Source, contact: Contact) -> Iterator[Finding | NearMiss]:
        settings = self._settings
        if len(source.hosts) < PAIRS_KEPT:
            source.hosts.add(contact.dst)
        if len(source.ports) < PAIRS_KEPT:
            source.ports.add(contact.dport)
        source.low_ports += contact.dport < 1024
        source.flow_ids = [*source.flow_ids[-4:], contact.flow_id]
        if min(len(source.hosts), len(source.ports)) <= settings.each_min:
            return
        if not source.near and (near := self._ladder.near(source.pairs)):
            source.near = True
            yield NearMiss(
                detector=SPEC.name, key=(contact.src_text,), ts=contact.ts, measured=near[2], threshold=near[1],
                window_s=near[0],
            )  # fmt: skip
        reached = self._ladder.reached(source.pairs, source.level)
        pairs = len(source.pairs)
        answered = max(source.answered, self._answered.lately(contact.src, contact.ts))
        if reached is None or pairs < settings.failed_share * (pairs + answered):
            return
        if source.low_ports * 4 < source.pairs.total and len(source.hosts) * 2 > pairs:
            return  # high ports, hardly two on one host: peers
        while self._ladder.reached(source.pairs, source.level):
            source.level *= 2
        src, (span, threshold, measured) = contact.src_text, reached
        outside = src not in self._home
        yield Finding(
            detector=SPEC.name, key=(src,), kind="network_scan", signature="Block scan", signature_id=SIGNATURE_ID,
            category="Detection of a Network Scan", ts=contact.ts, first_seen=source.pairs.first_us, actors=(src,),
            victims=(contact.dst_text,), measured=measured, threshold=threshold, unit="host and port pairs", window_s=span,
            impact=Severity.LOW if outside else Severity.MEDIUM, confidence=0.8,
            techniques=("T1595.001", "T1046") if outside else ("T1046",),
            tactics=("TA0043", "TA0007") if outside else ("TA0007",), flow_ids=tuple(source.flow_ids), src_ip=src,
            dest_ip=contact.dst_text, src_port=contact.sport, dest_port=contact.dport, proto=contact.proto,
            count=source.pairs.total,
            explain=Explain(
                what=f"{src} tried {len(source.ports)} ports on {len(source.hosts)} hosts; {source.pairs.total} of the "
                f"attempts failed, {source.answered} were answered.",
                why="Trying several services on a whole network is how attackers make their map of it.",
                sure_for=(f"measured {measured} failed pairs in {span:g} s, threshold {threshold}",),
                benign=("an inventory or vulnerability scanner of your own",),
                next=("Ask the owner of the source whether this was meant.", f"nsm flows --host {src}"),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="block_scan", settings=BlockScanSettings, detector=BlockScan, wants=FLOW, attack=("T1046", "T1595.001"),
    quiet_for="peer-to-peer clients, game launchers, crawlers",
)  # fmt: skip
