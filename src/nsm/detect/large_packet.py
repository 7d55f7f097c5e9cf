"""Unusually large packets and odd fragments, as information. ATT&CK T1095.

ICMP and UDP payloads above the decoder's sizes, first fragments too small to hold a header (RFC 1858), fragments that
would end beyond 65,535 bytes. Must stay silent: TCP (offloading makes large segments on the capturing host) and jumbo frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import LruDict
from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, proto_name
from nsm.model.address import text
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, FRAGMENT_TOO_LARGE, LARGE_PACKET, TINY_FRAGMENT
from nsm.settings.section import Count

TELL: Final = {
    LARGE_PACKET: (9_000_020, "Unusually large packet", Severity.INFO),
    TINY_FRAGMENT: (9_000_021, "Tiny IP fragment", Severity.INFO),
    FRAGMENT_TOO_LARGE: (9_000_022, "IP fragment beyond the largest packet", Severity.MEDIUM),
}


class LargePacketSettings(msgspec.Struct, frozen=True):
    """The sizes themselves are settings of the decoder (decode.large_icmp_bytes, decode.large_udp_bytes)."""

    tiny_fragments: Count = 20
    """Tiny fragments of one pair of hosts before they are told."""
    pairs_max: Count = 16_384
    """(source, target, kind) told of at once; the least recently seen leaves and is counted."""


class _Pair:
    __slots__ = ("count", "first", "largest", "level")

    def __init__(self) -> None:
        self.count = self.first = self.largest = 0
        self.level = 1


class LargePacket:
    """State: a count for each (source, target, kind)."""

    def __init__(self, settings: LargePacketSettings, surroundings: Surroundings) -> None:
        self._settings = settings
        self._pairs: LruDict[tuple[object, ...], _Pair] = LruDict(settings.pairs_max, _Pair)

    @property
    def saturated(self) -> int:
        """Pairs that were forgotten."""
        return self._pairs.evicted

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """A finding for the first packet of a pair, and for each doubling of their number."""
        columns = [
            rows[name] for name in (
                "event", "ts", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "proto", "value", "flow_id"
            )
        ]  # fmt: skip
        for event, ts, shi, slo, dhi, dlo, sport, dport, proto, value, flow_id in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            told = TELL.get(event)
            if told is None:
                continue
            pair = self._pairs[event, shi, slo, dhi, dlo, proto]
            pair.count += 1
            pair.first = pair.first or ts
            pair.largest = max(pair.largest, value)
            if pair.count < pair.level * (self._settings.tiny_fragments if event == TINY_FRAGMENT else 1):
                continue
            pair.level *= 2
            src, dst = text(shi, slo), text(dhi, dlo)
            number, title, impact = told
            name = proto_name(proto)
            icmp = proto in (PROTO_ICMP, PROTO_ICMPV6)
            yield Finding(
                detector=SPEC.name, key=(event, src, dst, name), kind="large_packet", signature=f"{title} ({name})",
                signature_id=number, category="Potentially Bad Traffic", ts=ts, first_seen=pair.first, actors=(src,),
                victims=(dst,), measured=pair.largest, threshold=0, unit="bytes", window_s=0, impact=impact, confidence=0.6,
                techniques=("T1095",), tactics=("TA0011",), flow_ids=(flow_id,) if flow_id else (), src_ip=src, dest_ip=dst,
                src_port=0 if icmp else sport, dest_port=0 if icmp else dport, proto=proto, count=pair.count,
                explain=Explain(
                    what=f"{src} sent {dst} {pair.count} {name} packets of this kind, up to {pair.largest} bytes of payload.",
                    why="Ordinary programs send small packets of this protocol; large or oddly cut ones can carry "
                    "hidden data or be meant to break a receiver.",
                    sure_for=(f"largest payload {pair.largest} bytes",),
                    benign=("a path MTU test", "a video or backup program with its own protocol"),
                    next=(f"nsm flows --host {src}",),
                ),
            )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="large_packet", settings=LargePacketSettings, detector=LargePacket, wants=ANOMALY, attack=("T1095",),
    quiet_for="TCP with segmentation offload, jumbo frames, ordinary pings",
)  # fmt: skip
