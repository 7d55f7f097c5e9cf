"""Worker: one thread's whole way from batches to records. It knows neither where packets come from nor who reads on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from nsm.capture.source import Source
from nsm.decode.events import RateLimit, anomaly_rows, arp_rows
from nsm.decode.fragments import Fragments
from nsm.decode.rows import DecodedRows, Decoder
from nsm.errors import CaptureError
from nsm.kernels import seconds as sec
from nsm.kernels.constants import LINK_RAW, TICK_NS
from nsm.kernels.decode import FLOW as FLOW_ROW
from nsm.kernels.decode import OTHER
from nsm.kernels.layers import FRAGMENT
from nsm.kernels.seconds import count_seconds
from nsm.model.address import Networks
from nsm.model.batch import PacketBatch
from nsm.model.discovery import specs
from nsm.model.record import RECORD
from nsm.model.records import TICK, TICK_US, Records
from nsm.model.table import Array, Rows, Table
from nsm.model.traffic import ANOMALY, ARP, SECOND
from nsm.track.settings import WorkerSettings
from nsm.track.streams import Streams
from nsm.track.tracker import Counters, FlowTracker, power_of_two

TAKE_ROWS: Final = 8_192  # rows that wait before a file's worker hands on


class Worker:
    """Decode, flows, and the small tables beside them."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._decoder = Decoder(settings.decode, settings.batch_packets, settings.options.seed, settings.checksums)
        local = Networks(settings.home_net)
        self._streams = (
            Streams(
                settings.stream,
                settings.streams,
                specs("nsm.parse", "nsm.parsers"),
                power_of_two(settings.flow.records_max),
                local,
            )
            if settings.stream.enabled
            else None
        )
        self._tracker = FlowTracker(settings.flow, settings.options, self._streams)
        self._limit = RateLimit()
        self._fragments = Fragments() if settings.stream.enabled else None
        self._whole = PacketBatch(np.zeros(65_536 + 64, np.uint8), 1)
        ranges = [word for item in local.ranges for word in item]
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

    @property
    def given_up(self) -> int:
        """Conversations that were left for want of memory."""
        return self._streams.given_up if self._streams is not None else 0

    @property
    def faults(self) -> int:
        """Conversations that were left for a parser's own mistake."""
        return self._streams.faults if self._streams is not None else 0

    def activity(self) -> Rows:
        """What flows moved since the last call."""
        return self._tracker.activity()

    @property
    def waiting(self) -> int:
        """Rows that wait to be taken, roughly."""
        said = self._streams.waiting if self._streams is not None else 0
        return said + self._tracker.waiting + len(self._anomalies) + len(self._arps)

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
            whole: PacketBatch | None = None
            held: list[int] = []
            if self._fragments is not None and np.bitwise_and(rows.bads[: rows.count], FRAGMENT).any():
                first, whole, held = self._join(batch, first)
            if options.shard == 0:
                self._count(batch, rows)
            rows.kinds[held] = OTHER  # of no flow: the datagram will be
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
            if whole is not None:
                self._decoder.decode(whole, 0)
                self._tracker.feed(whole, rows)
        self.packets += batch.count

    def _join(self, batch: PacketBatch, after: int) -> tuple[int, PacketBatch | None, list[int]]:
        """Take the fragments among the rows; at the first that makes a datagram whole, the rows end.

        Returns the packet to go on with, the datagram, whose place is behind the packet that brought its last byte, and the
        rows that were taken.
        """
        rows, fragments = self._decoder.rows, self._fragments
        held: list[int] = []
        for row in np.flatnonzero(rows.bads[: rows.count] & FRAGMENT).tolist():
            packet = int(rows.pkt[row])
            if rows.kinds[row] != FLOW_ROW or fragments is None:
                continue
            begin = int(batch.offset[packet]) + int(rows.l3s[row])
            end = int(batch.offset[packet]) + int(batch.caplen[packet])
            vlan = int(rows.key[row] >> np.uint64(40)) & 0xFFF
            held.append(row)
            found = fragments.add(bytes(batch.data[begin:end]), vlan, int(batch.ts_ns[packet]))
            if found is not None:
                rows.count = int(np.searchsorted(rows.pkt[: rows.count], packet, side="right"))
                return packet + 1, self._whole_batch(batch, packet, found, vlan), held
        return after, None, held

    def _whole_batch(self, batch: PacketBatch, packet: int, data: bytes, vlan: int) -> PacketBatch:
        """A batch of one packet: a datagram that came in pieces."""
        made = self._whole
        made.data[: len(data)] = np.frombuffer(data, np.uint8)
        made.ts_ns[0], made.caplen[0], made.wirelen[0] = batch.ts_ns[packet], len(data), len(data)
        made.links[0], made.ifaces[0] = LINK_RAW, batch.ifaces[packet]
        made.vlan[0] = vlan | 0x1000 if vlan else 0
        made.count, made.first_number = 1, batch.first_number + packet
        return made

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
        said = self._streams.take(watermark) if self._streams is not None else Rows.empty(RECORD)
        return Records(watermark, flows, targets, arps, anomalies, seconds, said)

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
