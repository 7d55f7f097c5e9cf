"""Streams: from a batch's ranges to parsers, and what parsers say as rows of RECORD.

One for each worker. Ranges come from ``nsm.kernels.streams`` in the order of packets and are handed to the flow's conversation one
by one, so that what is said does not depend on batches. Everything is bounded: conversations by ``memory_mb``, the oldest of
which are given up (what they know is said), unread bytes by each protocol, waiting segments by reassembly.

Long because it is the one listener of all conversations: each thing that they can say has its method here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from nsm.decode.rows import DecodedRows
from nsm.kernels import streams as k
from nsm.kernels import table as t
from nsm.kernels.constants import LINK_ETHERNET
from nsm.model.address import Networks
from nsm.model.batch import PacketBatch
from nsm.model.flow import Report
from nsm.model.protocol import FileSink, ProtocolSpec, Row, Side, log_of
from nsm.model.record import NO_TX, RECORD, ZEEK
from nsm.model.table import Array, Rows
from nsm.track.conversation import Ends, Talk, turned
from nsm.track.file_ranges import Ranges
from nsm.track.file_sink import File, FileInfo, FilesRow
from nsm.track.reassembly import Reassembly, near
from nsm.track.recognition import Recogniser
from nsm.track.record_rows import canonical, record_rows
from nsm.track.stream_settings import StreamOptions, StreamSettings
from nsm.wire.applications import Applications
from nsm.wire.zeek_line import line_of, uid

log = logging.getLogger(__name__)

DELIVERED: Final = frozenset((k.DATA, k.DATAGRAM))
SIDES: Final = (Side.CLIENT, Side.SERVER)
RANGES: Final = 3 * 8_192
TALK_BYTES: Final = (
    8_192  # of memory that a conversation with its parser takes at most, measured with HTTP; unread bytes come on top
)
EXPECTATIONS_MAX: Final = 4_096  # flows announced and not seen yet; the oldest is forgotten
# Events whose source is who sent the packet that let them be said: where bytes wait for their acknowledgement, the receiver.
OF_PACKET: Final = frozenset(("anomaly", "krb5", "nfs", "rdp", "rfb", "sip", "websocket"))
WINDOW_MAX: Final = 65_536  # ours: how far from what comes next a reset is believed
NAMES_MAX: Final = 65_535  # of protocols, applications and services together; a number of them stands in a flow's row


class Streams:
    """The conversations of one worker; ``nsm.track.conversation.Listener`` to them."""

    def __init__(
        self,
        settings: StreamSettings,
        options: StreamOptions,
        found: Mapping[str, ProtocolSpec],
        records: int,
        local: Networks,
    ) -> None:
        self.rows = options.rows
        self._options, self._local = options, local
        known = [
            msgspec.structs.replace(spec, parser=None) if spec.name in options.named else spec
            for spec in found.values()
            if spec.name not in options.off and (options.only is None or spec.name in options.only)
        ]
        self._specs = {spec.name: spec for spec in known}
        self._recognisers = {
            name: Recogniser([spec for spec in known if f"{spec.name}/{name}" not in options.off], name)
            for name in ("tcp", "udp")
        }
        self.compares = options.failed
        self._state = np.zeros(records * k.STREAM, np.uint64)
        self._out = np.zeros(RANGES * k.RANGE, np.int64)
        self._done = np.zeros(1, np.int64)
        self._ranges = Ranges()
        self._wishing: list[Talk] = []
        self._talks: dict[int, Talk] = {}
        self._slow: dict[tuple[int, int], Reassembly] = {}
        self._applications = Applications.shipped()
        self._codes: dict[int, int] = {}
        self._names: dict[str, int] = {"": 0}
        self._said: list[tuple[Any, ...]] = []
        self._expected: dict[tuple[str, int], tuple[str, Any]] = {}
        self._memory_max = settings.memory_mb << 20
        self._buffered = 0
        self._codes_max = 2 * records
        self._tick = 0
        self.given_up = 0
        self.faults = 0

    # From batches to conversations

    def feed(self, batch: PacketBatch, rows: DecodedRows, rec: Array, first: int, last: int, tick: int) -> None:
        """Hand on rows first..last-1, which belong to the tick behind ``tick``; ``rec`` are the records as they are then."""
        self._tick = tick + 1
        if self._options.acked:
            for row in (np.flatnonzero(rows.flag_bytes[first:last] & k.RST) + first).tolist():
                self._feed(batch, rows, rec, first, row + 1)
                self._reset(batch, rows, row)
                first = row + 1
        self._feed(batch, rows, rec, first, last)

    def _feed(self, batch: PacketBatch, rows: DecodedRows, rec: Array, first: int, last: int) -> None:
        while first < last:
            made = k.ranges(
                batch.offset, batch.caplen, rows.pkt, rows.key, rows.pays, rows.plens, rows.seqs, rows.acks, rows.flag_bytes,
                rows.flow, rows.numbers, rows.sides, first, last, int(self._options.midstream),
                int(self._options.acked), rec, self._state, self._out,
                self._done,
            )  # fmt: skip
            first = int(self._done[0])
            if made:
                self._hand_over(batch, rows, rec, self._out[: made * k.RANGE].reshape(made, k.RANGE))

    def _hand_over(self, batch: PacketBatch, rows: DecodedRows, rec: Array, words: Array) -> None:
        packets = rows.pkt[words[:, k.R_ROW]]
        times = (batch.ts_ns[packets] // 1000).tolist()
        numbers = (packets.astype(np.int64) + batch.first_number).tolist()
        data = batch.data.data
        talks, codes = self._talks, self._codes
        for (row, record, kind, start, length, seq, ack, number), ts_us, packet in zip(
            words.tolist(), times, numbers, strict=True
        ):
            talk = talks.get(number)
            if talk is None:
                if number in codes:
                    continue  # given up or done within these ranges
                talk = self._begin(batch, rows, rec, row, record, number)
                if talk is None:
                    continue
            talk.ts_us, talk.packet = ts_us, packet
            side, what = SIDES[kind & 1], kind >> 1
            try:
                if what in DELIVERED:
                    talk.data(side, bytes(data[start : start + length]))
                elif what == k.GAP:
                    talk.lost(side, length)
                else:
                    self._slowly(talk, side, what, bytes(data[start : start + length]), seq, ack)
            except Exception:  # noqa: BLE001 - a parser's own mistake must not end the capture: the flow is left, the fault counted
                self._fault(talk)
            if talk.over:
                self._leave(talk)
        wishing, self._wishing = self._wishing, []
        for talk in wishing:
            self._settle(talk)
        self._bound()

    def _begin(
        self, batch: PacketBatch, rows: DecodedRows, rec: Array, row: int, record: int, number: int
    ) -> Talk | None:
        base = record * t.REC
        words = rec[base : base + t.REC].tolist()
        if words[t.NUMBER] != number:  # the table was full, and the record is another flow's by now
            return None
        key = words[t.KEY]
        flip = words[t.STATE] >> 8 & 1
        flow_id = int(self._state[record * k.STREAM + k.S_FLOW_ID])
        ends: Ends = (
            words[0], words[1], words[2], words[3], key >> 16 & 0xFFFF, key & 0xFFFF, key >> 32 & 0xFF, key >> 40 & 0xFFF,
            int(rows.vlans_inner[row]), key >> 52 & 0xF, key >> 56, int(batch.ifaces[rows.pkt[row]]), flow_id,
        )  # fmt: skip
        if flip:
            ends = turned(ends)
        talk = Talk(self, ends, number, record)
        if self._options.ethernet:
            talk.macs = _macs(batch, rows, row)
        self._talks[number] = talk
        if self._expected:
            self._announced(talk)
        return talk

    def _announced(self, talk: Talk) -> None:
        for place in ((talk.server, talk.server_port), (talk.client, talk.client_port)):
            note = self._expected.pop(place, None)
            spec = self._specs.get(note[0]) if note is not None else None
            if note is not None and spec is not None:
                talk.expected = note[1]
                talk.begin(spec)
                return

    def _slowly(self, talk: Talk, side: Side, what: int, data: bytes, seq: int, ack: int) -> None:
        """A segment out of order, or an acknowledgement in such a direction."""
        key = (talk.number, int(side))
        modes = int(self._state[talk.record_place * k.STREAM + k.S_MODES])
        if what == k.ACKED and not modes >> (k.BEGUN_SHIFT + side) & 1:
            return  # of bytes before the capture began
        order = self._slow.get(key)
        if order is None:
            order = self._slow[key] = Reassembly(
                int(self._state[talk.record_place * k.STREAM + k.S_NEXT + side]), acked=self._options.acked
            )
        if self._options.acked:
            talk.sent_by = 1 - side if what == k.ACKED else int(side)
        before = order.held_bytes
        pieces = order.acknowledged(ack) if what == k.ACKED else order.segment(seq, data, ack)
        self._hear(talk, side, pieces)
        self._buffered += order.held_bytes - before
        if what == k.ACKED and order.over and self._options.acked:
            other = self._slow.get((talk.number, 1 - side))
            talk.over = talk.over or (other is not None and other.over)  # both have heard all of each other
        self._wishing.append(talk)

    def _reset(self, batch: PacketBatch, rows: DecodedRows, row: int) -> None:
        """A reset ends a flow: of what the other side sent, only what it acknowledges was received (RFC 9293, section 3.10.7)."""
        number, side = int(rows.numbers[row]), int(rows.sides[row])
        talk = self._talks.get(number)
        if talk is None or side == k.SIDE_NONE or talk.transport != "tcp":
            return
        side &= 1
        ours, theirs = self._slow.get((number, side)), self._slow.get((number, 1 - side))
        if ours is not None and abs(near(int(rows.seqs[row]) - ours.expected)) > WINDOW_MAX:
            return
        self._buffered -= sum(order.held_bytes for order in (ours, theirs) if order is not None)
        packet = int(rows.pkt[row])
        talk.ts_us, talk.packet, talk.sent_by = int(batch.ts_ns[packet]) // 1000, packet + batch.first_number, side
        try:
            if theirs is not None:
                told = int(rows.flag_bytes[row]) & k.ACK
                self._hear(talk, SIDES[1 - side], theirs.acknowledged(int(rows.acks[row])) if told else theirs.flush())
            if ours is not None:
                self._hear(talk, SIDES[side], ours.flush())
        except Exception:  # noqa: BLE001 - see above
            self._fault(talk)
        self._buffered += sum(order.held_bytes for order in (ours, theirs) if order is not None)
        self._drop_slow(number, 0)
        self._drop_slow(number, 1)
        talk.over = True
        self._leave(talk)

    @staticmethod
    def _hear(talk: Talk, side: Side, pieces: Iterable[bytes | int]) -> None:
        for piece in pieces:
            if isinstance(piece, int):
                talk.lost(side, piece)
            else:
                talk.data(side, piece)

    def _settle(self, talk: Talk) -> None:
        """Tell the kernel what a conversation wishes, and that a direction is in order again."""
        talk.heard_out()
        base = talk.record_place * k.STREAM
        if int(self._state[base + k.S_NUMBER]) != talk.number:
            return
        for side in (0, 1):
            skip, ignored = talk.wishes(side)
            shift = 8 * side
            modes = int(self._state[base + k.S_MODES])
            if ignored or talk.over:
                self._state[base + k.S_MODES] = modes & ~(0xFF << shift) | k.IGNORE << shift
                self._drop_slow(talk.number, side)
                continue
            order = self._slow.get((talk.number, side))
            if order is not None and order.whole and not self._options.acked:
                del self._slow[talk.number, side]
                self._state[base + k.S_MODES] = modes & ~(0xFF << shift)
                self._state[base + k.S_NEXT + side] = order.expected
                order = None
            if skip and order is None:
                self._state[base + k.S_SKIP + side] += np.uint64(skip)
            elif skip:
                talk.keep(side, skip)  # until the direction is in order

    def _drop_slow(self, number: int, side: int) -> None:
        order = self._slow.pop((number, side), None)
        if order is not None:
            self._buffered -= order.held_bytes

    def _leave(self, talk: Talk) -> None:
        """A conversation of which nothing more is read: what it knows is said now."""
        self._finish(talk)
        self._settle(talk)
        self._talks.pop(talk.number, None)
        self._codes.setdefault(talk.number, 0)

    def _finish(self, talk: Talk) -> None:
        try:
            talk.finish()
        except Exception:  # noqa: BLE001 - see above
            self._fault(talk)

    def _fault(self, talk: Talk) -> None:
        self.faults += 1
        if self.faults <= 10:
            log.exception("a parser failed: protocol=%s packet=%d", talk.app or "?", talk.packet)  # noqa: LOG004 - in one, above
        talk.over = True

    def _bound(self) -> None:
        """Give the oldest conversations up when there are too many."""
        while len(self._talks) * TALK_BYTES + self._buffered > self._memory_max and self._talks:
            talk = next(iter(self._talks.values()))
            self.given_up += 1
            talk.over = True
            self._leave(talk)
        while len(self._codes) > self._codes_max:  # of flows that were forgotten without an end, under a flood
            del self._codes[next(iter(self._codes))]

    # What the tracker reports

    def ended(self, words: Array) -> None:
        """Finish the flows that output rows end, and write the code of each row's names to it (kernels/table.py, O_NAMES)."""
        numbers = words[:, t.NUMBER].tolist()
        over = (words[:, t.O_REPORT] & np.uint64(0xFF) == Report.ENDED).tolist()
        if self._talks:
            ticks = words[:, t.O_TICK].tolist()
            lasts = words[:, t.LAST].tolist()
            for number, is_over, tick, last in zip(numbers, over, ticks, lasts, strict=True):
                talk = self._talks.get(number) if is_over else None
                if talk is not None:
                    self._close(talk, tick, last // 1000)
        codes = self._codes
        if codes:
            words[:, t.O_NAMES] = np.array([codes.get(number, 0) for number in numbers], np.uint64)
            for number, is_over in zip(numbers, over, strict=True):
                if is_over:
                    codes.pop(number, None)
        else:
            words[:, t.O_NAMES] = 0

    def _close(self, talk: Talk, tick: int, last_us: int) -> None:
        self._tick = tick
        talk.ts_us, talk.packet, talk.sent_by = last_us, 0, -1
        for side in (Side.CLIENT, Side.SERVER):
            order = self._slow.pop((talk.number, int(side)), None)
            if order is not None:
                self._buffered -= order.held_bytes
                self._hear(talk, side, order.flush())
        base = talk.record_place * k.STREAM
        if int(self._state[base + k.S_NUMBER]) == talk.number:
            for at in (0, 1):
                talk.give_back(at, int(self._state[base + k.S_SKIP + at]))
        self._finish(talk)
        self._talks.pop(talk.number, None)

    @property
    def waiting(self) -> int:
        """Records that wait to be taken."""
        return len(self._said)

    @property
    def names(self) -> Array:
        """The names that codes stand for."""
        return np.array(list(self._names), object)

    def take(self, watermark: int) -> Rows:
        """RECORD rows up to that tick, in canonical order."""
        if not self._said:
            return Rows.empty(RECORD)
        said = self._said
        if all(item[0] <= watermark for item in said):
            self._said = []
        else:
            self._said = [item for item in said if item[0] > watermark]
            said = [item for item in said if item[0] <= watermark]
        if not said:
            return Rows.empty(RECORD)
        said.sort(key=canonical)
        return record_rows(said)

    # What conversations ask and say

    def wants(self, kind: str) -> bool:
        """Is that event type written?"""
        return self._options.kinds is None or kind in self._options.kinds

    def option(self, protocol: str, name: str, default: Any) -> Any:
        """A setting of a protocol."""
        return self._options.options.get(f"{protocol}.{name}", default)

    def record(self, talk: Talk, kind: str, objects: Mapping[str, Any], from_server: bool, tx_id: int | None) -> None:
        """An event."""
        if not self.wants(kind):
            return
        if talk.sent_by >= 0 and kind in OF_PACKET:
            from_server = talk.sent_by == 1
        if talk.macs:
            macs = talk.macs[::-1] if from_server else talk.macs
            objects = {**objects, "ether": {"src_mac": macs[0], "dest_mac": macs[1]}}
        try:
            body = msgspec.json.encode(objects).decode()
        except UnicodeEncodeError:  # half of a pair that the wire brought alone: no UTF-8 has it
            body = msgspec.json.encode(_whole_text(msgspec.to_builtins(objects))).decode()
        self._add(talk, kind, body, from_server, NO_TX if tx_id is None else tx_id, talk.ts_us)

    def row(self, talk: Talk, row: Row, ts_us: int) -> None:
        """A line of a Zeek log."""
        if self.rows:
            self._add(talk, ZEEK + log_of(type(row)), line_of(row), False, NO_TX, ts_us)

    def _add(self, talk: Talk, kind: str, body: str, from_server: bool, tx_id: int, ts_us: int) -> None:
        ends = turned(talk.ends) if from_server else talk.ends
        talk.record_count += 1
        self._said.append((self._tick, ts_us, talk.packet, talk.record_count, ends, kind, talk.app, tx_id, body))

    def wished(self, talk: Talk) -> None:
        """It wants bytes skipped, or to see no more."""
        self._wishing.append(talk)

    def expect(self, server: str, port: int, name: str, note: Any) -> None:
        """A flow that is announced."""
        if len(self._expected) >= EXPECTATIONS_MAX:
            del self._expected[next(iter(self._expected))]
        self._expected[server, port] = (name, note)

    def describe(self, talk: Talk) -> None:
        """Note a flow's names for its rows."""
        code = self._code(talk.app) | self._code(talk.label_name) << 16
        code |= self._code(",".join(talk.services)) << 32
        self._codes[talk.number] = code | self._code(",".join(talk.others)) << 48

    def _code(self, name: str) -> int:
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= NAMES_MAX:
                return 0
            known = self._names[name] = len(self._names)
        return known

    def label_of(self, host: str) -> str:
        """The application that a host name belongs to."""
        return self._applications.of_host(host)

    def recognise(self, talk: Talk, data: bytes, side: Side) -> tuple[ProtocolSpec | None, bool]:
        """The protocol of the first bytes."""
        return self._recognisers[talk.transport].match(data, side, talk.client_port, talk.server_port)

    def kept(self, size: int) -> None:
        """So many bytes more are kept unread, or fewer."""
        self._buffered += size

    def unknown(self, talk: Talk) -> None:
        """Nobody knows its protocol."""
        if self._options.failed:
            talk.protocol("failed")

    def spec(self, name: str) -> ProtocolSpec | None:
        """The protocol of that name."""
        return self._specs.get(name)

    def _join(self, talk: Talk, sender: Side, info: FileInfo, attached: Mapping[str, Any], total: int) -> None:
        """A range of a file is there; with the last of them the file is said as a whole."""
        http = attached.get("http")
        host = http.get("hostname") if isinstance(http, dict) else getattr(http, "hostname", None)
        if self._ranges.add((host or talk.server, info.filename or "", total), info.start or 0, info.size):
            whole = FileInfo(
                state="CLOSED", size=total, gaps=False, filename=info.filename, stored=info.stored, tx_id=info.tx_id
            )
            objects = {"app_proto": talk.app, **attached, "fileinfo": whole}
            self.record(talk, "fileinfo", objects, sender is Side.SERVER, None)

    def file(self, talk: Talk, sender: Side, about: Mapping[str, Any]) -> FileSink:
        """A file begins."""

        def say(info: FileInfo, attached: Mapping[str, Any]) -> None:
            if info.filename is not None:
                self.record(
                    talk, "fileinfo", {"app_proto": talk.app, **attached, "fileinfo": info}, sender is Side.SERVER, None
                )
                if info.start is not None and self._options.failed and not info.gaps and about["size"]:
                    self._join(talk, sender, info, attached, about["size"])

        tell = None
        place = ("", False, sender)
        if self.rows:
            talk.file_count += 1
            fuid = uid(talk.ends[12] * 4_099 + talk.file_count, "F")
            hi, lo = talk.ends[2:4] if sender is Side.SERVER else talk.ends[:2]
            inside = bool(self._local.contain(np.array([hi], np.uint64), np.array([lo], np.uint64))[0])
            place = (fuid, inside, sender)

            def tell(row: FilesRow, ts_us: int) -> None:
                self.row(talk, row, ts_us)

        return File(about, self._options, lambda: talk.ts_us, say, tell, place)


def _macs(batch: PacketBatch, rows: DecodedRows, row: int) -> tuple[str, ...]:
    """Hardware addresses of the client and of the server by a packet of theirs; none without Ethernet."""
    packet = int(rows.pkt[row])
    begin = int(batch.offset[packet])
    if int(batch.links[packet]) != LINK_ETHERNET or int(batch.caplen[packet]) < 12:
        return ()
    head = bytes(batch.data[begin : begin + 12])
    found = (head[6:12].hex(":"), head[:6].hex(":"))
    return found[::-1] if rows.sides[row] & 1 else found


def _whole_text(value: Any) -> Any:
    """The same with every lone surrogate replaced; ``value`` is what JSON knows, no deeper than records are."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole_text(key): _whole_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_text(item) for item in value]
    return value
