"""How tests put frames before the kernels: one after the other, each followed by a guard that nobody may read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nsm.decode.rows import DecodedRows, Decoder
from nsm.decode.settings import DecodeSettings
from nsm.model.batch import PacketBatch
from tests.kernels.naive import BITS, Row

GUARD = bytes((0x45, 0x00, 0xFF, 0xAA)) * 16  # looks like headers: a read into it would change what comes out
KINDS = ("flow", "outer", "notice", "arp", "other")


def batch_of(
    frames: Sequence[bytes],
    link: int = 1,
    wires: Sequence[int] = (),
    tags: Sequence[int] = (),
    times: Sequence[int] = (),
) -> PacketBatch:
    """A batch whose last frame ends where the buffer ends, all others before a guard."""
    data = GUARD.join(frames)
    batch = PacketBatch(np.frombuffer(data or b"\0", np.uint8).copy(), max(1, len(frames)))
    at = 0
    for place, frame in enumerate(frames):
        batch.offset[place], batch.caplen[place] = at, len(frame)
        batch.wirelen[place] = wires[place] if wires else len(frame)
        batch.links[place] = link
        batch.vlan[place] = tags[place] if tags else 0
        batch.ts_ns[place] = times[place] if times else place
        at += len(frame) + len(GUARD)
    batch.count = len(frames)
    return batch


def decoded(batch: PacketBatch, *, seed: int = 0, checksums: bool = False) -> list[tuple[int, Row]]:
    """(packet, row) of every row that the kernel makes."""
    with np.errstate(over="ignore"):  # sums and hashes wrap where the compiler is off
        decoder = Decoder(DecodeSettings(), batch.rows, seed, checksums)
        first, found = 0, []
        while first < batch.count:
            first = decoder.decode(batch, first)
            found += [(int(decoder.rows.pkt[i]), row_at(decoder.rows, i)) for i in range(decoder.rows.count)]
    return found


def row_at(rows: DecodedRows, i: int) -> Row:
    """One row of the columns, in the words of the twin."""
    key = int(rows.key[i])
    a, b = (
        int(hi).to_bytes(8, "big") + int(lo).to_bytes(8, "big")
        for hi, lo in ((rows.a_hi[i], rows.a_lo[i]), (rows.b_hi[i], rows.b_lo[i]))
    )
    a_port, b_port = key >> 16 & 0xFFFF, key & 0xFFFF
    swapped = bool(rows.direction[i])
    bad = int(rows.bads[i])
    return Row(
        KINDS[int(rows.kinds[i])], b if swapped else a, a if swapped else b, b_port if swapped else a_port,
        a_port if swapped else b_port, key >> 32 & 0xFF, key >> 56, key >> 40 & 0xFFF, key >> 52 & 0xF,
        {name for name, bit in BITS.items() if bad & bit}, int(rows.l3s[i]), int(rows.l4s[i]), int(rows.pays[i]),
        int(rows.plens[i]), int(rows.iplens[i]), int(rows.seqs[i]), int(rows.acks[i]), int(rows.windows[i]),
        int(rows.flag_bytes[i]), int(rows.ttls[i]), int(rows.vlans_inner[i]), int(rows.icmps[i]),
    )  # fmt: skip
