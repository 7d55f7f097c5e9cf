"""HTTP/2 in clear text: one http event a stream, its bodies as files, settings as events of stream 0. RFC 9113.

DNS over HTTPS is recognised and named (RFC 8484). Without the connection's beginning heads cannot be unfolded.

Long because frames, header blocks and bodies of one stream are read in one place.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Side
from nsm.wire.dns_eve import dns_object
from nsm.wire.dns_message import DnsError, parse
from nsm.wire.hpack import Field, Hpack
from nsm.wire.http_body import Body, path_name
from nsm.wire.http_event import content_range, media_type, split_host
from nsm.wire.http_head import Fields, content_length, text

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 section 3.4
FRAME_BYTES_MAX: Final = 60_000  # ours: of a frame that is read whole; below what an unread side may hold
BLOCK_BYTES_MAX: Final = 262_144  # ours: of a head in several frames
STREAMS_MAX: Final = 1024  # ours: streams open at once; the oldest is written then
SETTINGS_MAX: Final = 64  # ours: of one frame
DNS_MESSAGE: Final = b"application/dns-message"  # RFC 8484 section 6
DNS_BYTES_MAX: Final = 65_535  # RFC 1035: of a message; a body that is longer is none

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x4, 0x8, 0x20  # RFC 9113 section 6

SETTING_NAMES: Final = {
    1: "SETTINGSHEADERTABLESIZE", 2: "SETTINGSENABLEPUSH", 3: "SETTINGSMAXCONCURRENTSTREAMS",
    4: "SETTINGSINITIALWINDOWSIZE", 5: "SETTINGSMAXFRAMESIZE", 6: "SETTINGSMAXHEADERLISTSIZE",
}  # fmt: skip # RFC 9113 section 6.5.2, spelled as Suricata does
ERROR_NAMES: Final = (
    "NOERROR", "PROTOCOLERROR", "INTERNALERROR", "FLOWCONTROLERROR", "SETTINGSTIMEOUT", "STREAMCLOSED", "FRAMESIZEERROR",
    "REFUSEDSTREAM", "CANCEL", "COMPRESSIONERROR", "CONNECTERROR", "ENHANCEYOURCALM", "INADEQUATESECURITY",
    "HTTP11REQUIRED",
)  # fmt: skip # RFC 9113 section 7


REQUEST_FIELDS: Final = (
    (b":method", "http_method"), (b":path", "url"), (b"user-agent", "http_user_agent"), (b"referer", "http_refer"),
)  # fmt: skip


class Setting(Record):
    """One setting."""

    settings_id: str
    settings_value: int


class Half(Record):
    """What one side says about a stream besides its head."""

    settings: list[Setting] | None = None
    error_code: str | None = None
    priority: int | None = None


class Http2Record(Record):
    """http.http2 of EVE."""

    stream_id: int
    request: Half | None = None
    response: Half | None = None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The client's preface; of a server its first settings."""
    if side is Side.CLIENT:
        if data.startswith(PREFACE[:16]):
            return Match.YES
        return Match.MORE if PREFACE.startswith(data) else Match.NO
    if len(data) < 9:
        return Match.MORE if data[:2] == b"\0\0"[: len(data)] else Match.NO
    size = int.from_bytes(data[:3], "big")
    if data[3:9] == b"\x04\0\0\0\0\0" and size % 6 == 0 and size <= 6 * SETTINGS_MAX and (size or port):
        return Match.YES
    return Match.NO


class Stream:
    """A request and its answer. By side: head, body, whether it ended."""

    __slots__ = ("bodies", "dns", "done", "errors", "fields", "heads", "number", "priority", "stream")

    def __init__(self, stream: int, number: int) -> None:
        self.stream, self.number = stream, number
        self.heads: tuple[list[Any], list[Any]] = ([], [])
        self.fields: tuple[Fields, Fields] = ({}, {})
        self.bodies: list[Body | None] = [None, None]
        self.dns: list[bytes | None] = [None, None]  # what came of a message of DNS over HTTPS
        self.done = [False, False]
        self.errors: list[str | None] = [None, None]
        self.priority: int | None = None


