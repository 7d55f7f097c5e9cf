"""Output words of the flow kernels as columns of the tables FLOW and TARGET."""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels import table as t
from nsm.model.flow import APPS, FLOW, Report
from nsm.model.table import Array, Rows
from nsm.model.traffic import ACTIVITY, TARGET

# Columns that order rows and are no part of the tables.
TICK: Final = "tick"
FIRST_NS: Final = "first_ns"
HISTORY: Final = "history"  # words of kernels/history.py, one bytes object a row; only where they are kept

_APPS = np.array(APPS, object)
_U32 = np.uint64(0xFFFFFFFF)


def _byte(words: Array, shift: int, dtype: type = np.uint8) -> Array:
    return ((words >> np.uint64(shift)) & np.uint64(0xFF)).astype(dtype)


def _half(words: Array, shift: int) -> Array:
    return ((words >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.uint16)


def _records(words: Array) -> Array:
    """Each row of u64[n, k] as one bytes object."""
    made = np.empty(len(words), object)
    made[:] = [row.tobytes() for row in np.ascontiguousarray(words)]
    return made


def sort_order(words: Array) -> Array:
    """The canonical order of output rows: tick, kind of report, first packet, flow."""
    report = words[:, t.O_REPORT] & np.uint64(0xFF)
    return np.lexsort((words[:, t.O_REPORT], words[:, t.O_FLOW_ID], words[:, t.FIRST], report, words[:, t.O_TICK]))


def flow_rows(words: Array, history: bool = False) -> Rows:
    """FLOW rows of ``words`` u64[n, OUT] (or wider, with history), in that order, with the extra columns tick and first_ns."""
    state, origin, bits, key = words[:, t.STATE], words[:, t.REC], words[:, t.REC + t.C_BITS], words[:, t.KEY]
    report = words[:, t.O_REPORT]
    b_began = ((state >> np.uint64(8)) & np.uint64(1)).astype(np.bool_)
    low, high = _half(key, 0), _half(key, 16)
    payload, rtt = words[:, t.PAYLOAD], words[:, t.RTT]
    first, last = words[:, t.FIRST].astype(np.int64) // 1000, words[:, t.LAST].astype(np.int64) // 1000
    kind = _byte(report, 0)
    bad = words[:, t.REC + t.C_BAD]
    app_s, app_c = _byte(bad, 32), _byte(bad, 40)
    # "outcome" of a progress or ended row is what the flow came to; reason is of ended rows alone.
    columns = {
        "ts": last,
        "dur_us": (last - first).astype(np.uint64),
        "emit_us": words[:, t.O_TIME].astype(np.int64) // 1000,
        "report": kind,
        "outcome": _byte(report, 8),
        "flow_id": words[:, t.O_FLOW_ID],
        "iface": _byte(origin, 40),
        "vlan": ((key >> np.uint64(40)) & np.uint64(0xFFF)).astype(np.uint16),
        "vlan_inner": _half(bits, 0),
        "depth": ((key >> np.uint64(52)) & np.uint64(0xF)).astype(np.uint8),
        "ip_v": _byte(key, 56),
        "src_hi": np.where(b_began, words[:, t.B_HI], words[:, t.A_HI]),
        "src_lo": np.where(b_began, words[:, t.B_LO], words[:, t.A_LO]),
        "dst_hi": np.where(b_began, words[:, t.A_HI], words[:, t.B_HI]),
        "dst_lo": np.where(b_began, words[:, t.A_LO], words[:, t.B_LO]),
        "src_port": np.where(b_began, low, high),
        "dst_port": np.where(b_began, high, low),
        "proto": _byte(key, 32),
        "app": _APPS[np.where(app_s > 0, app_s, app_c)],
        "app_s": app_s,
        "app_c": app_c,
        "pkts_s": words[:, t.PKTS].copy(),
        "pkts_c": words[:, t.PKTS_C].copy(),
        "bytes_s": words[:, t.BYTES].copy(),
        "bytes_c": words[:, t.BYTES_C].copy(),
        "payload_s": (payload & _U32).astype(np.uint32),
        "payload_c": (payload >> np.uint64(32)).astype(np.uint32),
        "tcp_s": _byte(state, 16),
        "tcp_c": _byte(state, 24),
        "tcp_first": _byte(origin, 48),
        "tcp_state": ((state >> np.uint64(9)) & np.uint64(0x7F)).astype(np.uint8),
        "state": _byte(report, 16),
        "reason": _byte(report, 24),
        "syn_ack_us": (rtt & _U32).astype(np.uint32),
        "ack_us": (rtt >> np.uint64(32)).astype(np.uint32),
        "retrans": _half(bits, 32),
        "ttl_min_s": _byte(state, 32),
        "ttl_max_s": _byte(state, 40),
        "ttl_min_c": _byte(state, 48),
        "ttl_max_c": _byte(state, 56),
        "icmp_reply": _half(bits, 16),
        "marks": _byte(bits, 48),
        "src_mac": words[:, t.REC + t.C_SRC_MAC].copy(),
        "dst_mac": words[:, t.REC + t.C_DST_MAC].copy(),
        TICK: words[:, t.O_TICK].astype(np.int64),
        FIRST_NS: words[:, t.FIRST].astype(np.int64),
    }
    if history:
        columns[HISTORY] = _records(words[:, t.OUT :])
    return Rows(FLOW, columns, len(words))


def target_rows(words: Array) -> Rows:
    """TARGET rows of ``words`` u64[n, TARGET + 1] in canonical order, with the extra column tick.

    Rows of one target and tick from several workers have to be added: see ``nsm.track.merge``.
    """
    tick = words[:, t.TARGET].astype(np.int64)
    key = words[:, t.T_KEY]
    columns = {
        "ts": (tick - 1) * (t.TICK_NS // 1000),
        "dst_hi": words[:, t.T_HI].copy(),
        "dst_lo": words[:, t.T_LO].copy(),
        "port": _half(key, 0),
        "proto": _byte(key, 16),
        "pkts": words[:, t.T_PKTS].copy(),
        "bytes": words[:, t.T_BYTES].copy(),
        "syns": words[:, t.T_SYNS].copy(),
        "flows": words[:, t.T_FLOWS].copy(),
        "answered": words[:, t.T_ANSWERED].copy(),
        "completed": words[:, t.T_COMPLETED].copy(),
        "evicted": words[:, t.T_EVICTED].copy(),
        "src_hi": words[:, t.T_SRC_HI].copy(),
        "src_lo": words[:, t.T_SRC_LO].copy(),
        "single": (words[:, t.T_MANY] == 0).astype(np.uint8),
        TICK: tick,
    }
    rows = Rows(TARGET, columns, len(words))
    return rows.take(np.lexsort((rows["proto"], rows["port"], rows["dst_lo"], rows["dst_hi"], rows["ts"])))


def activity_rows(words: Array) -> Rows:
    """ACTIVITY rows of words u64[n, 7] (kernels/ticks.py)."""
    columns = {
        "src_hi": words[:, 0].copy(), "src_lo": words[:, 1].copy(), "dst_hi": words[:, 2].copy(),
        "dst_lo": words[:, 3].copy(), "dst_port": _half(words[:, 4], 0), "proto": _byte(words[:, 4], 16),
        "app": _byte(words[:, 4], 24), "bytes_s": words[:, 5].copy(), "bytes_c": words[:, 6].copy(),
    }  # fmt: skip
    return Rows(ACTIVITY, columns, len(words))


def ended(rows: Rows) -> Rows:
    """The rows that end a flow."""
    return rows.take(rows["report"] == Report.ENDED)
