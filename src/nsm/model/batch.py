"""PacketBatch: the bytes of up to 65,536 packets of one source, and where each lies in them."""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.model.table import Array

BATCH_PACKETS: Final = 2_048  # columns of this many rows stay in a core's second-level cache
BATCH_PACKETS_MAX: Final = 65_536


class PacketBatch:
    """Structure of arrays; made once by a source and filled again and again: never keep one.

    data u8[b]; ts_ns i64[n] nanoseconds UTC; offset i64[n] of the frame in ``data``; caplen, wirelen u32[n];
    links u16[n] link types; ifaces u8[n] interface numbers; vlan u16[n] tag that the kernel took out of the frame,
    identifier + 0x1000, 0 none. ``count`` packets are filled; the first has number ``first_number`` (from 1).
    """

    __slots__ = ("caplen", "count", "data", "first_number", "ifaces", "links", "offset", "ts_ns", "vlan", "wirelen")

    def __init__(self, data: Array, rows: int = BATCH_PACKETS) -> None:
        self.data = data
        self.ts_ns = np.zeros(rows, np.int64)
        self.offset = np.zeros(rows, np.int64)
        self.caplen = np.zeros(rows, np.uint32)
        self.wirelen = np.zeros(rows, np.uint32)
        self.links = np.zeros(rows, np.uint16)
        self.ifaces = np.zeros(rows, np.uint8)
        self.vlan = np.zeros(rows, np.uint16)
        self.count = 0
        self.first_number = 1

    @property
    def rows(self) -> int:
        """How many packets it can hold."""
        return len(self.ts_ns)

    @property
    def columns(self) -> tuple[Array, ...]:
        """What the index kernels fill, in their order."""
        return self.ts_ns, self.offset, self.caplen, self.wirelen, self.links, self.ifaces, self.vlan

    def packet(self, index: int) -> bytes:
        """The captured bytes of one packet, as a copy."""
        start = int(self.offset[index])
        return bytes(self.data[start : start + int(self.caplen[index])])
