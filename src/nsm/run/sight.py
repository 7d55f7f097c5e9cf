"""What the capture sees, by interface, over the last minutes: whose traffic, in which directions, in frames of which size.

From flows that ended; it says whether nsm is where it should be (``nsm.health.working``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from nsm.iana import PROTO_TCP
from nsm.model.address import Networks
from nsm.model.flow import Report
from nsm.model.table import Rows

MINUTES: Final = 10
MINUTE_S: Final = 60.0
ACK: Final = 0x10
INTERFACES_MAX: Final = 64
GROUPS: Final = Networks(("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"))
EVERYBODY: Final = 0xFFFF_FFFF_FFFF
LARGEST: Final = "frame_max"


class Sights:
    """Counts of the last MINUTES, in parts of a minute. ``clock`` is monotonic, in s."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._own = Networks(())
        self._parts: dict[int, dict[int, Counter[str]]] = {}

    def own(self, interfaces: Iterable[Mapping[str, Any]]) -> None:
        """The addresses of this machine, from the capture message."""
        texts = [text.partition("/")[0] for one in interfaces for text in one["addresses"]]
        self._own = Networks(tuple(dict.fromkeys(text for text in texts if "%" not in text)))

    def flows(self, rows: Rows) -> None:
        """Add flows that ended."""
        ended = rows.take(rows["report"] == Report.ENDED) if len(rows) else rows
        if not len(ended):
            return
        own = self._own.contain(ended["src_hi"], ended["src_lo"]) | self._own.contain(ended["dst_hi"], ended["dst_lo"])
        group = GROUPS.contain(ended["dst_hi"], ended["dst_lo"])
        group |= ended["dst_mac"] == EVERYBODY  # the networks' own broadcast addresses are known by it alone
        tcp = (ended["proto"] == PROTO_TCP) & (((ended["tcp_s"] | ended["tcp_c"]) & ACK) != 0)
        sides = [(ended[f"bytes_{side}"], ended[f"pkts_{side}"]) for side in ("s", "c")]
        columns = {
            "flows": np.ones(len(ended), np.bool_), "own": own, "group": group & ~own, "foreign": ~own & ~group,
            "tcp": tcp, "one_way": tcp & ((sides[0][1] == 0) | (sides[1][1] == 0)),
        }  # fmt: skip
        largest = np.maximum(*(size // np.maximum(count, 1) for size, count in sides))
        part = self._part()
        for number in np.unique(ended["iface"])[:INTERFACES_MAX].tolist():
            mine = ended["iface"] == number
            sums = part.setdefault(int(number), Counter())
            for name, column in columns.items():
                sums[name] += int((column & mine).sum())
            sums[LARGEST] = max(sums[LARGEST], int(largest[mine].max()))

    def shape(self, names: Mapping[int, str]) -> list[dict[str, Any]]:
        """One entry an interface: {name, flows, own, group, foreign, tcp, one_way, frame_max}."""
        self._part()
        found: dict[int, Counter[str]] = {}
        for part in self._parts.values():
            for number, sums in part.items():
                total = found.setdefault(number, Counter())
                largest = max(total[LARGEST], sums[LARGEST])
                total.update(sums)
                total[LARGEST] = largest
        return [{"name": names.get(number, str(number)), **sums} for number, sums in sorted(found.items())]

    def _part(self) -> dict[int, Counter[str]]:
        """The counts of this minute; those that are too old leave."""
        minute = int(self._clock() // MINUTE_S)
        for old in [at for at in self._parts if at <= minute - MINUTES]:
            del self._parts[old]
        return self._parts.setdefault(minute, {})
