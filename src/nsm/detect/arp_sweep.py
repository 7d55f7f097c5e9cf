"""ARP sweep: one host asks for many addresses of its own network that nobody has. ATT&CK T1018, T1046.

Must stay silent: gateways, DHCP servers and monitors, whose questions are mostly answered, and a provider's gateway of which
a capture sees the questions alone (answers are no broadcasts): without any answer only address after address counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import RefusingDict
from nsm.bounded.windows import SECOND_US, DistinctWindows, Ladder
from nsm.model.address import text
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.model.traffic import ARP
from nsm.settings.section import Count, Share

SIGNATURE_ID: Final = 9_000_004
REQUEST, REPLY = 1, 2
HOSTS_KEPT: Final = 1_024
IDLE_S: Final = 3_600
ANY: Final = 0xFFFF00000000  # 0.0.0.0: a probe for one's own address (RFC 5227)


class ArpSweepSettings(msgspec.Struct, frozen=True):
    """Thresholds of distinct addresses asked for and not answered."""

    burst_hosts: Count = 15
    """Within three seconds."""
    half_minute_hosts: Count = 30
    """Within 30 seconds."""
    hour_hosts: Count = 120
    """Within an hour."""
    unanswered_share: Share = 0.5
    """At least this part of the addresses asked for has to be silent."""
    in_turn_share: Share = 0.6
    """Where no answer is seen at all, at least this part of the questions has to go to the next address."""
    sources_max: Count = 16_384
    """Hosts watched at once; beyond, new ones are refused and counted."""


class _Asker:
    __slots__ = ("answered", "in_turn", "last", "level", "near", "silent")

    def __init__(self) -> None:
        self.silent = DistinctWindows(HOSTS_KEPT)
        self.answered: set[int] = set()
        self.in_turn = 0
        self.last = 0
        self.level = 1
        self.near = False


class ArpSweep:
    """State: addresses per asking host, at most sources_max times 1,024."""

    def __init__(self, settings: ArpSweepSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._ladder = Ladder(
            ((3, settings.burst_hosts), (30, settings.half_minute_hosts), (3_600, settings.hour_hosts))
        )
        self._askers: RefusingDict[int, _Asker] = RefusingDict(settings.sources_max, _Asker, IDLE_S * SECOND_US)

    @property
    def saturated(self) -> int:
        """Hosts that were refused."""
        return self._askers.refused

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """At most one finding for each doubling of a host's count."""
        columns = (rows["ts"], rows["opcode"], rows["src_lo"], rows["dst_lo"])
        for ts, opcode, source, target in zip(*(column.tolist() for column in columns), strict=True):
            if opcode == REPLY:
                asker = self._askers.peek(target)
                if asker is not None:
                    asker.silent.discard(source)
                    if len(asker.answered) < HOSTS_KEPT:
                        asker.answered.add(source)
            elif opcode == REQUEST and source not in (target, ANY):
                asker = self._askers.get(source, ts)
                if asker is None:
                    continue
                asker.in_turn += target - asker.last == 1
                asker.last = target
                if target not in asker.answered and asker.silent.add(target, ts):
                    yield from self._judge(asker, ts, source, target)

    def _judge(self, asker: _Asker, ts: int, source: int, target: int) -> Iterator[Finding | NearMiss]:
        src, count = text(0, source), len(asker.silent)
        if not asker.near and (near := self._ladder.near(asker.silent)):
            asker.near = True
            yield NearMiss(detector=SPEC.name, key=(src,), ts=ts, measured=near[2], threshold=near[1], window_s=near[0])
        reached = self._ladder.reached(asker.silent, asker.level)
        if reached is None or count < self._settings.unanswered_share * (count + len(asker.answered)):
            return
        if not asker.answered and asker.in_turn < self._settings.in_turn_share * count:
            return
        while self._ladder.reached(asker.silent, asker.level):
            asker.level *= 2
        span, threshold, measured = reached
        yield Finding(
            detector=SPEC.name, key=(src,), kind="network_scan", signature="ARP sweep", signature_id=SIGNATURE_ID,
            category="Detection of a Network Scan", ts=ts, first_seen=asker.silent.first_us, actors=(src,),
            victims=(text(0, target),), measured=measured, threshold=threshold, unit="addresses", window_s=span,
            impact=Severity.MEDIUM, confidence=0.8, techniques=("T1018", "T1046"), tactics=("TA0007",), src_ip=src,
            dest_ip=text(0, target), count=asker.silent.total,
            explain=Explain(
                what=f"{src} asked for {asker.silent.total} addresses of its network that nobody answered for; "
                f"{len(asker.answered)} were answered.",
                why="Asking for every address is how a host finds out who is on the network.",
                sure_for=(f"measured {measured} silent addresses in {span:g} s, threshold {threshold}",),
                benign=("a printer or camera tool that looks for its devices", "an inventory tool"),
                next=("Ask the owner of the source whether this was meant.", f"nsm flows --host {src}"),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="arp_sweep", settings=ArpSweepSettings, detector=ArpSweep, wants=ARP, attack=("T1018", "T1046"),
    quiet_for="gateways, DHCP servers, monitoring hosts",
)  # fmt: skip
