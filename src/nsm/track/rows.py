"""Output words of the flow kernels as columns of the tables FLOW and TARGET."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from nsm.kernels import table as t
from nsm.model.flow import APPS, FLOW, Report
from nsm.model.records import FIRST_NS, TICK, TICK_US
from nsm.model.table import Array, Rows
from nsm.model.traffic import ACTIVITY, TARGET

HISTORY: Final = "history"  # words of kernels/history.py, one bytes object a row; only where they are kept

_APPS = np.array(APPS, object)
Maker = Callable[[Array], Array]


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


def _b_began(words: Array) -> Array:
    """Was it side b that began?"""
    return ((words[:, t.STATE] >> np.uint64(8)) & np.uint64(1)).astype(np.bool_)


def _side(a: int, b: int, *, client: bool) -> Maker:
    """A column of the client's (or the server's) word, which is ``a`` or ``b`` by who began."""
    if client:
        return lambda words: np.where(_b_began(words), words[:, b], words[:, a])
    return lambda words: np.where(_b_began(words), words[:, a], words[:, b])


def _port(*, client: bool) -> Maker:
    def port(words: Array) -> Array:
        low, high = _half(words[:, t.KEY], 0), _half(words[:, t.KEY], 16)
        return np.where(_b_began(words), low, high) if client else np.where(_b_began(words), high, low)

    return port


def _app(words: Array) -> Array:
    """What the client's first payload looks like, or else the server's."""
    bad = words[:, t.REC + t.C_BAD]
    client = _byte(bad, 32)
    return _APPS[np.where(client > 0, client, _byte(bad, 40))]


def _named(names: Array, shift: int) -> Maker:
    """A name by its code in O_NAMES."""
    return lambda words: names[((words[:, t.O_NAMES] >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)]


def _us(word: int) -> Maker:
    return lambda words: words[:, word].astype(np.int64) // 1000


def _word(word: int) -> Maker:
    return lambda words: words[:, word].copy()


def _bits(word: int, shift: int, mask: int, dtype: type) -> Maker:
    return lambda words: ((words[:, word] >> np.uint64(shift)) & np.uint64(mask)).astype(dtype)


def _lasting(words: Array) -> Array:
    """Last packet less first, us."""
    return (_us(t.LAST)(words) - _us(t.FIRST)(words)).astype(np.uint64)


_BITS, _BAD, _ORIGIN = t.REC + t.C_BITS, t.REC + t.C_BAD, t.REC + t.C_ORIGIN
# Column of FLOW -> how it is worked out of an output row (kernels/table.py). "outcome" is what the flow came to so far.
FLOW_COLUMNS: Final[dict[str, Maker]] = {
    "ts": _us(t.LAST),
    "dur_us": _lasting,
    "emit_us": _us(t.O_TIME),
    "report": _bits(t.O_REPORT, 0, 0xFF, np.uint8),
    "outcome": _bits(t.O_REPORT, 8, 0xFF, np.uint8),
    "flow_id": _word(t.O_FLOW_ID),
    "iface": _bits(_ORIGIN, 40, 0xFF, np.uint8),
    "vlan": _bits(t.KEY, 40, 0xFFF, np.uint16),
    "vlan_inner": _bits(_BITS, 0, 0xFFFF, np.uint16),
    "depth": _bits(t.KEY, 52, 0xF, np.uint8),
    "ip_v": _bits(t.KEY, 56, 0xFF, np.uint8),
    "src_hi": _side(t.A_HI, t.B_HI, client=True),
    "src_lo": _side(t.A_LO, t.B_LO, client=True),
    "dst_hi": _side(t.A_HI, t.B_HI, client=False),
    "dst_lo": _side(t.A_LO, t.B_LO, client=False),
    "src_port": _port(client=True),
    "dst_port": _port(client=False),
    "proto": _bits(t.KEY, 32, 0xFF, np.uint8),
    "app": _app,
    "app_s": _bits(_BAD, 32, 0xFF, np.uint8),
    "app_c": _bits(_BAD, 40, 0xFF, np.uint8),
    "pkts_s": _word(t.PKTS),
    "pkts_c": _word(t.PKTS_C),
    "bytes_s": _word(t.BYTES),
    "bytes_c": _word(t.BYTES_C),
    "payload_s": _bits(t.PAYLOAD, 0, 0xFFFFFFFF, np.uint32),
    "payload_c": _bits(t.PAYLOAD, 32, 0xFFFFFFFF, np.uint32),
    "tcp_s": _bits(t.STATE, 16, 0xFF, np.uint8),
    "tcp_c": _bits(t.STATE, 24, 0xFF, np.uint8),
    "tcp_first": _bits(_ORIGIN, 48, 0xFF, np.uint8),
    "tcp_state": _bits(t.STATE, 9, 0x7F, np.uint8),
    "state": _bits(t.O_REPORT, 16, 0xFF, np.uint8),
    "reason": _bits(t.O_REPORT, 24, 0xFF, np.uint8),
    "syn_ack_us": _bits(t.RTT, 0, 0xFFFFFFFF, np.uint32),
    "ack_us": _bits(t.RTT, 32, 0xFFFFFFFF, np.uint32),
    "retrans": _bits(_BITS, 32, 0xFFFF, np.uint16),
    "ttl_min_s": _bits(t.STATE, 32, 0xFF, np.uint8),
    "ttl_max_s": _bits(t.STATE, 40, 0xFF, np.uint8),
    "ttl_min_c": _bits(t.STATE, 48, 0xFF, np.uint8),
    "ttl_max_c": _bits(t.STATE, 56, 0xFF, np.uint8),
    "icmp_reply": _bits(_BITS, 16, 0xFFFF, np.uint16),
    "marks": _bits(_BITS, 48, 0xFF, np.uint8),
    "src_mac": _word(t.REC + t.C_SRC_MAC),
    "dst_mac": _word(t.REC + t.C_DST_MAC),
    TICK: lambda words: words[:, t.O_TICK].astype(np.int64),
    FIRST_NS: lambda words: words[:, t.FIRST].astype(np.int64),
}
HISTORY_COLUMNS: Final[dict[str, Maker]] = {**FLOW_COLUMNS, HISTORY: lambda words: _records(words[:, t.OUT :])}


def flow_rows(words: Array, history: bool = False, names: Array | None = None) -> Rows:
    """FLOW rows of ``words`` u64[n, OUT] (wider with history), in that order, with the extra columns tick and first_ns.

    ``names``: what the codes in O_NAMES stand for; None when nobody reads what is said in flows.
    """
    makers = HISTORY_COLUMNS if history else FLOW_COLUMNS
    if names is not None:
        makers = {
            **makers,
            "app": _named(names, 0),
            "label": _named(names, 16),
            "service": _named(names, 32),
            "app_orig": _named(names, 48),
        }
    return Rows.of_words(FLOW, words, makers)


def target_rows(words: Array) -> Rows:
    """TARGET rows of ``words`` u64[n, TARGET + 1] in canonical order, with the extra column tick.

    Rows of one target and tick from several workers have to be added: see ``nsm.track.merge``.
    """
    tick = words[:, t.TARGET].astype(np.int64)
    key = words[:, t.T_KEY]
    columns = {
        "ts": (tick - 1) * TICK_US,
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
