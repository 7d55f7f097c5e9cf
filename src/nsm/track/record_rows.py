"""What conversations said, as rows of RECORD in canonical order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from nsm.model.record import AT_END, RECORD
from nsm.model.records import TICK
from nsm.model.table import Array, Rows


def canonical(item: tuple[Any, ...]) -> tuple[int, int, int, int]:
    """Tick, packet (those at a flow's end last), flow, number in the flow."""
    return item[0], item[2] or 1 << 62, item[4][12], item[3]


_ENDS: Final = (
    ("src_hi", "uint64"), ("src_lo", "uint64"), ("dst_hi", "uint64"), ("dst_lo", "uint64"), ("src_port", "uint16"),
    ("dst_port", "uint16"), ("proto", "uint8"), ("vlan", "uint16"), ("vlan_inner", "uint16"), ("depth", "uint8"),
    ("ip_v", "uint8"), ("iface", "uint8"), ("flow_id", "uint64"),
)  # fmt: skip


def record_rows(said: Iterable[tuple[Any, ...]]) -> Rows:
    """Rows of what conversations said: (tick, ts, packet, seq, ends, kind, app, tx_id, body) each."""
    ticks, times, packets, seqs, ends, kinds, apps, txs, bodies = zip(*said, strict=True)
    columns: dict[str, Array] = {
        name: np.array(values, dtype) for (name, dtype), values in zip(_ENDS, zip(*ends, strict=True), strict=True)
    }
    columns |= {
        TICK: np.array(ticks, np.int64), "ts": np.array(times, np.int64), "packet": np.array(packets, np.uint64),
        "seq": np.array(seqs, np.uint32), "event_type": np.array(kinds, object), "app": np.array(apps, object),
        "tx_id": np.array(txs, np.int32), "body": np.array(bodies, object),
    }  # fmt: skip
    columns[AT_END] = columns["packet"] == 0
    return Rows(RECORD, columns, len(ticks))
