"""Interfaces of the machine as the page lists them, with what each moves now."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from nsm.capture.interfaces import interfaces


class InterfaceRates:
    """Packets and bits a second, from the counters at two looks."""

    def __init__(self) -> None:
        self._rates: dict[str, dict[str, int]] = {}
        self._counters: dict[str, tuple[float, int, int]] = {}

    def look(self) -> None:
        """Read the counters; counters that went back are those of a new interface."""
        now = time.time()
        for item in interfaces():
            before = self._counters.get(item.name)
            if before is not None and now > before[0]:
                span = now - before[0]
                self._rates[item.name] = {
                    "pps": max(0, round((item.packets - before[1]) / span)),
                    "bps": max(0, round((item.octets - before[2]) * 8 / span)),
                }
            self._counters[item.name] = (now, item.packets, item.octets)

    def listed(self, selected: Collection[str]) -> list[dict[str, Any]]:
        """All interfaces, the busiest first, loopback last among equals."""
        found: list[dict[str, Any]] = []
        for item in interfaces():
            rate = self._rates.get(item.name, {})
            found.append({
                "name": item.name, "state": item.state, "up": item.up, "addresses": list(item.addresses),
                "pps": rate.get("pps", 0), "bps": rate.get("bps", 0), "drops": item.drops,
                "selected": item.name in selected,
            })  # fmt: skip
        found.sort(key=lambda entry: (-entry["pps"], entry["name"] == "lo", entry["name"]))
        return found
