"""Merger: the records of several workers as if there had been one.

Rows are handed on up to the lowest watermark, in canonical order; the counters of one target or one second, which
every worker kept for its share, are added.
"""

from __future__ import annotations

import numpy as np

from nsm.model.flow import FLOW
from nsm.model.record import AT_END, RECORD
from nsm.model.records import FIRST_NS, TICK, Records
from nsm.model.table import Array, Rows, Table
from nsm.model.traffic import ANOMALY, ARP, SECOND, TARGET


def _sorted(rows: Rows, *keys: str) -> Rows:
    """Rows ordered by ``keys``, the first the most important."""
    if len(rows) < 2:
        return rows
    return rows.take(np.lexsort([rows[key] for key in reversed(keys)]))


def _summed(rows: Rows, keys: tuple[str, ...], sums: tuple[str, ...]) -> Rows:
    """One row for each distinct ``keys``, with ``sums`` added; other columns from the first of them."""
    rows = _sorted(rows, *keys)
    if len(rows) < 2:
        return rows
    change = np.zeros(len(rows), np.bool_)
    change[0] = True
    for key in keys:
        change[1:] |= rows[key][1:] != rows[key][:-1]
    if change.all():
        return rows
    starts = np.flatnonzero(change)
    merged = rows.take(starts)
    for name in sums:
        merged[name] = np.add.reduceat(rows[name], starts)
    if rows.table is TARGET:
        _lowest_source(rows, starts, merged)
    return merged


def _lowest_source(rows: Rows, starts: Array, merged: Rows) -> None:
    """The lowest source of each group; ``single`` when no row has another."""
    stops = np.append(starts[1:], len(rows))
    hi, lo, single = rows["src_hi"], rows["src_lo"], rows["single"]
    for place, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        if stop - start > 1:
            pairs = sorted(zip(hi[start:stop].tolist(), lo[start:stop].tolist(), strict=True))
            merged["src_hi"][place], merged["src_lo"][place] = pairs[0]
            merged["single"][place] = int(pairs[0] == pairs[-1] and single[start:stop].all())


class Merger:
    """Takes records of workers 0 to n-1, of a live run also of workers that come and go.

    ``ready`` gives what none of them can still add to.
    """

    def __init__(self, workers: int) -> None:
        self._marks = dict.fromkeys(range(workers), -1)
        self._parts: list[Records] = []
        self._given = -1

    def join(self, worker: int) -> None:
        """A worker begins: it will say nothing earlier than what was handed on already."""
        self._marks[worker] = self._given

    def leave(self, worker: int) -> None:
        """A worker has gone: nobody waits for it."""
        self._marks.pop(worker, None)

    def add(self, worker: int, records: Records) -> None:
        """Take what a worker handed on."""
        self._marks[worker] = max(self._marks.get(worker, -1), records.watermark)
        if len(records):
            self._parts.append(records)

    @property
    def watermark(self) -> int:
        """The tick that all workers have passed."""
        return min(self._marks.values(), default=self._given)

    def ready(self) -> Records | None:
        """The merged records up to the watermark, None when it has not moved."""
        mark = self.watermark
        if mark <= self._given:
            return None
        self._given = mark
        parts, self._parts = self._parts, []
        tables = _joined(parts)
        alone = len(parts) <= 1 and len(self._marks) <= 1  # a worker's rows come in order
        if len(self._marks) > 1:
            rest = [rows.take(rows[TICK] > mark) for rows in tables]
            tables = [rows.take(rows[TICK] <= mark) for rows in tables]
            left = Records(mark, *rest)
            if len(left):
                self._parts = [left]
        flows, targets, arps, anomalies, seconds, said = tables
        return Records(
            mark,
            flows if alone else _sorted(flows, TICK, "report", FIRST_NS, "flow_id", "outcome"),
            _summed(
                targets,
                ("ts", "dst_hi", "dst_lo", "port", "proto"),
                ("pkts", "bytes", "syns", "flows", "answered", "completed", "evicted"),
            ),
            _sorted(arps, TICK, "ts", "src_lo", "dst_lo", "opcode"),
            _sorted(anomalies, TICK, "packet", "ts"),
            _summed(
                seconds,
                ("ts", "iface"),
                (
                    "pkts",
                    "bytes",
                    "bytes_in",
                    "bytes_out",
                    "tcp_bytes",
                    "udp_bytes",
                    "icmp_pkts",
                    "other_bytes",
                    "large_pkts",
                    "fragments",
                    "malformed",
                ),
            ),
            said if alone else _sorted(said, TICK, AT_END, "packet", "flow_id", "seq"),
        )


def _joined(parts: list[Records]) -> list[Rows]:
    return [
        _join(FLOW, [part.flows for part in parts]),
        _join(TARGET, [part.targets for part in parts]),
        _join(ARP, [part.arps for part in parts]),
        _join(ANOMALY, [part.anomalies for part in parts]),
        _join(SECOND, [part.seconds for part in parts]),
        _join(RECORD, [part.said for part in parts]),
    ]


def _join(table: Table, parts: list[Rows]) -> Rows:
    rows = Rows.concat(table, parts)
    if not len(rows):
        rows[TICK] = np.zeros(0, np.int64)
    return rows
