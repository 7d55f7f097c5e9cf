"""The columns that decoding fills, one row for each header that can belong to a flow, and the decoder over them."""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.decode.settings import DecodeSettings
from nsm.kernels.checksum import verify
from nsm.kernels.decode import ROWS_PER_PACKET_MAX, decode
from nsm.model.batch import PacketBatch
from nsm.model.table import Array

# Name and dtype of each column, in the order of the kernel's arguments.
COLUMNS: Final = (
    ("pkt", "uint32"), ("kinds", "uint8"), ("key", "uint64"), ("hashes", "uint32"), ("a_hi", "uint64"), ("a_lo", "uint64"),
    ("b_hi", "uint64"), ("b_lo", "uint64"), ("direction", "uint8"), ("bads", "uint32"), ("l3s", "uint16"),
    ("l4s", "uint16"), ("pays", "uint16"), ("plens", "uint32"), ("iplens", "uint32"), ("seqs", "uint32"),
    ("acks", "uint32"), ("windows", "uint16"), ("flag_bytes", "uint8"), ("ttls", "uint8"), ("vlans_inner", "uint16"),
    ("icmps", "uint16"),
)  # fmt: skip


class DecodedRows:
    """Rows of one batch; ``flow``, ``numbers`` and ``sides`` are filled by the tracker: record, flow, sender."""

    pkt: Array
    kinds: Array
    key: Array
    hashes: Array
    a_hi: Array
    a_lo: Array
    b_hi: Array
    b_lo: Array
    direction: Array
    bads: Array
    l3s: Array
    l4s: Array
    pays: Array
    plens: Array
    iplens: Array
    seqs: Array
    acks: Array
    windows: Array
    flag_bytes: Array
    ttls: Array
    vlans_inner: Array
    icmps: Array
    flow: Array
    numbers: Array
    sides: Array

    __slots__ = ("count", "flow", "numbers", "sides", *(name for name, _ in COLUMNS))

    def __init__(self, capacity: int) -> None:
        for name, dtype in COLUMNS:
            setattr(self, name, np.zeros(capacity, dtype))
        self.flow = np.zeros(capacity, np.uint32)
        self.numbers = np.zeros(capacity, np.uint64)
        self.sides = np.zeros(capacity, np.uint8)
        self.count = 0

    @property
    def columns(self) -> tuple[Array, ...]:
        """The columns in the kernel's order."""
        return tuple(getattr(self, name) for name, _ in COLUMNS)


class Decoder:
    """Decodes batches into one set of rows that is used again and again."""

    def __init__(self, settings: DecodeSettings, batch_rows: int, seed: int, checksums: bool = False) -> None:
        self._checksums = checksums
        # Twice the packets: tunnels add rows, and a batch that has more of them is decoded in parts.
        self.rows = DecodedRows(max(2 * batch_rows, 2 * ROWS_PER_PACKET_MAX))
        self._columns = self.rows.columns
        tags = 0xFFF if settings.vlan_in_flow else 0
        self._limits = np.array(
            [
                settings.large_icmp_bytes,
                settings.large_udp_bytes,
                int(settings.teredo),
                seed,
                tags,
            ],
            np.int64,
        )
        self._state = np.zeros(2, np.int64)

    def decode(self, batch: PacketBatch, first: int) -> int:
        """Decode from packet ``first`` on, as many as the rows hold; return the first packet not decoded."""
        decode(
            batch.data, batch.offset, batch.caplen, batch.wirelen, batch.links, batch.vlan, first, batch.count,
            self._limits, *self._columns, self._state,
        )  # fmt: skip
        rows = self.rows
        rows.count = int(self._state[0])
        if self._checksums:
            verify(
                batch.data, batch.offset, batch.caplen, rows.pkt, rows.kinds, rows.key, rows.l3s, rows.l4s, rows.iplens,
                rows.bads, rows.count,
            )  # fmt: skip
        return int(self._state[1])
