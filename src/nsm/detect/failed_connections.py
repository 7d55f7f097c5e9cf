"""Suspicious connection attempts: one source, one service of one host, again and again refused or unanswered. ATT&CK T1110, T1046.

It says that somebody keeps knocking; what for, it cannot know, so it is of low severity. Must stay silent: a client that
retries a few times, services that answer in between, and a service at which many fail at once: that is an outage or a flood.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nsm.bounded.tables import LruDict, RefusingDict
from nsm.bounded.windows import SECOND_US, DistinctWindows, Ladder
from nsm.iana import PROTO_TCP, service_name
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.settings.section import Count
from nsm.track.contacts import SYN, Contact, contacts

SIGNATURE_ID: Final = 9_000_030
TRIES_KEPT: Final = 512
IDLE_S: Final = 3_600
SOURCES_KEPT: Final = 64


class FailedConnectionsSettings(msgspec.Struct, frozen=True):
    """Thresholds of failed TCP connections to one port of one host."""

    five_minutes_tries: Count = 20
    """Within five minutes."""
    hour_tries: Count = 60
    """Within an hour."""
    sources_max: Count = 5
    """More sources than this failing at one service within a minute are an outage or a flood."""
    keys_max: Count = 32_768
    """(source, target, port) watched at once; beyond, new ones are refused and counted."""


class _Knocking:
    __slots__ = ("flow_ids", "level", "near", "refused", "tries")

    def __init__(self) -> None:
        self.tries = DistinctWindows(TRIES_KEPT)
        self.refused = 0
        self.level = 1
        self.near = False
        self.flow_ids: list[int] = []


class FailedConnections:
    """State: tries per (source, target, port), at most keys_max times 512; an answer forgets them."""

    def __init__(self, settings: FailedConnectionsSettings, surroundings: Surroundings) -> None:
        self._ladder = Ladder(((300, settings.five_minutes_tries), (3_600, settings.hour_tries)))
        self._settings = settings
        self._services: LruDict[tuple[int, ...], DistinctWindows] = LruDict(
            settings.keys_max, lambda: DistinctWindows(SOURCES_KEPT)
        )
        self._keys: RefusingDict[tuple[int, ...], _Knocking] = RefusingDict(
            settings.keys_max, _Knocking, IDLE_S * SECOND_US
        )

    @property
    def saturated(self) -> int:
        """Keys that were refused."""
        return self._keys.refused

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """At most one finding for each doubling of the number of tries."""
        for contact in contacts(rows):
            if contact.proto != PROTO_TCP or contact.flags & SYN == 0:
                continue
            key = (*contact.src, *contact.dst, contact.dport)
            if not contact.failed:
                known = self._keys.peek(key)
                if known is not None:
                    known.tries = DistinctWindows(TRIES_KEPT)
                    known.level = 1
                continue
            service = self._services[(*contact.dst, contact.dport)]
            service.add(contact.src, contact.ts)
            enough = self._settings.sources_max + 1
            if service.within(60 * SECOND_US, enough) >= enough:
                continue
            knocking = self._keys.get(key, contact.ts)
            if knocking is not None:
                knocking.tries.add(contact.flow_id, contact.ts)
                knocking.refused += contact.refused
                knocking.flow_ids = [*knocking.flow_ids[-4:], contact.flow_id]
                yield from self._judge(knocking, contact)

    def _judge(self, knocking: _Knocking, contact: Contact) -> Iterator[Finding | NearMiss]:
        key = (contact.src_text, contact.dst_text, str(contact.dport))
        if not knocking.near and (near := self._ladder.near(knocking.tries)):
            knocking.near = True
            yield NearMiss(
                detector=SPEC.name, key=key, ts=contact.ts, measured=near[2], threshold=near[1], window_s=near[0]
            )
        reached = self._ladder.reached(knocking.tries, knocking.level)
        if reached is None:
            return
        while self._ladder.reached(knocking.tries, knocking.level):
            knocking.level *= 2
        span, threshold, measured = reached
        src, dst = contact.src_text, contact.dst_text
        service = service_name(contact.dport)
        yield Finding(
            detector=SPEC.name, key=key, kind="suspicious_connection", signature="Repeated failed connections",
            signature_id=SIGNATURE_ID, category="Attempted Information Leak", ts=contact.ts,
            first_seen=knocking.tries.first_us, actors=(src,), victims=(dst,), measured=measured, threshold=threshold,
            unit="failed connections", window_s=span, impact=Severity.LOW, confidence=0.6, techniques=("T1046", "T1110"),
            tactics=("TA0007", "TA0006"), flow_ids=tuple(knocking.flow_ids), src_ip=src, dest_ip=dst,
            src_port=contact.sport, dest_port=contact.dport, proto=contact.proto, count=knocking.tries.total,
            explain=Explain(
                what=f"{src} tried {knocking.tries.total} times to connect to {dst} port {contact.dport} ({service}); "
                f"{knocking.refused} were refused, the others not answered.",
                why="Somebody who keeps knocking at a closed door may be guessing, or a service may be down.",
                sure_for=(f"measured {measured} failures in {span:g} s, threshold {threshold}",),
                benign=("a service that is down", "a client with an old address in its settings"),
                next=(f"Check whether {dst} should offer {service}.", f"nsm flows --host {src}"),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="failed_connections", settings=FailedConnectionsSettings, detector=FailedConnections, wants=FLOW,
    attack=("T1046", "T1110"), quiet_for="a client that retries a few times, services that answer in between",
)  # fmt: skip
