"""Which devices of the network the store is told of: each at most once a minute."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nsm.model.address import Networks, texts
from nsm.model.table import Rows

AGAIN_US: Final = 60_000_000
HOSTS_MAX: Final = 65_536  # then all are forgotten, and told again


class HostsTold:
    """Remembers when each local address was told of."""

    def __init__(self, home: Networks) -> None:
        self._home = home
        self._told: dict[tuple[int, int], int] = {}

    def of(self, flows: Rows) -> list[dict[str, Any]]:
        """Local hosts of these flows that were not told of in the last minute, as nsm.store.records.HostSeen."""
        if not len(flows):
            return []
        part = flows.take(self._home.contain(flows["src_hi"], flows["src_lo"]))
        if not len(part):
            return []
        _, first = np.unique(np.stack((part["src_hi"], part["src_lo"])), axis=1, return_index=True)
        part = part.take(np.sort(first))
        names = texts(part["src_hi"], part["src_lo"])
        columns = [part[name].tolist() for name in ("src_hi", "src_lo", "ts", "src_mac")]
        return [
            _seen(address, ts, mac)
            for address, hi, lo, ts, mac in zip(names, *columns, strict=True)
            if self._is_due((hi, lo), ts)
        ]

    def _is_due(self, key: tuple[int, int], ts: int) -> bool:
        if ts - self._told.get(key, -(1 << 62)) < AGAIN_US:
            return False
        if len(self._told) > HOSTS_MAX:
            self._told.clear()
        self._told[key] = ts
        return True


def _seen(address: str, ts: int, mac: int) -> dict[str, Any]:
    hardware = ":".join(f"{mac >> shift & 255:02x}" for shift in range(40, -8, -8)) if mac else ""
    return {"address": address, "first_seen": ts, "last_seen": ts, "mac": hardware, "name": "", "local": True}
