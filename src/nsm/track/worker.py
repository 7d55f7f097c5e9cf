"""Worker: one thread's whole way from batches to records. It knows neither where packets come from nor who reads on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from nsm.capture.source import Source
from nsm.decode.events import RateLimit, anomaly_rows, arp_rows
from nsm.decode.rows import DecodedRows, Decoder
from nsm.errors import CaptureError
from nsm.kernels import seconds as sec
from nsm.kernels.constants import TICK_NS
from nsm.kernels.seconds import count_seconds
from nsm.model.address import Networks
from nsm.model.batch import PacketBatch
from nsm.model.records import TICK, TICK_US, Records
from nsm.model.table import Array, Rows, Table
from nsm.model.traffic import ANOMALY, ARP, SECOND
from nsm.track.settings import WorkerSettings
from nsm.track.tracker import Counters, FlowTracker

TAKE_ROWS: Final = 8_192  # rows that wait before a file's worker hands on


class Worker:
    """Decode, flows, and the small tables beside them."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._decoder = Decoder(settings.decode, settings.batch_packets, settings.options.seed, settings.checksums)
        self._tracker = FlowTracker(settings.flow, settings.options)
        self._limit = RateLimit()
        ranges = [word for item in Networks(settings.home_net).ranges for word in item]
        self._ranges = np.array(ranges, np.uint64)
        self._second = np.zeros(sec.WORDS, np.uint64)
        self._second_out = np.zeros((settings.batch_packets * 2 + 16) * sec.WORDS, np.uint64)
        self._second_words: list[Array] = []
        self._anomalies: list[Rows] = []
        self._arps: list[Rows] = []
        self.packets = 0
        self.malformed = 0

    @property
    def counters(self) -> Counters:
        """The flow table's counters."""
        return self._tracker.counters

    def activity(self) -> Rows:
        """What flows moved since the last call."""
        return self._tracker.activity()

    @property
    def waiting(self) -> int:
        """Rows that wait to be taken, roughly."""
        return self._tracker.waiting + len(self._anomalies) + len(self._arps)

    @property
    def tick(self) -> int:
        """The last complete tick."""
        return self._tracker.tick

    def feed(self, batch: PacketBatch) -> None:
        """Take a batch in; the batch may be filled again afterwards."""
        first = 0
        rows = self._decoder.rows
        options = self._settings.options
        while first < batch.count:
            first = self._decoder.decode(batch, first)
            self._tracker.feed(batch, rows)
            found = anomaly_rows(batch, rows, options.shard, options.shards, self._limit)
            if found is not None:
                anomalies, records = found
                anomalies["flow_id"] = self._tracker.flow_ids(records)
                anomalies[TICK] = anomalies["ts"] // TICK_US + 1
                self._anomalies.append(anomalies)
            arps = arp_rows(batch, rows, options.shard, options.shards)
            if arps is not None:
                arps[TICK] = arps["ts"] // TICK_US + 1
                self._arps.append(arps)
            if options.shard == 0:
                self._count(batch, rows)
        self.packets += batch.count

    def _count(self, batch: PacketBatch, rows: DecodedRows) -> None:
        done = count_seconds(
            batch.ts_ns, batch.wirelen, rows.pkt, rows.kinds, rows.key, rows.a_hi, rows.a_lo, rows.b_hi, rows.b_lo,
            rows.direction, rows.bads, rows.count, self._ranges, self._second, self._second_out,
        )  # fmt: skip
        if done:
            self._second_words.append(self._second_out[: done * sec.WORDS].reshape(done, sec.WORDS).copy())

    def pass_time(self, ts_ns: int) -> None:
        """Nothing comes in, and the clock goes on all the same: live capture says so."""
        if self._tracker.tick >= 0 and ts_ns // TICK_NS > self._tracker.tick:
            self._tracker.advance(ts_ns // TICK_NS)
            if self._second[sec.PKTS] and ts_ns // 1_000_000_000 > int(self._second[sec.SECOND]):
                self._second_words.append(self._second.reshape(1, sec.WORDS).copy())
                self._second[1:] = 0

    def finish(self) -> None:
        """End every flow and every open second."""
        self._tracker.finish()
        if self._second[sec.PKTS]:
            self._second_words.append(self._second.reshape(1, sec.WORDS).copy())
            self._second[1:] = 0

    def take(self) -> Records:
        """What is complete and was not taken before."""
        watermark = self._tracker.tick
        flows, targets = self._tracker.take()
        anomalies, self._anomalies = _complete(ANOMALY, self._anomalies, watermark)
        arps, self._arps = _complete(ARP, self._arps, watermark)
        seconds = self._take_seconds()
        return Records(watermark, flows, targets, arps, anomalies, seconds)

    def _take_seconds(self) -> Rows:
        if not self._second_words:
            return Rows.empty(SECOND)
        words = np.concatenate(self._second_words)
        self._second_words = []
        names = (
            "pkts", "bytes", "bytes_in", "bytes_out", "tcp_bytes", "udp_bytes", "icmp_pkts", "other_bytes", "large_pkts",
            "fragments", "malformed",
        )  # fmt: skip
        columns: dict[str, Array] = {name: words[:, 1 + place].copy() for place, name in enumerate(names)}
        second = words[:, sec.SECOND].astype(np.int64)
        columns["ts"] = second * 1_000_000
        columns["iface"] = np.full(len(words), self._settings.iface, np.uint8)
        columns[TICK] = second * 4 + 4
        return Rows(SECOND, columns, len(words))


def _complete(table: Table, parts: list[Rows], watermark: int) -> tuple[Rows, list[Rows]]:
    """Rows of packets before the watermark, in order of time, and the rest."""
    if not parts:
        return Rows.empty(table), []
    rows = Rows.concat(table, parts)
    done = rows[TICK] <= watermark
    rest = [] if done.all() else [rows.take(~done)]
    return rows.take(done), rest


def run_worker(source: Source, settings: WorkerSettings) -> Iterator[Records]:
    """The records of a whole source, as its packets come; CaptureError after what was readable.

    For files: time passes as the packets say.
    """
    worker = Worker(settings)
    fault: CaptureError | None = None
    try:
        for batch in source.batches():
            worker.feed(batch)
            if worker.waiting >= TAKE_ROWS:
                yield worker.take()
    except CaptureError as error:
        fault = error
    finally:
        source.close()
    worker.finish()
    yield worker.take()
    if fault is not None:
        raise fault