class Http2Parser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._streams: dict[int, Stream] = {}
        self._count = 0
        self._tables = (Hpack(), Hpack())
        self._blocks = [b"", b""]
        self._block_stream = [0, 0]
        self._block_flags = [0, 0]
        self._left = [0, 0]  # of a DATA frame that is under way
        self._padding = [0, 0]
        self._data_stream = [0, 0]
        self._data_ends = [False, False]
        self._started = False
        note = conv.expected
        if isinstance(note, Mapping) and "http" in note:
            self._upgraded(*note["http"])

    def feed(self, side: Side, data: bytes) -> int:
        """Frames, one after the other; DATA as it comes."""
        at = 0
        if side is Side.CLIENT and not self._started:
            if data.startswith(PREFACE):
                at = len(PREFACE)
            elif PREFACE.startswith(data):
                return 0
            elif data[:3] == PREFACE[:3]:
                raise MalformedError("invalid_client_magic")
            self._started = True
        while at < len(data):
            used = (
                self._data(side, data, at) if self._left[side] or self._padding[side] else self._frame(side, data, at)
            )
            if not used:
                break
            at += used
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Inside DATA it is a hole in a file; elsewhere heads cannot be unfolded any more."""
        if size > self._left[side]:
            return False
        self._left[side] -= size
        stream = self._streams.get(self._data_stream[side])
        body = stream.bodies[side] if stream is not None else None
        if body is not None:
            body.gap(size)
        if not self._left[side]:
            self._data_end(side)
        return True

    def finish(self) -> None:
        """Streams that did not end."""
        for stream in list(self._streams.values()):
            self._close(stream)

    def _upgraded(self, method: bytes, uri: bytes, host: str | None, fields: Fields) -> None:
        """Stream 1 is the request that asked for HTTP/2, with settings in a field. RFC 7540 section 3.2."""
        try:
            settings = urlsafe_b64decode(fields.get(b"http2-settings", b"") + b"==")
        except ValueError:
            settings = b""
        if settings and len(settings) % 6 == 0:
            self._settings(Side.CLIENT, settings)
        head: list[Field] = [(b":method", method), (b":path", uri), (b":authority", (host or "").encode())]
        stream = self._stream(1)
        self._read_head(
            Side.CLIENT, stream, [*head, *((name, value) for name, value in fields.items() if name != b"host")], []
        )
        stream.done[Side.CLIENT] = True

    # Frames.

    def _frame(self, side: Side, data: bytes, at: int) -> int:
        if len(data) - at < 9:
            return 0
        size = int.from_bytes(data[at : at + 3], "big")
        kind, flags = data[at + 3], data[at + 4]
        number = int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFFFFFF
        if kind == DATA:
            return self._begin_data(side, data, at, (size, flags, number))
        if size > FRAME_BYTES_MAX:
            self._conv.anomaly("long_frame_data", side=side)
            self._conv.skip(side, size - (len(data) - at - 9))
            return min(len(data) - at, size + 9)
        if len(data) - at < size + 9:
            return 0
        payload = data[at + 9 : at + 9 + size]
        if kind in {HEADERS, CONTINUATION, PUSH_PROMISE}:
            self._head_frame(side, kind, flags, number, payload)
        else:
            self._other_frame(side, kind, number, payload)
        return size + 9

    def _other_frame(self, side: Side, kind: int, number: int, payload: bytes) -> None:
        size = len(payload)
        if kind == SETTINGS and size % 6 == 0:
            if payload:
                self._settings(side, payload)
        elif kind == RST_STREAM and size == 4:
            self._reset(side, number, payload)
        elif kind == GOAWAY and size >= 8:
            self._control(side, Half(error_code=_error(payload[4:8])))
        elif kind in {SETTINGS, RST_STREAM, GOAWAY}:
            self._conv.anomaly("invalid_frame_length", side=side)

    def _begin_data(self, side: Side, data: bytes, at: int, head: tuple[int, int, int]) -> int:
        size, flags, number = head
        used = 9
        self._padding[side] = 0
        if flags & PADDED and size:
            if len(data) - at < 10:
                return 0
            self._padding[side] = min(data[at + 9], size - 1)
            size -= 1 + self._padding[side]
            used = 10
        if not number:
            self._conv.anomaly("data_stream_zero", side=side)
        self._left[side], self._data_stream[side], self._data_ends[side] = size, number, bool(flags & END_STREAM)
        if not size:
            self._data_end(side)
        return used

    def _data(self, side: Side, data: bytes, at: int) -> int:
        if not self._left[side]:
            size = min(self._padding[side], len(data) - at)
            self._padding[side] -= size
            return size
        size = min(self._left[side], len(data) - at)
        self._left[side] -= size
        stream = self._streams.get(self._data_stream[side])
        body = stream.bodies[side] if stream is not None else None
        if body is not None:
            body.data(data[at : at + size])
        message = stream.dns[side] if stream is not None else None
        if stream is not None and message is not None:
            stream.dns[side] = message + data[at : at + size] if len(message) + size <= DNS_BYTES_MAX else None
        if not self._left[side]:
            self._data_end(side)
        elif message is not None:
            return size
        elif self._left[side] > 1 and body is not None and body.skip(self._left[side] - 1):
            self._left[side] = 1
        return size

    def _data_end(self, side: Side) -> None:
        stream = self._streams.get(self._data_stream[side])
        if stream is not None and self._data_ends[side]:
            self._side_done(side, stream)

    def _head_frame(self, side: Side, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == CONTINUATION:
            self._blocks[side] += payload
            number = self._block_stream[side]
            if flags & END_HEADERS:
                self._block_flags[side] |= END_HEADERS
        else:
            payload = self._unpadded(side, kind, flags, number, payload)
            self._blocks[side], self._block_flags[side] = payload, flags
            self._block_stream[side] = 0 if kind == PUSH_PROMISE else number
        if len(self._blocks[side]) > BLOCK_BYTES_MAX:
            raise MalformedError("compression_bomb")
        if not flags & END_HEADERS:
            return
        block, self._blocks[side] = self._blocks[side], b""
        fields = self._tables[side].decode(block)
        if number and self._block_stream[side]:
            stream = self._stream(number)
            self._read_head(side, stream, fields, self._tables[side].updates)
            if self._block_flags[side] & END_STREAM:
                self._side_done(side, stream)

    def _unpadded(self, side: Side, kind: int, flags: int, number: int, payload: bytes) -> bytes:
        if flags & PADDED and payload:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == PUSH_PROMISE:
            return payload[4:]
        if flags & WITH_PRIORITY and len(payload) >= 5:
            self._stream(number).priority = payload[4]
            return payload[5:]
        return payload

    def _settings(self, side: Side, payload: bytes) -> None:
        found = []
        for at in range(0, min(len(payload), 6 * SETTINGS_MAX), 6):
            key = int.from_bytes(payload[at : at + 2], "big")
            value = int.from_bytes(payload[at + 2 : at + 6], "big")
            if key in SETTING_NAMES:
                found.append(Setting(settings_id=SETTING_NAMES[key], settings_value=value))
        self._control(side, Half(settings=found or None))

    def _control(self, side: Side, half: Half) -> None:
        """What concerns the connection is an event of stream 0."""
        known = half if half.settings or half.error_code else None
        record = Http2Record(
            stream_id=0, request=known if side is Side.CLIENT else None, response=known if side is Side.SERVER else None
        )
        if self._conv.wants("http"):
            self._conv.emit("http", {"http": {"version": "2", "http2": record}}, tx_id=self._count)
        self._count += 1

    def _reset(self, side: Side, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.errors[side] = _error(payload)
            self._close(stream)

    # Streams.

    def _stream(self, number: int) -> Stream:
        stream = self._streams.get(number)
        if stream is None:
            if len(self._streams) >= STREAMS_MAX:
                self._conv.anomaly("too_many_streams", side=Side.CLIENT)
                self._close(next(iter(self._streams.values())))
            stream = self._streams[number] = Stream(number, self._count)
            self._count += 1
        return stream

    def _read_head(self, side: Side, stream: Stream, head: list[Field], updates: list[int]) -> None:
        shown = stream.heads[side]
        for size in updates:
            shown.append({"table_size_update": size})
        fields = stream.fields[side]
        first = not fields
        for name, value in head:
            shown.append({"name": text(name), "value": text(value)})
            fields[name] = fields[name] + b", " + value if name in fields and name[:1] != b":" else value
        if first and fields.get(b":status", b"2")[:1] == b"1":  # an interim answer: the final one follows
            fields.clear()
            return
        if not first:
            return
        if side is Side.CLIENT:
            self._request(stream, fields)
        kind = fields.get(b"content-type", b"") if side is Side.CLIENT else b""
        if DNS_MESSAGE in kind or DNS_MESSAGE in fields.get(b"accept", b""):
            self._conv.protocol("doh2")
        if DNS_MESSAGE in fields.get(b"content-type", b""):
            stream.dns[side] = b""
        stream.bodies[side] = self._body(side, stream, fields)

    def _request(self, stream: Stream, fields: Fields) -> None:
        authority = fields.get(b":authority", b"")
        host = fields.get(b"host")
        if b"@" in authority:
            self._conv.anomaly("userinfo_in_uri", side=Side.CLIENT, tx_id=stream.number)
        if authority and host is not None and host.lower() != authority.lower():
            self._conv.anomaly("authority_host_mismatch", side=Side.CLIENT, tx_id=stream.number)
        if authority or host:
            self._conv.named(split_host((authority or host or b"").rpartition(b"@")[2])[0])

    def _body(self, side: Side, stream: Stream, fields: Fields) -> Body:
        body = Body(self._conv, side, stream.number, fields, partial(self._objects, stream))
        body.path = path_name(stream.fields[Side.CLIENT].get(b":path", b""))
        length = fields.get(b"content-length")
        body.size = content_length(length) if length is not None else None
        span = fields.get(b"content-range")
        if span is not None and side is Side.SERVER:
            found = content_range(span)
            body.start, body.end = found.start, found.end
            body.size = found.size if found.size is not None else body.size
        return body

    def _side_done(self, side: Side, stream: Stream) -> None:
        stream.done[side] = True
        self._close_body(side, stream, truncated=False)
        if stream.done == [True, True]:
            self._close(stream)

    def _close_body(self, side: Side, stream: Stream, truncated: bool) -> None:
        body = stream.bodies[side]
        if body is not None and (body.sink is not None or body.is_form):
            body.close(truncated)
            if body.coding_odd:
                name = "compression_bomb" if body.is_bomb else "failed_decompression"
                self._conv.anomaly(name, side=side, tx_id=stream.number)

    def _close(self, stream: Stream) -> None:
        del self._streams[stream.stream]
        for side in (Side.CLIENT, Side.SERVER):
            self._close_body(side, stream, truncated=not stream.done[side])
        if self._conv.wants("http"):
            self._conv.emit("http", self._objects(stream), tx_id=stream.number)
        data = stream.dns[Side.SERVER] or stream.dns[Side.CLIENT]
        if data and self._conv.wants("dns"):
            self._dns(stream, data)

    def _dns(self, stream: Stream, data: bytes) -> None:
        """The answer that came, else the question."""
        try:
            message = parse(data)
        except DnsError as error:
            self._conv.anomaly(error.slug, side=Side.SERVER, tx_id=stream.number)
            return
        self._conv.emit("dns", {"dns": dns_object(message, stream.number), **self._objects(stream)})

    def _objects(self, stream: Stream) -> Mapping[str, Any]:
        request, reply = stream.fields
        http: dict[str, Any] = {"version": "2"}
        for name, key in REQUEST_FIELDS:
            if name in request:
                http[key] = text(request[name])
        authority = request.get(b":authority") or request.get(b"host")
        if authority:
            host, port = split_host(authority.rpartition(b"@")[2])
            http["hostname"] = host
            if port is not None:
                http["http_port"] = port
        _describe(http, reply)
        http["length"] = _length(stream)
        if stream.heads[0]:
            http["request_headers"] = stream.heads[0]
        if stream.heads[1]:
            http["response_headers"] = stream.heads[1]
        ours, theirs = stream.errors
        http["http2"] = Http2Record(
            stream_id=stream.stream,
            request=Half(error_code=ours, priority=stream.priority) if ours or stream.priority is not None else None,
            response=Half(error_code=theirs) if theirs else None,
        )  # fmt: skip
        return {"http": http}


def _describe(http: dict[str, Any], reply: Fields) -> None:
    """What an answer's head adds."""
    if b"content-type" in reply:
        http["http_content_type"] = media_type(reply[b"content-type"])
    if b"content-range" in reply:
        http["content_range"] = content_range(reply[b"content-range"])
    status = reply.get(b":status", b"")
    if status.isdigit() and len(status) == 3:
        http["status"] = int(status)
    if b"location" in reply and status[:1] == b"3":
        http["redirect"] = text(reply[b"location"])


def _length(stream: Stream) -> int:
    """The answer's length: as announced, else as seen."""
    announced = content_length(stream.fields[Side.SERVER].get(b"content-length", b""))
    body = stream.bodies[Side.SERVER]
    return announced if announced is not None else body.seen if body is not None else 0


def _error(payload: bytes) -> str | None:
    code = int.from_bytes(payload, "big")
    return ERROR_NAMES[code] if code < len(ERROR_NAMES) else None


SPEC: Final = ProtocolSpec(
    name="http2", transports=("tcp",), ports=(), probe=probe,
    first=b"P\0", parser=Http2Parser, kinds=("http", "dns", "fileinfo"), weight=20,
)  # fmt: skip
