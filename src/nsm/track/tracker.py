"""FlowTracker: the flow table with its memory, and what comes out of it tick by tick."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from nsm.decode.rows import DecodedRows
from nsm.kernels import table as t
from nsm.kernels.constants import PARTS, TICK_NS
from nsm.kernels.flows import track
from nsm.kernels.history import HIST
from nsm.kernels.ticks import TICKS_AHEAD_MAX, activity, advance, finish, identify
from nsm.model.batch import PacketBatch
from nsm.model.flow import FLOW, Report
from nsm.model.table import Array, Rows
from nsm.model.traffic import TARGET
from nsm.track.rows import activity_rows, flow_rows, sort_order, target_rows
from nsm.track.settings import SERVER_PORTS_TCP, SERVER_PORTS_UDP, FlowSettings, TrackOptions
from nsm.track.streams import Streams

ACTIVITY_ROWS: Final = 8_192  # flows told of in one second of a live run
ENDED_ROWS: Final = 16_384  # flows that ended since the last call, and of which not all was told
OUT_ROWS: Final = 16_384  # rows that the kernels write before Python takes them away


class Counters(msgspec.Struct, frozen=True):
    """What the bounds of the table did so far."""

    flows: int
    live: int
    evicted: int
    counted: int
    untracked: int
    targets_refused: int
    backwards: int
    turned: int
    unreachable: int
    untold: int


def power_of_two(number: int) -> int:
    """The next power of two, 64 at least."""
    return 1 << max(6, (number - 1).bit_length())


def _aligned(words: int) -> Array:
    """Zeroed u64[words] that begins on a cache line."""
    raw = np.zeros(words + 8, np.uint64)
    skip = (-raw.ctypes.data // 8) % 8
    return raw[skip : skip + words]


class FlowTracker:
    """All memory is taken here, at the start; nothing grows while packets come in."""

    def __init__(self, settings: FlowSettings, options: TrackOptions, streams: Streams | None = None) -> None:
        self._streams = streams
        records = power_of_two(settings.records_max)
        targets = power_of_two(settings.targets_max)
        self._seed = options.seed
        self._st = np.zeros(t.ST_WORDS, np.int64)
        self._st[t.ST_TICK] = -1
        self._st[t.ST_FREE] = records
        self._slots = np.zeros(2 * records, np.uint64)
        self._rec = _aligned(records * t.REC)
        self._cold = _aligned(records * t.COLD)
        self._hist = _aligned(records * HIST if options.history else 0)
        self._link, self._back = np.zeros(records, np.uint32), np.zeros(records, np.uint32)
        self._bucket, self._wheel_slot = np.zeros(t.BUCKETS, np.uint32), np.zeros(records, np.uint16)
        self._ring = np.zeros(2 * records, np.uint64)
        self._free = np.arange(records, dtype=np.uint32)[::-1].copy()
        self._targets = np.zeros(targets * t.TARGET, np.uint64)
        self._tslots = np.zeros(2 * targets, np.uint32)
        self._ports = np.zeros(65_536, np.uint8)
        self._ports[list(SERVER_PORTS_TCP)] |= 1
        self._ports[list(SERVER_PORTS_UDP)] |= 2
        self._cfg = _configuration(settings, options)
        self._out = np.zeros(OUT_ROWS * (t.OUT + HIST), np.uint64)
        self._width = t.OUT + (HIST if options.history else 0)
        self._tout = np.zeros(targets * (t.TARGET + 1), np.uint64)
        self._activity: Array | None = None
        self._ended: list[Array] = []  # REC and COLD words of flows that were over before all their bytes were told
        self._untold = 0
        self._flow_words: list[Array] = []
        self._target_words: list[Array] = []

    @property
    def tick(self) -> int:
        """The last tick that is complete; -1 before the first packet."""
        return int(self._st[t.ST_TICK])

    @property
    def counters(self) -> Counters:
        """What the table holds and what its bounds did."""
        st = self._st
        return Counters(
            flows=int(st[t.ST_NUMBER]), live=int(st[t.ST_LIVE]), evicted=int(st[t.ST_EVICTED]),
            counted=int(st[t.ST_COUNTED]),
            untracked=int(st[t.ST_UNTRACKED]), targets_refused=int(st[t.ST_REFUSED_TARGETS]),
            backwards=int(st[t.ST_BACKWARDS]), turned=int(st[t.ST_TURNED]), unreachable=int(st[t.ST_NOTICES]),
            untold=self._untold,
        )  # fmt: skip

    def feed(self, batch: PacketBatch, rows: DecodedRows) -> None:
        """Take the rows of a batch in; ``rows.flow`` tells the record of each afterwards.

        Streams see the rows of a tick before time passes on, so that what is known of a flow at a tick is of all packets before it.
        """
        if rows.count and self._st[t.ST_TICK] < 0:
            self._st[t.ST_TICK] = int(batch.ts_ns[rows.pkt[0]]) // TICK_NS
        first = 0
        while first < rows.count:
            begun = first
            first = track(
                batch.data, batch.ts_ns, batch.offset, batch.caplen, batch.wirelen, batch.links, batch.ifaces,
                batch.first_number,
                rows.pkt, rows.kinds, rows.key, rows.hashes, rows.a_hi, rows.a_lo, rows.b_hi, rows.b_lo, rows.direction,
                rows.bads, rows.pays, rows.plens, rows.iplens, rows.seqs, rows.acks, rows.windows, rows.flag_bytes,
                rows.ttls, rows.vlans_inner, rows.icmps,
                first, rows.count, rows.flow, rows.numbers, rows.sides,
                self._slots, self._rec, self._cold, self._hist, self._link, self._back, self._bucket, self._wheel_slot, self._ring,
                self._free, self._targets, self._tslots, self._ports, self._cfg, self._st, self._out, self._seed,
            )  # fmt: skip
            if self._streams is not None and first > begun:
                self._streams.feed(batch, rows, self._rec, begun, first, self.tick)
            if first < rows.count:
                if self._st[t.ST_WHY] == t.WHY_REUSE:
                    continue
                if self._st[t.ST_WHY] == t.WHY_TICK:
                    self.advance(int(batch.ts_ns[rows.pkt[first]]) // TICK_NS)
                else:
                    self._collect()

    def advance(self, tick: int) -> None:
        """Let packet time pass up to that tick."""
        # A long silence is skipped, but not before what the last packets left was settled and reported at its own time.
        if tick - self.tick > 2 * TICKS_AHEAD_MAX:
            self._advance(self.tick + TICKS_AHEAD_MAX)
        self._advance(tick)

    def _advance(self, tick: int) -> None:
        while not advance(
            tick, self._slots, self._rec, self._cold, self._hist, self._link, self._back, self._bucket, self._wheel_slot,
            self._ring, self._free, self._targets, self._tslots, self._cfg, self._st, self._out, self._tout, self._seed,
        ):  # fmt: skip
            self._collect()
        if self._streams is not None:
            self._collect()

    def finish(self) -> None:
        """End all flows; the tracker takes no packet afterwards."""
        self._st[t.ST_CURSOR] = 0
        while not finish(
            self._rec,
            self._cold,
            self._hist,
            self._link,
            self._targets,
            self._tslots,
            self._cfg,
            self._st,
            self._out,
            self._tout,
        ):
            self._collect()
        self._collect()
        self._st[t.ST_TICK] += 2_000_000_000  # everything is complete now

    def _collect(self) -> None:
        """Copy what the kernels wrote."""
        if rows := int(self._st[t.ST_OUT]):
            words = self._out[: rows * self._width].reshape(rows, self._width).copy()
            if self._streams is not None:
                self._streams.ended(words)
            self._flow_words.append(words)
            self._st[t.ST_OUT] = 0
            if self._activity is not None:
                self._keep_ended(words)
        if rows := int(self._st[t.ST_TOUT]):
            width = t.TARGET + 1
            self._target_words.append(self._tout[: rows * width].reshape(rows, width).copy())
            self._st[t.ST_TOUT] = 0

    @property
    def waiting(self) -> int:
        """Output rows that ``take`` would look at."""
        return int(self._st[t.ST_OUT]) + sum(map(len, self._flow_words))

    def take(self) -> tuple[Rows, Rows]:
        """(FLOW rows, TARGET rows) of all complete ticks that were not taken before, in canonical order."""
        if self._streams is None:
            self._collect()
        names = self._streams.names if self._streams is not None else None
        flows, self._flow_words = _complete(self._flow_words, t.O_TICK, self.tick)
        targets, self._target_words = _complete(self._target_words, t.TARGET, self.tick)
        return (
            flow_rows(flows[sort_order(flows)], len(self._hist) > 0, names) if flows is not None else Rows.empty(FLOW),
            target_rows(targets) if targets is not None else Rows.empty(TARGET),
        )

    def activity(self) -> Rows:
        """ACTIVITY rows: what flows moved since the last call, at most 8,192 of them.

        Flows that ended come first, if this was called before they did. Packets that only count for a target are not told.
        """
        if self._activity is None:
            self._activity = np.zeros(ACTIVITY_ROWS * 7, np.uint64)
        self._collect()
        rows = self._tell_ended(self._activity)
        rows += int(activity(self._rec, self._cold, self._st, self._activity[rows * 7 :]))
        return activity_rows(self._activity[: rows * 7].reshape(rows, 7))

    def _keep_ended(self, words: Array) -> None:
        """Keep what ``activity`` did not tell of the flows that these output rows end: their records are gone."""
        over = words[(words[:, t.O_REPORT] & t.LOW8) == Report.ENDED, : t.REC + t.COLD]
        over = over[_untold(over)]
        room = ENDED_ROWS - sum(map(len, self._ended))
        self._untold += max(0, len(over) - room)
        if room > 0 and len(over):
            self._ended.append(over[:room])

    def _tell_ended(self, out: Array) -> int:
        """Write rows of flows that ended; what finds no room waits for the next call."""
        if not self._ended:
            return 0
        words = np.concatenate(self._ended)
        rec, cold = words[:, : t.REC].ravel(), words[:, t.REC :].ravel()
        st = np.zeros(t.ST_WORDS, np.int64)
        st[t.ST_LIVE] = len(words)
        rows = int(activity(rec, cold, st, out))
        # Each has something to tell, and they are told in order.
        self._ended = [words[rows:]] if rows < len(words) else []
        return rows

    def flow_ids(self, records: Array) -> Array:
        """u64: the flow_id of each record; 0 for 0xFFFFFFFF."""
        ids = np.zeros(len(records), np.uint64)
        identify(self._rec, records, ids)
        return ids


def _untold(words: Array) -> Array:
    """bool[n]: did a flow (REC and COLD words) move more than ``activity`` has told?"""
    seen = t.REC + t.C_SEEN_S
    return (words[:, t.BYTES] != words[:, seen]) | (words[:, t.BYTES_C] != words[:, seen + 1])  # type: ignore[no-any-return]


def _complete(parts: list[Array], column: int, tick: int) -> tuple[Array | None, list[Array]]:
    """The rows up to ``tick``, and the rest."""
    if not parts:
        return None, []
    words = parts[0] if len(parts) == 1 else np.concatenate(parts)
    done = words[:, column] <= np.uint64(tick)
    if done.all():
        return words, []
    rest = [words[~done]]
    return (words[done] if done.any() else None), rest


def _configuration(settings: FlowSettings, options: TrackOptions) -> Array:
    seconds = [
        settings.tcp_new_s, settings.tcp_established_s, settings.tcp_closed_s,
        settings.udp_new_s, settings.udp_established_s, settings.udp_established_s,
        settings.icmp_new_s, settings.icmp_established_s, settings.icmp_established_s,
        settings.other_new_s, settings.other_established_s, settings.other_established_s, settings.long_s,
    ]  # fmt: skip
    return np.array(
        [int(value * 1e9) for value in seconds]
        # Progress is looked for at ticks; less than one would never come to an end.
        + [settings.unanswered_ms * 1_000_000, max(int(settings.progress_s * 1e9), TICK_NS)]
        + [
            options.shard,
            options.shards,
            int(options.midstream),
            options.turn,
            max(1, settings.flood_flows // (4 * PARTS)),
            int(options.history),
        ],
        np.int64,
    )
