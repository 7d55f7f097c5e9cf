"""Floods: so many one-sided packets to one target in a second that it can hardly be meant. ATT&CK T1498.001, T1499.

SYN floods by the share of completed handshakes, UDP, ICMP and other TCP floods by the rate nobody answers. Sources
may be spoofed, so a flood is one alert that names its victim. Must stay silent: a busy web server (its handshakes are
completed), streaming and VPN (two-way), a server that is down (few tries a second), and scans (one packet a port).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from nsm.bounded.tables import LruDict
from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, proto_name
from nsm.model.address import text
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Rows
from nsm.model.traffic import TARGET
from nsm.settings.section import Count, Share
from nsm.track.contacts import group_address

SIGNATURES: Final = {
    "SYN": (9_000_010, ("T1499.001", "T1498.001", "T1498", "T1499")),
    "UDP": (9_000_011, ("T1498.001", "T1498")),
    "ICMP": (9_000_012, ("T1498.001", "T1498")),
    "TCP": (9_000_013, ("T1498.001", "T1498", "T1499")),
}
TICKS_PER_SECOND: Final = 4
TICK_US: Final = 250_000
CLEAR_US: Final = 600_000_000  # a flood that comes back after ten minutes is a new one


class FloodSettings(msgspec.Struct, frozen=True):
    """Rates per second of packet time; measurements behind them are in docs/detections.md."""

    syn_rate: Count = 1_000
    """SYN in any second."""
    syn_rate_sustained: Count = 200
    """SYN a second, for three seconds."""
    udp_rate: Count = 5_000
    """UDP packets without answer in any second."""
    icmp_rate: Count = 2_000
    """ICMP packets in any second."""
    tcp_rate: Count = 5_000
    """TCP packets other than SYN, of flows without answer, in any second."""
    completed_share: Share = 0.2
    """Below this part of completed handshakes (UDP: of answered flows) it is a flood."""
    targets_max: Count = 16_384
    """Targets watched at once; the least recently seen leaves and is counted."""


class _Target:
    """The last three seconds of one target, and how far its flood has been told."""

    __slots__ = ("first_us", "last_us", "level", "many", "near", "sources", "ticks", "total")

    def __init__(self) -> None:
        self.ticks: deque[tuple[int, int, int, int, int]] = deque(maxlen=3 * TICKS_PER_SECOND)
        self.level = 1
        self.near = False
        self.many = False
        self.sources: set[tuple[int, int]] = set()
        self.total = self.first_us = self.last_us = 0

    def last(self, ticks: int, now: int) -> tuple[int, int, int]:
        """(events, flows, finished) of the last ``ticks`` ticks."""
        kept = [item for item in self.ticks if item[0] > now - ticks]
        return sum(i[1] for i in kept), sum(i[2] for i in kept), sum(i[3] for i in kept)


class Flood:
    """State: twelve ticks of counters per target with more than a quarter of a threshold, at most targets_max."""

    def __init__(self, settings: FloodSettings, surroundings: Surroundings) -> None:
        self._settings, self._home = settings, surroundings.home
        self._targets: LruDict[tuple[int, ...], _Target] = LruDict(settings.targets_max, _Target)
        self._rates = {
            "SYN": settings.syn_rate, "UDP": settings.udp_rate, "ICMP": settings.icmp_rate, "TCP": settings.tcp_rate
        }  # fmt: skip

    @property
    def saturated(self) -> int:
        """Targets that were forgotten."""
        return self._targets.evicted

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """One finding when a target's threshold is reached, and one for each doubling."""
        for kind, events, mask in self._candidates(rows):
            index = np.flatnonzero(mask)
            if not len(index):
                continue
            part = rows.take(index)
            finished = part["completed"] if kind == "SYN" else part["answered"]
            columns = [
                part["ts"], events[index], part["flows"], finished, part["bytes"], part["dst_hi"], part["dst_lo"],
                part["port"], part["proto"], part["src_hi"], part["src_lo"], part["single"],
            ]  # fmt: skip
            for row in zip(*(column.tolist() for column in columns), strict=True):
                yield from self._tick(kind, *row)

    def _candidates(self, rows: Rows) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(kind, events, worth a look) for each kind of flood: a tick with at least a sixteenth of the lowest rate."""
        proto, pkts, syns = rows["proto"], rows["pkts"], rows["syns"]
        lowest = min(self._settings.syn_rate, self._settings.syn_rate_sustained)
        yield "SYN", syns, syns >= max(1, lowest // 16)
        single = ~group_address(rows["dst_hi"], rows["dst_lo"], proto)
        yield "UDP", pkts, (proto == PROTO_UDP) & single & (pkts >= max(1, self._settings.udp_rate // 16))
        icmp = (proto == PROTO_ICMP) | (proto == PROTO_ICMPV6)
        yield "ICMP", pkts, icmp & single & (pkts >= max(1, self._settings.icmp_rate // 16))
        others = pkts - syns
        yield "TCP", others, (proto == PROTO_TCP) & (others >= max(1, self._settings.tcp_rate // 16))

    def _tick(
        self, kind: str, ts: int, events: int, flows: int, finished: int, size: int, dst_hi: int, dst_lo: int, port: int,
        proto: int, src_hi: int, src_lo: int, single: int,
    ) -> Iterator[Finding | NearMiss]:  # fmt: skip
        now = ts // TICK_US
        state = self._targets[dst_hi, dst_lo, port, proto, ord(kind[0])]
        if not state.first_us or ts - state.last_us > CLEAR_US:
            state.first_us, state.level, state.near, state.total = ts, 1, False, 0
        state.last_us = ts
        state.ticks.append((now, events, flows, finished, size))
        state.total += events
        state.many |= not single
        if len(state.sources) < 16:
            state.sources.add((src_hi, src_lo))
        measured, window, threshold = self._measure(kind, state, now)
        if not state.near and measured >= threshold // 4:
            state.near = True
            yield NearMiss(
                detector=SPEC.name, key=(kind, text(dst_hi, dst_lo), str(port), proto_name(proto)), ts=ts + TICK_US,
                measured=measured, threshold=threshold, window_s=window,
            )  # fmt: skip
        if measured < threshold * state.level:
            return
        while measured >= threshold * state.level:
            state.level *= 2
        yield self._finding(kind, state, ts + TICK_US, text(dst_hi, dst_lo), port, proto, measured, threshold, window)

    def _measure(self, kind: str, state: _Target, now: int) -> tuple[float, float, int]:
        """(measured rate, window in seconds, threshold); 0 when handshakes or answers speak against a flood."""
        events, flows, finished = state.last(TICKS_PER_SECOND, now)
        threshold = self._rates[kind]
        share = self._settings.completed_share
        rate = float(events) if finished < share * max(flows, 1) or kind == "ICMP" else 0.0
        if kind == "SYN" and rate < threshold:
            events, flows, finished = state.last(3 * TICKS_PER_SECOND, now)
            spanned = len({item[0] // TICKS_PER_SECOND for item in state.ticks})
            sustained = self._settings.syn_rate_sustained
            if spanned >= 3 and events >= 3 * sustained and finished < share * max(flows, 1):
                return events / 3, 3.0, sustained
        return rate, 1.0, threshold

    def _finding(
        self, kind: str, state: _Target, ts: int, dst: str, port: int, proto: int, measured: float, threshold: int,
        window: float,
    ) -> Finding:  # fmt: skip
        signature_id, techniques = SIGNATURES[kind]
        place = f"{dst}:{port}" if port else dst
        one = not state.many and len(state.sources) == 1
        actors = tuple(text(*source) for source in state.sources) if one else ()
        origin = f"from {actors[0]}" if actors else "from many sources, perhaps spoofed"
        inside = dst in self._home
        return Finding(
            detector=SPEC.name, key=(kind, dst, str(port), proto_name(proto)), kind="flood", signature=f"{kind} flood",
            signature_id=signature_id, category="Attempted Denial of Service", ts=ts, first_seen=state.first_us,
            actors=actors, victims=(dst,), measured=round(measured, 1), threshold=threshold,
            unit="packets/s", window_s=window, impact=Severity.MEDIUM if kind == "ICMP" else Severity.HIGH,
            confidence=0.9 if inside or kind in ("SYN", "ICMP") else 0.8, techniques=techniques, tactics=("TA0040",),
            src_ip=actors[0] if actors else "", dest_ip=dst, dest_port=port, proto=proto, count=state.total,
            explain=Explain(
                what=f"{state.total} {kind} packets reached {place} in {max(state.last_us - state.first_us, TICK_US) / 1e6:.3g}"
                f" s {origin}, and hardly any was answered.",
                why="Packets at this rate fill the target's queues or its line, so that others get no answer.",
                sure_for=(f"measured {measured:.0f} a second, threshold {threshold}",),
                sure_against=(),
                benign=("a load test", "a mirror port that shows one direction only"),
                next=(
                    f"Check that {dst} still answers.",
                    "Turn on SYN cookies." if kind == "SYN" else "Ask your provider to filter upstream.",
                    "Block the source." if one else "Do not block single sources: they may be spoofed.",
                ),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="flood", settings=FloodSettings, detector=Flood, wants=TARGET, attack=("T1498.001", "T1499.001"),
    quiet_for="busy servers, streaming, VPN, a server that is down, scans",
)  # fmt: skip
