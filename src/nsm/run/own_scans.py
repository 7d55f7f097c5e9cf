"""Scans that this machine makes itself: detectors of scans do not see their packets, everything else does.

A scan tells where it sends while it runs. What one of the machine's own addresses sent to one of its targets in that time is
left out; what the same machine does elsewhere or later is judged like that of any other.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nsm.model.address import V4_PREFIX, Networks
from nsm.model.flow import FLOW
from nsm.model.table import Array, Rows
from nsm.model.traffic import ARP, TARGET

SCANS_MAX: Final = 32  # ours: kept at once; the oldest leaves
BEFORE_US: Final = 2_000_000  # the first packets may be older than the word of them
AFTER_US: Final = (
    10_000_000  # the last word comes up to a second before the last packet; answers and retries later still
)


class _Scan:
    def __init__(self, sources: Networks, targets: Networks, first_us: int, last_us: int) -> None:
        self.sources, self.targets, self.first_us, self.last_us = sources, targets, first_us, last_us


class OwnScans:
    """Those of the last time, by name."""

    def __init__(self) -> None:
        self._scans: dict[str, _Scan] = {}

    def heard(self, header: dict[str, Any], now_us: int) -> None:
        """A scan says that it runs: {id, sources, targets}, both lists of networks or addresses."""
        known = self._scans.pop(header["id"], None)
        first = known.first_us if known is not None else now_us - BEFORE_US
        sources, targets = Networks(tuple(header["sources"])), Networks(tuple(header["targets"]))
        self._scans[header["id"]] = _Scan(sources, targets, first, now_us + AFTER_US)
        while len(self._scans) > SCANS_MAX:
            del self._scans[next(iter(self._scans))]

    def without(self, rows: Rows) -> Rows:
        """The rows that are no packets of own scans."""
        if not self._scans or not len(rows) or rows.table not in (FLOW, TARGET, ARP):
            return rows
        src_hi, src_lo, dst_hi, dst_lo, when = _ends(rows)
        own: Array = np.zeros(len(rows), np.bool_)
        for scan in self._scans.values():
            inside = (when >= scan.first_us) & (when <= scan.last_us)
            if inside.any():
                own |= inside & scan.sources.contain(src_hi, src_lo) & scan.targets.contain(dst_hi, dst_lo)
        return rows.take(~own) if own.any() else rows


def _ends(rows: Rows) -> tuple[Array, Array, Array, Array, Array]:
    """Source, destination, and when it began (us)."""
    if rows.table is ARP:
        high = np.zeros(len(rows), np.uint64)
        low = np.uint64(V4_PREFIX)
        return high, rows["src_lo"] | low, high, rows["dst_lo"] | low, rows["ts"]
    when = rows["ts"] - rows["dur_us"].astype(np.int64) if rows.table is FLOW else rows["ts"]
    return rows["src_hi"], rows["src_lo"], rows["dst_hi"], rows["dst_lo"], when
