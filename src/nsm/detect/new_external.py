"""New external connection: a host of ours talks to an outside network that nobody here has talked to. ATT&CK T1071.

Information only. The first day of traffic is learned in silence; afterwards one alert a host, counted on. Must stay
silent: what was learned, and other addresses of a network (/24, /48) that is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from nsm.bounded.tables import LruDict
from nsm.iana import proto_name, service_name
from nsm.model.address import text
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW, Outcome, Report
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Array, Rows
from nsm.settings.section import Count, Duration
from nsm.track.contacts import group_address

SIGNATURE_ID: Final = 9_000_040
HOUR_US: Final = 3_600_000_000


class NewExternalSettings(msgspec.Struct, frozen=True):
    """How long is learned, and how much is remembered."""

    learn_hours: Duration = 24.0
    """Traffic from the start in which everything is new and nothing is told."""
    networks_max: Count = 262_144
    """Outside networks remembered; the least recently seen leaves and is counted."""
    hosts_max: Count = 16_384
    """Hosts of ours counted at once; the least recently seen leaves."""


class _Host:
    __slots__ = ("count", "first", "level")

    def __init__(self) -> None:
        self.count = self.first = 0
        self.level = 1


def outside_networks(hi: Array, lo: Array) -> tuple[Array, Array]:
    """The /24 or /48 of each address, as halves."""
    v4 = (hi == 0) & (lo >> np.uint64(32) == 0xFFFF)
    return (
        np.where(v4, hi, hi & np.uint64(0xFFFFFFFFFFFF0000)),
        np.where(v4, lo & ~np.uint64(0xFF), np.uint64(0)),
    )


class NewExternal:
    """State: a set of networks, and a count per host."""

    def __init__(self, settings: NewExternalSettings, surroundings: Surroundings) -> None:
        self._settings, self._home = settings, surroundings.home
        self._known: LruDict[tuple[int, int], list[int]] = LruDict(settings.networks_max, list)
        self._hosts: LruDict[tuple[int, int], _Host] = LruDict(settings.hosts_max, _Host)
        self._quiet_until = 0

    @property
    def saturated(self) -> int:
        """Networks and hosts that were forgotten."""
        return self._known.evicted + self._hosts.evicted

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """A finding for a host's first new network, and for each doubling of their number."""
        mask = (rows["report"] == Report.OPENED) & (rows["outcome"] == Outcome.ANSWERED)
        mask &= self._home.contain(rows["src_hi"], rows["src_lo"])
        mask &= ~self._home.contain(rows["dst_hi"], rows["dst_lo"])
        mask &= ~group_address(rows["dst_hi"], rows["dst_lo"], rows["proto"])
        if not mask.any():
            return
        part = rows.take(mask)
        networks = outside_networks(part["dst_hi"], part["dst_lo"])
        columns = [
            part["emit_us"], part["src_hi"], part["src_lo"], part["dst_hi"], part["dst_lo"], part["dst_port"], part["proto"],
            part["flow_id"], *networks,
        ]  # fmt: skip
        for ts, shi, slo, dhi, dlo, port, proto, flow_id, nhi, nlo in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            self._quiet_until = self._quiet_until or ts + int(self._settings.learn_hours * HOUR_US)
            fresh = (nhi, nlo) not in self._known
            self._known[nhi, nlo].append(0) if fresh else self._known[nhi, nlo]
            if not fresh or ts < self._quiet_until:
                continue
            host = self._hosts[shi, slo]
            host.count += 1
            host.first = host.first or ts
            if host.count >= host.level:
                host.level *= 2
                yield self._finding(host, ts, text(shi, slo), text(dhi, dlo), port, proto, flow_id)

    def _finding(self, host: _Host, ts: int, src: str, dst: str, port: int, proto: int, flow_id: int) -> Finding:
        service = service_name(port)
        return Finding(
            detector=SPEC.name, key=(src,), kind="external_connection", signature="New external connection",
            signature_id=SIGNATURE_ID, category="Misc activity", ts=ts, first_seen=host.first, actors=(src,), victims=(dst,),
            measured=host.count, threshold=1, unit="new networks", window_s=0, impact=Severity.INFO, confidence=0.5,
            techniques=("T1071",), tactics=("TA0011",), flow_ids=(flow_id,), src_ip=src, dest_ip=dst, dest_port=port,
            proto=proto, count=host.count,
            explain=Explain(
                what=f"{src} connected to {dst} port {port}/{proto_name(proto).lower()} ({service}), in a network that "
                f"nobody here has talked to before; {host.count} such networks from this host so far.",
                why="Most devices talk to few places; a new one can be an update, a new habit, or data leaving.",
                benign=("a new program or web site", "a content network that moved"),
                next=(f"nsm flows --host {dst}",),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="new_external", settings=NewExternalSettings, detector=NewExternal, wants=FLOW, attack=("T1071",),
    quiet_for="the first day, and networks that are known",
)  # fmt: skip
