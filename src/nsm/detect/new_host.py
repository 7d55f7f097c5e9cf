"""New host on the network: an address of ours that sends for the first time. ATT&CK T1200.

Information only. The hosts of the first minutes are learned in silence. Must stay silent: hosts that come back, and
addresses that only were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from nsm.bounded.tables import LruDict
from nsm.model.address import text
from nsm.model.finding import Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW, Report
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.table import Array, Rows
from nsm.settings.section import Count, Duration

SIGNATURE_ID: Final = 9_000_041
MINUTE_US: Final = 60_000_000


class NewHostSettings(msgspec.Struct, frozen=True):
    """How long is learned, and how many hosts are remembered."""

    learn_minutes: Duration = 10.0
    """Traffic from the start in which every host is taken for known."""
    hosts_max: Count = 65_536
    """Hosts remembered; the least recently seen leaves and is counted."""


class NewHost:
    """State: the hosts, by hardware address where the capture shows one of a local sender, else by address."""

    def __init__(self, settings: NewHostSettings, surroundings: Surroundings) -> None:
        self._settings, self._home = settings, surroundings.home
        self._hosts: LruDict[tuple[int, int], list[int]] = LruDict(settings.hosts_max, list)
        self._quiet_until = 0

    @property
    def saturated(self) -> int:
        """Hosts that were forgotten."""
        return self._hosts.evicted

    def observe(self, rows: Rows) -> Iterator[Finding | NearMiss]:
        """One finding for each new host."""
        opened = rows.take(rows["report"] == Report.OPENED)
        if not len(opened):
            return
        self._quiet_until = self._quiet_until or int(opened["emit_us"][0]) + int(
            self._settings.learn_minutes * MINUTE_US
        )
        for ts, hi, lo, mac, flow_id in self._senders(opened):
            if (hi, lo) in self._hosts:
                continue
            self._hosts[hi, lo].append(mac)
            if ts >= self._quiet_until:
                yield self._finding(ts, text(hi, lo), mac, flow_id)

    def _senders(self, rows: Rows) -> Iterator[tuple[int, int, int, int, int]]:
        """(time, address halves, hardware address, flow) of the first row of each local host that sent, in order."""
        servers = rows.take(rows["pkts_c"] > 0)
        parts: list[list[Array]] = []
        for part, hi, lo, mac in ((rows, "src_hi", "src_lo", "src_mac"), (servers, "dst_hi", "dst_lo", "dst_mac")):
            local = self._home.contain(part[hi], part[lo]) & (part[lo] & np.uint64(0xFFFFFFFF) != 0)
            if local.any():
                ours = part.take(local)
                _, first = np.unique(np.stack((ours[hi], ours[lo])), axis=1, return_index=True)
                ours = ours.take(np.sort(first))
                parts.append([ours["emit_us"], ours[hi], ours[lo], ours[mac], ours["flow_id"]])
        found = [row for part in parts for row in zip(*(column.tolist() for column in part), strict=True)]
        yield from sorted(found)

    def _finding(self, ts: int, host: str, mac: int, flow_id: int) -> Finding:
        hardware = ":".join(f"{mac >> shift & 255:02x}" for shift in range(40, -8, -8)) if mac else ""
        behind = f" (hardware address {hardware})" if hardware else ""
        return Finding(
            detector=SPEC.name, key=(host,), kind="new_host", signature="New host on the network", signature_id=SIGNATURE_ID,
            category="Misc activity", ts=ts, first_seen=ts, actors=(host,), victims=(), measured=1, threshold=1, unit="hosts",
            window_s=0, impact=Severity.INFO, confidence=0.9, techniques=("T1200",), tactics=("TA0001",),
            flow_ids=(flow_id,), src_ip=host, dest_ip=host,
            explain=Explain(
                what=f"{host}{behind} sent its first packets on this network.",
                why="Somebody's new device, or one that does not belong here.",
                benign=("a guest, a new device, or an address that was given anew",),
                next=(f"nsm flows --host {host}",),
            ),
        )  # fmt: skip


SPEC: Final = DetectorSpec(
    name="new_host", settings=NewHostSettings, detector=NewHost, wants=FLOW, attack=("T1200",),
    quiet_for="hosts of the first minutes, hosts that come back",
)  # fmt: skip
