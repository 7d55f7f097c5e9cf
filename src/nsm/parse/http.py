"""HTTP/0.9 to 1.1: one http event and row for each request with its answer, and the bodies as files. RFC 9110, 9112.

Read as tolerantly as browsers and servers do, since what they accept is what reaches people: bare line feeds, missing
reasons, spaces, folding, answers without requests. Behind a gap it goes on at the next head.
Long because both sides, three ways to frame a body and the ways out of HTTP share one state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from msgspec import structs

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Row, Side
from nsm.wire import http_application, http_head
from nsm.wire.content_coding import KNOWN
from nsm.wire.http_body import Body, path_name
from nsm.wire.http_event import (
    NO_TAGS,
    REDIRECTS,
    Header,
    HttpRecord,
    HttpRow,
    basic_user,
    content_range,
    media_type,
    optional,
    proxied,
    split_host,
    with_custom,
)
from nsm.wire.http_head import (
    Fields,
    content_length,
    has_long_line,
    head_end,
    head_fields,
    head_lines,
    head_pairs,
    is_token,
    text,
)
from nsm.wire.multipart import boundary

PENDING_MAX: Final = 512  # Suricata's max-tx: requests without answer; the oldest is written then
LINE_BYTES_MAX: Final = 8192  # ours: a first line, and what is kept while looking for the next head
CHUNK_LINE_BYTES_MAX: Final = 1024  # ours: size and extensions of a chunk
HEAD_BYTES_MAX: Final = 60_000  # ours: below what an unread side may hold
ENDLESS: Final = 1 << 48  # ours: more than any flow brings
METHOD_BYTES_MAX: Final = 24  # ours: of what the probe takes for a method
URL_UNSEEN: Final = "/libhtp::request_uri_not_seen"  # Suricata's url of an answer without a request
NAMED: Final = frozenset((b"POST", b"PUT"))  # methods whose body Suricata takes for a file of the URL's name
HEX: Final = b"0123456789abcdefABCDEF"
NO_FIELDS: Final[Fields] = {}

METHODS: Final = frozenset((
    b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PROPFIND", b"PROPPATCH",
    b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"UNLOCK", b"REPORT", b"SEARCH", b"POLL", b"SUBSCRIBE", b"UNSUBSCRIBE",
    b"NOTIFY", b"BPROPFIND", b"BPROPPATCH", b"BMOVE", b"BCOPY", b"BDELETE", b"MERGE", b"CHECKOUT", b"MKACTIVITY",
    b"VERSION-CONTROL", b"PURGE", b"LINK", b"UNLINK", b"ACL", b"LABEL", b"UPDATE", b"QUERY", b"CCM_POST",
    b"RPC_IN_DATA", b"RPC_OUT_DATA", b"RPC_CONNECT",
))  # fmt: skip # IANA's HTTP method registry, WebDAV's of Microsoft and Subversion, MS-RPCH

HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, CLOSE, RESYNC, WAIT, EXTRA = range(10)
"""What a side's next bytes are. WAIT holds a client's back until the answer says what they are; EXTRA is behind the
announced end of an answer after which the server should close: what is no head belongs to the body still."""

# Anomalies by what is odd about a head.
ODD_REQUEST: Final = (
    (http_head.MISSING_COLON, "REQUEST_FIELD_MISSING_COLON"), (http_head.REPEATED, "REQUEST_HEADER_REPETITION"),
    (http_head.LENGTH_REPEATED, "DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST"),
    (http_head.FOLDED, "INVALID_REQUEST_FIELD_FOLDING"), (http_head.TOO_MANY, "REQUEST_TOO_MANY_HEADERS"),
    (http_head.BAD_NAME, "REQUEST_HEADER_INVALID"),
)  # fmt: skip
ODD_REPLY: Final = (
    (http_head.MISSING_COLON, "RESPONSE_FIELD_MISSING_COLON"), (http_head.REPEATED, "RESPONSE_HEADER_REPETITION"),
    (http_head.LENGTH_REPEATED, "DUPLICATE_CONTENT_LENGTH_FIELD_IN_RESPONSE"),
    (http_head.FOLDED, "INVALID_RESPONSE_FIELD_FOLDING"), (http_head.TOO_MANY, "RESPONSE_TOO_MANY_HEADERS"),
    (http_head.BAD_NAME, "RESPONSE_HEADER_INVALID"),
)  # fmt: skip


class WebsocketRow(Row):
    """A line of Zeek's websocket.log: what the upgrade agreed on."""

    host: str | None
    uri: str | None
    user_agent: str | None
    subprotocol: str | None
    client_protocols: list[str] | None
    server_extensions: list[str] | None
    client_extensions: list[str] | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A status line, or a method and a target."""
    if side is Side.SERVER:
        return _probe_status(data)
    data = data.lstrip(b"\r\n \t")
    method, space, rest = data[:METHOD_BYTES_MAX].partition(b" ")
    if method in METHODS and rest[:1] == b"/":
        return Match.YES
    if not data or (not space and is_token(method) and len(data) < METHOD_BYTES_MAX and method.upper() == method):
        return Match.MORE
    if not space or not is_token(method) or method == b"PRI":  # the preface of HTTP/2
        return Match.NO
    line, end, _ = data[:LINE_BYTES_MAX].partition(b"\n")
    if end or len(line) == LINE_BYTES_MAX:
        return Match.YES if b" HTTP/" in line else Match.NO
    return Match.MORE


def _probe_status(data: bytes) -> Match:
    if data.startswith((b"HTTP/1.", b"HTTP/0.9")):
        return Match.YES
    return Match.MORE if b"HTTP/1.".startswith(data[:7]) else Match.NO


class Transaction:
    """A request and its answer."""

    __slots__ = (
        "bad", "body_in", "body_out", "fields", "host", "info", "info_text", "method", "number", "pairs",
        "port", "protocol", "reason", "record", "reply_done", "reply_fields", "reply_length", "reply_pairs", "reply_version",
        "request_done", "status", "status_text", "ts_us", "uri",
    )  # fmt: skip

    def __init__(self, number: int, ts_us: int) -> None:
        self.number, self.ts_us = number, ts_us
        self.method = self.uri = self.protocol = b""
        self.fields: Fields = NO_FIELDS
        self.reply_fields: Fields = NO_FIELDS
        self.pairs: list[tuple[bytes, bytes]] = []
        self.reply_pairs: list[tuple[bytes, bytes]] = []
        self.host: str | None = None
        self.port: int | None = None
        self.reply_version = self.status_text = self.reason = b""
        self.status: int | None = None
        self.info: int | None = None
        self.info_text = b""
        self.bad = self.request_done = self.reply_done = False
        self.body_in: Body | None = None
        self.body_out: Body | None = None
        self.reply_length = 0
        self.record: Any = None

    @property
    def is_old(self) -> bool:
        """Is it a request of HTTP/0.9, whose answer has no head?"""
        return not self.protocol and not self.bad


class Half:
    """Where one side is."""

    __slots__ = ("body", "framing", "left", "mode", "scanned", "tx")

    def __init__(self) -> None:
        self.mode = HEAD
        self.left = self.scanned = self.framing = 0
        self.body: Body | None = None
        self.tx: Transaction | None = None


class HttpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._halves = (Half(), Half())
        self._pending: deque[Transaction] = deque()
        self._count = 0
        self._stub = b""
        self._stub_used = False
        self._host_raw = b""
        self._host: tuple[str, int | None] = ("", None)
        self._switched = False
        self._events = conv.wants("http")
        self._extended: bool = conv.option("extended", True)
        self._custom: list[str] = conv.option("custom", [])
        self._dump: str = conv.option("dump_all_headers", "")
        self._limits = (conv.option("request_body_limit", 102_400), conv.option("response_body_limit", 102_400))

    # What the engine calls.

    def feed(self, side: Side, data: bytes) -> int:
        """Heads, bodies and chunks as far as they are there."""
        half = self._halves[side]
        at, size = 0, len(data)
        while at < size and not self._switched:
            mode = half.mode
            if mode == HEAD:
                used = self._head(side, half, data[at:] if at else data)
            elif mode in {LENGTH, CHUNK_DATA}:
                used = self._counted(side, half, data, at)
            elif mode == CLOSE:
                used = size - at
                self._to_body(half, data[at:] if at else data)
                if half.body is not None:
                    half.body.skip(ENDLESS)
            elif mode == WAIT:
                at += len(data) - at - len(data[at:].lstrip(b"\r\n"))  # as before any request
                break
            elif mode == EXTRA:
                used = self._extra(half, data[at:] if at else data)
            elif mode == RESYNC:
                used = self._resync(side, half, data[at:] if at else data)
            else:
                used = self._chunk_line(side, half, data[at : at + CHUNK_LINE_BYTES_MAX])
            if not used and half.mode == mode:
                break
            at += used
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Inside a body it only counts; elsewhere the next head is looked for."""
        half = self._halves[side]
        half.scanned = 0
        if half.mode in (LENGTH, CHUNK_DATA) and size <= half.left:
            half.left -= size
            if half.body is not None:
                half.body.gap(size)
            if not half.left:
                self._counted_end(side, half)
        elif half.mode == CLOSE:
            if half.body is not None:
                half.body.gap(size)
        else:
            self._end(side, half, truncated=half.mode != EXTRA)
            half.mode = RESYNC
        return True

    def finish(self) -> None:
        """What is open ends here."""
        if self._stub and not self._stub_used:
            self._begin_stub()
        for side in (Side.CLIENT, Side.SERVER):
            half = self._halves[side]
            if half.body is not None or half.tx is not None:
                self._end(side, half, truncated=half.mode not in {CLOSE, EXTRA})
        while self._pending:
            self._write(self._pending.popleft())

    # Heads.

    def _head(self, side: Side, half: Half, data: bytes) -> int:
        if side is Side.CLIENT and (data[0] == 13 or data[0] == 10 or self._stub_used):
            return self._before_request(half, data)
        end = head_end(data, half.scanned)
        if end < 0:
            return self._incomplete(side, half, data)
        half.scanned = 0
        lines = head_lines(data[:end])
        if has_long_line(lines, end):
            name = "REQUEST_FIELD_TOO_LONG" if side is Side.CLIENT else "RESPONSE_FIELD_TOO_LONG"
            self._conv.anomaly(name, side=side, tx_id=self._count)
        if side is Side.CLIENT:
            self._stub = b""
            return end if self._request(half, lines) else self._lost(half, data)
        if lines[0][:5].upper() != b"HTTP/" or (self._pending and self._pending[0].is_old):
            return self._no_status(half, data)
        self._reply(half, lines)
        if self._switched:  # as before any answer
            end += len(data) - end - len(data[end:].lstrip(b"\r\n"))
        return end

    def _before_request(self, half: Half, data: bytes) -> int:
        """Empty lines, or the line of a request that was taken without its fields."""
        if self._stub_used:
            at = data.find(b"\n")
            if at < 0:
                return 0
            self._stub, self._stub_used, half.scanned = b"", False, 0
            return at + 1
        half.scanned = 0
        return len(data) - len(data.lstrip(b"\r\n"))

    def _incomplete(self, side: Side, half: Half, data: bytes) -> int:
        """A head without its end: is it one at all?"""
        if side is Side.SERVER:
            if data[:5].upper() != b"HTTP/"[: len(data)] or (self._pending and self._pending[0].is_old):
                return self._no_status(half, data)
        elif not half.scanned and not is_token(data[:METHOD_BYTES_MAX].split(b" ", 1)[0].split(b"\n")[0]):
            line, end_of_line, _ = data.partition(b"\n")
            if (end_of_line and b"HTTP/" not in line) or len(line) > LINE_BYTES_MAX:
                return self._lost(half, data)
            return self._unfinished(side, data)
        elif half.scanned < LINE_BYTES_MAX:
            line = data[:LINE_BYTES_MAX].partition(b"\n")[0]
            self._stub = line.rstrip() if b"HTTP/" not in line and len(line.split()) == 2 else b""
        half.scanned = len(data)
        return self._unfinished(side, data)

    @staticmethod
    def _unfinished(side: Side, data: bytes) -> int:
        if len(data) > HEAD_BYTES_MAX:
            raise MalformedError("REQUEST_FIELD_TOO_LONG" if side is Side.CLIENT else "RESPONSE_FIELD_TOO_LONG")
        return 0

    def _lost(self, half: Half, data: bytes) -> int:
        """A client's line that is no request: on to the next that is one."""
        self._conv.anomaly("REQUEST_LINE_INVALID", side=Side.CLIENT, tx_id=self._count)
        half.mode, half.scanned = RESYNC, 0
        at = data.find(b"\n")
        return at + 1 if at >= 0 else len(data)

    def _no_status(self, half: Half, data: bytes) -> int:
        """A server's bytes that are no status line: the answer to a request without version, or something lost."""
        half.scanned = 0
        if self._stub and not self._pending and not self._stub_used:
            self._begin_stub()
        if not self._pending or not self._pending[0].is_old:
            if not self._pending and len(data) < 5 and b"HTTP/".startswith(data):
                return 0
            half.mode = RESYNC
            return self._resync(Side.SERVER, half, data)
        tx = half.tx = self._pending[0]
        tx.reply_version, tx.status_text, tx.reason = b"0.9", b"", b"<empty>"
        self._open(Side.SERVER, half, tx, CLOSE, 0)
        self._to_body(half, data)
        return len(data)

    def _begin_stub(self) -> None:
        self._stub_used = True
        self._request(self._halves[Side.CLIENT], [self._stub])

    def _resync(self, side: Side, half: Half, data: bytes) -> int:
        """Look for the next head; what cannot be part of one is passed over."""
        mark = b" HTTP/1." if side is Side.CLIENT else b"HTTP/1."
        at = data.find(mark, max(0, half.scanned - 8))
        if at >= 0:
            start = data.rfind(b"\n", 0, at) + 1 if side is Side.CLIENT else at
            half.mode, half.scanned = HEAD, 0
            if side is Side.CLIENT and not is_token(data[start : start + METHOD_BYTES_MAX].split(b" ", 1)[0]):
                half.mode = RESYNC
                return at + 1
            return start or self._head(side, half, data)
        keep = data[-LINE_BYTES_MAX:].rfind(b"\n") + 1 + max(0, len(data) - LINE_BYTES_MAX)
        if side is Side.SERVER:
            keep = max(0, len(data) - len(mark))
        elif len(data) - keep > LINE_BYTES_MAX // 2:
            keep = len(data)
        half.scanned = len(data) - keep
        return keep

    def _request(self, half: Half, lines: list[bytes]) -> bool:
        """A request's head is there; False: it is none."""
        tx = self._begin(lines[0])
        if tx is None:
            return False
        server = self._halves[Side.SERVER]
        if server.mode == EXTRA:
            self._end(Side.SERVER, server)
        fields, odd = head_fields(lines)
        tx.fields = fields
        if odd:
            self._odd(ODD_REQUEST, odd, Side.CLIENT, tx)
        if self._dump in ("both", "request"):
            tx.pairs = head_pairs(lines)
        self._name(tx, fields.get(b"host"))
        self._application(tx, fields)
        if len(self._pending) >= PENDING_MAX:
            self._write(self._pending.popleft())
        self._pending.append(tx)
        half.tx = tx
        if tx.method == b"CONNECT":
            self._message_end(Side.CLIENT, half)
            half.mode = WAIT
            return True
        if b"content-length" in fields or b"transfer-encoding" in fields:
            self._request_body(half, tx, fields)
        else:
            self._message_end(Side.CLIENT, half)
        if b"upgrade" in fields and half.mode == HEAD:
            half.mode = WAIT
        return True

    def _request_body(self, half: Half, tx: Transaction, fields: Fields) -> None:
        coding = fields.get(b"transfer-encoding")
        if coding is not None and self._is_chunked(coding, Side.CLIENT, tx):
            self._open(Side.CLIENT, half, tx, CHUNK_SIZE, 0)
            return
        size = content_length(fields.get(b"content-length", b"0"))
        if size is None:
            self._conv.anomaly("INVALID_CONTENT_LENGTH_FIELD_IN_REQUEST", side=Side.CLIENT, tx_id=tx.number)
        if size:
            self._open(Side.CLIENT, half, tx, LENGTH, size)
        else:
            self._message_end(Side.CLIENT, half)

    def _begin(self, line: bytes) -> Transaction | None:
        """A transaction of a request line, None when it is none."""
        words = line.split(b" ")
        conv = self._conv
        tx = Transaction(self._count, conv.ts_us)
        if len(words) == 3 and words[2].startswith(b"HTTP/") and (words[0] in METHODS or is_token(words[0])):
            tx.method, tx.uri, tx.protocol = words
        else:
            at = line.rfind(b"HTTP/")
            if at >= 0 and (at == 0 or line[at - 1] in b" \t"):
                tx.protocol = line[at:].strip()
                line = line[:at]
            parts = line.split(None, 1)
            tx.method = parts[0] if parts else b""
            tx.uri = parts[1].strip() if len(parts) > 1 else b""
            tx.bad = not is_token(tx.method)
            if not tx.protocol and (tx.method not in METHODS or not tx.uri):
                return None
            if tx.bad:
                conv.anomaly("REQUEST_LINE_INVALID", side=Side.CLIENT, tx_id=tx.number)
            elif not tx.protocol:
                conv.anomaly("REQUEST_LINE_MISSING_PROTOCOL", side=Side.CLIENT, tx_id=tx.number)
        self._count += 1
        return tx

    def _name(self, tx: Transaction, host: bytes | None) -> None:
        """Whom a request speaks to: by its target, else by its Host."""
        uri = tx.uri
        authority = b""
        if uri[:1] != b"/":
            if tx.method == b"CONNECT":
                authority = uri
            else:
                scheme, sep, rest = uri.partition(b"://")
                if sep and len(scheme) < 16:
                    authority = rest.partition(b"/")[0].partition(b"?")[0].rpartition(b"@")[2]
        name = authority or host
        if not name:
            if tx.protocol == b"HTTP/1.1":
                self._conv.anomaly("MISSING_HOST_HEADER", side=Side.CLIENT, tx_id=tx.number)
            return
        if name != self._host_raw:
            self._host_raw = name
            self._host = split_host(name)
            self._conv.named(self._host[0])
        tx.host, tx.port = self._host

    def _application(self, tx: Transaction, fields: Fields) -> None:
        """What the request is for, or who made the program that sends it."""
        found = http_application.of_request(tx.method, tx.uri, fields)
        if found:
            self._conv.label(found)
        elif self._count == 1:
            self._made(fields.get(b"user-agent"))

    def _made(self, agent: bytes | None) -> None:
        """Who made the program that calls itself so."""
        host = http_application.maker(agent) if agent else ""
        if host:
            self._conv.named(host)

    def _reply(self, half: Half, lines: list[bytes]) -> None:
        """An answer's head is there."""
        if self._stub and not self._pending and not self._stub_used:
            self._begin_stub()
        if b"\r" in lines[0]:  # a line that ended without its line feed
            lines[:1] = lines[0].split(b"\r")
        words = lines[0].split(None, 2)
        fields, odd = head_fields(lines, reply=True)
        code = words[1] if len(words) > 1 else b""
        status = int(code) if len(code) == 3 and code.isdigit() else None
        tx = self._pending[0] if self._pending else self._unmatched()
        reason = words[2] if len(words) > 2 else b""
        if status is not None and status < 200 and status != 101:
            tx.info, tx.info_text = status, reason
            return
        tx.reply_version, tx.status, tx.status_text, tx.reason = words[0][5:], status, code, reason
        tx.reply_fields = fields
        half.tx = tx
        if self._count == 1:
            found = http_application.of_reply(fields)
            if found:
                self._conv.label(found)
            else:
                self._made(fields.get(b"server"))
        if odd:
            self._odd(ODD_REPLY, odd, Side.SERVER, tx)
        if status is None:
            self._conv.anomaly("RESPONSE_INVALID_STATUS", side=Side.SERVER, tx_id=tx.number)
        if self._dump in ("both", "response"):
            tx.reply_pairs = head_pairs(lines)
        if not self._leaves(half, tx, status):
            self._reply_body(half, tx, fields, status)

    def _unmatched(self) -> Transaction:
        tx = Transaction(self._count, self._conv.ts_us)
        tx.bad = tx.request_done = True
        self._count += 1
        self._conv.anomaly("UNABLE_TO_MATCH_RESPONSE_TO_REQUEST", side=Side.SERVER, tx_id=tx.number)
        self._pending.append(tx)
        return tx

    def _leaves(self, half: Half, tx: Transaction, status: int | None) -> bool:
        """Does this answer end HTTP here? If it could have and did not, the client's bytes are requests again."""
        client = self._halves[Side.CLIENT]
        name = ""
        if tx.method == b"CONNECT" and status is not None and 200 <= status < 300:
            name = "any"
        elif status == 101:
            upgrade = tx.reply_fields.get(b"upgrade", b"").lower()
            name = "websocket" if b"websocket" in upgrade else "http2" if b"h2c" in upgrade else "any"
        if not name:
            if client.mode == WAIT:
                client.mode = HEAD
            return False
        self._message_end(Side.SERVER, half)
        if name == "websocket" and self._conv.rows:
            self._conv.row(_websocket_row(tx))
        self._switched = True
        note = {"http": (tx.method, tx.uri, tx.host, tx.fields)} if name == "http2" else None
        self._conv.switch("" if name == "any" else name, note)
        return True

    def _reply_body(self, half: Half, tx: Transaction, fields: Fields, status: int | None) -> None:
        coding = fields.get(b"transfer-encoding")
        length = fields.get(b"content-length")
        if tx.method == b"HEAD" or status in (101, 204, 304):
            self._message_end(Side.SERVER, half)
        elif coding is not None and self._is_chunked(coding, Side.SERVER, tx):
            self._open(Side.SERVER, half, tx, CHUNK_SIZE, 0)
        elif length is not None:
            size = content_length(length)
            if size is None:
                self._conv.anomaly("INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE", side=Side.SERVER, tx_id=tx.number)
                self._open(Side.SERVER, half, tx, CLOSE, 0)
            elif size:
                self._open(Side.SERVER, half, tx, LENGTH, size)
            else:
                self._message_end(Side.SERVER, half)
        else:
            self._open(Side.SERVER, half, tx, CLOSE, 0)

    def _is_chunked(self, coding: bytes, side: Side, tx: Transaction) -> bool:
        coding = coding.lower().replace(b"\0", b"")
        if coding not in {b"chunked", b"identity"}:
            where = "REQUEST" if side is Side.CLIENT else "RESPONSE"
            self._conv.anomaly(f"INVALID_TRANSFER_ENCODING_VALUE_IN_{where}", side=side, tx_id=tx.number)
        return b"chunked" in coding

    def _odd(self, table: tuple[tuple[int, str], ...], odd: int, side: Side, tx: Transaction) -> None:
        for bit, name in table:
            if odd & bit:
                self._conv.anomaly(name, side=side, tx_id=tx.number)

    # Bodies.

    def _open(self, side: Side, half: Half, tx: Transaction, mode: int, size: int) -> None:
        """A body begins."""
        fields = tx.fields if side is Side.CLIENT else tx.reply_fields
        body = Body(self._conv, side, tx.number, fields, partial(self._objects, tx))
        body.limit = self._limits[side]
        if side is Side.SERVER or tx.method in NAMED:
            body.path = path_name(tx.uri) or (URL_UNSEEN if tx.bad else "")
        if size:
            body.size = size
        coding = fields.get(b"content-encoding")
        if coding is not None and coding.strip().lower() not in KNOWN and b"," not in coding:
            self._conv.anomaly("ABNORMAL_CE_HEADER", side=side, tx_id=tx.number)
        if body.many_codings:
            self._conv.anomaly("TOO_MANY_ENCODING_LAYERS", side=side, tx_id=tx.number)
        if side is Side.CLIENT:
            tx.body_in = body
            mark = boundary(fields.get(b"content-type", b""))
            if mark:
                body.cut(mark)
        else:
            tx.body_out = body
            value = fields.get(b"content-range")
            if value is not None and tx.status == 206:
                found = content_range(value)
                body.start, body.end = found.start, found.end
                body.size = found.size if found.size is not None else body.size
        half.body, half.mode, half.left, half.framing = body, mode, size, 0

    def _to_body(self, half: Half, piece: bytes) -> None:
        if half.body is not None:
            half.body.data(piece)

    def _counted(self, side: Side, half: Half, data: bytes, at: int) -> int:
        """Bytes of a body or chunk whose size is known; from where nobody looks at them they are skipped but the last."""
        size = min(half.left, len(data) - at)
        body = half.body
        if body is not None:
            body.data(data if size == len(data) else data[at : at + size])
        half.left -= size
        if not half.left:
            self._counted_end(side, half)
        elif half.left > 1 and body is not None and body.skip(half.left - 1):
            half.left = 1
        return size

    def _counted_end(self, side: Side, half: Half) -> None:
        if half.mode == CHUNK_DATA:
            half.mode = CHUNK_END
        elif side is Side.SERVER and half.tx is not None and _closes(half.tx):
            half.mode = EXTRA
        else:
            self._end(side, half)

    def _extra(self, half: Half, data: bytes) -> int:
        """Bytes behind the announced end of a body."""
        if data.startswith(b"HTTP/"[: len(data)]):
            if len(data) < 5:
                return 0
            self._end(Side.SERVER, half)
            return 0
        self._to_body(half, data)
        return len(data)

    def _chunk_line(self, side: Side, half: Half, line: bytes) -> int:
        """The size of a chunk, the end of one, or a line behind the last."""
        at = line.find(b"\n")
        if at < 0:
            if len(line) == CHUNK_LINE_BYTES_MAX:
                return self._bad_chunk(side, half)
            return 0
        half.framing += at + 1
        word = line[:at].rstrip(b"\r")
        if half.mode == TRAILER:
            if not word:
                self._end(side, half)
            return at + 1
        if half.mode == CHUNK_END and not word:
            half.mode = CHUNK_SIZE
            return at + 1
        size = _chunk_size(word)
        if size < 0:
            half.framing -= at + 1
            return self._bad_chunk(side, half)
        half.mode = CHUNK_DATA if size else TRAILER
        half.left = size
        return at + 1

    def _bad_chunk(self, side: Side, half: Half) -> int:
        """No chunk where one should be: an answer is read until the end, a request is over."""
        tx = half.tx
        number = tx.number if tx is not None else None
        self._conv.anomaly(
            "INVALID_RESPONSE_CHUNK_LEN" if side is Side.SERVER else "INVALID_REQUEST_CHUNK_LEN",
            side=side,
            tx_id=number,
        )
        if side is Side.SERVER:
            half.mode = CLOSE
            return 0
        self._end(side, half, truncated=True)
        half.mode, half.scanned = RESYNC, 0
        return 0

    # Ends.

    def _end(self, side: Side, half: Half, truncated: bool = False) -> None:
        """A message's last byte was seen, or will not be."""
        body, tx = half.body, half.tx
        if body is not None and tx is not None:
            if side is Side.SERVER:
                tx.reply_length = body.seen + half.framing
            if not truncated:
                self._message_done(side, tx)
            body.close(truncated or not body.is_complete_form)
            if side is Side.SERVER:
                tx.reply_length = body.seen + half.framing
            if body.coding_odd:
                name = "COMPRESSION_BOMB" if body.is_bomb else "GZIP_DECOMPRESSION_FAILED"
                self._conv.anomaly(name, side=side, tx_id=tx.number)
            if body.part_odd:
                self._conv.anomaly("MULTIPART_INVALID_HEADER", side=side, tx_id=tx.number)
        self._message_end(side, half)

    @staticmethod
    def _message_done(side: Side, tx: Transaction) -> None:
        if side is Side.CLIENT:
            tx.request_done = True
        else:
            tx.reply_done = True

    def _message_end(self, side: Side, half: Half) -> None:
        tx = half.tx
        half.body, half.tx, half.mode, half.left, half.framing = None, None, HEAD, 0, 0
        if tx is None:
            return
        self._message_done(side, tx)
        if side is Side.SERVER and self._pending and self._pending[0] is tx:
            self._pending.popleft()
        if tx.request_done and tx.reply_done:
            self._write(tx)

    def _objects(self, tx: Transaction) -> Mapping[str, Any]:
        """What stands beside ``fileinfo``."""
        return {"http": self._record(tx)}

    def _record(self, tx: Transaction) -> Any:
        """The http object, kept once both sides are complete."""
        if tx.record is not None:
            return tx.record
        fields, reply = tx.fields, tx.reply_fields
        media = reply.get(b"content-type")
        span = reply.get(b"content-range")
        status, body = tx.status, tx.body_out
        record: Any = HttpRecord(
            hostname=tx.host, http_port=tx.port,
            url=URL_UNSEEN if tx.bad and not tx.method else text(tx.uri),
            http_user_agent=optional(fields, b"user-agent"),
            http_content_type=None if media is None else media_type(media),
            content_range=None if span is None else content_range(span),
            http_refer=optional(fields, b"referer"),
            http_method=text(tx.method) if tx.method else None,
            protocol=text(tx.protocol) if tx.protocol else None,
            status=status,
            status_string=text(tx.status_text) if status is None and tx.status_text else None,
            redirect=optional(reply, b"location") if status in REDIRECTS else None,
            length=tx.reply_length if tx.reply_done or body is None else body.seen,
            request_headers=_headers(tx.pairs) if tx.pairs else None,
            response_headers=_headers(tx.reply_pairs) if tx.reply_pairs else None,
        )  # fmt: skip
        if not self._extended:
            record = structs.replace(
                record, http_refer=None, http_method=None, protocol=None, status=None, status_string=None, redirect=None,
                length=None,
            )  # fmt: skip
        if self._custom:
            record = with_custom(record, self._custom, fields, reply)
        if tx.request_done and tx.reply_done:
            tx.record = record
        return record

    def _write(self, tx: Transaction) -> None:
        """The event and the row."""
        if self._events:
            self._conv.emit("http", {"http": self._record(tx)}, tx_id=tx.number)
        if self._conv.rows and not (tx.bad and not tx.reply_version):
            self._conv.row(_row(tx), tx.ts_us)


def _chunk_size(word: bytes) -> int:
    """The size at the start of a chunk's line, -1 without one; what follows the digits does not matter."""
    word = word.lstrip(b" \t")
    digits = word[: len(word) - len(word.lstrip(HEX))]
    return int(digits, 16) if digits and len(digits) < 16 else -1


def _closes(tx: Transaction) -> bool:
    """Does the server close behind this answer? RFC 9112 section 9.3."""
    connection = tx.reply_fields.get(b"connection")
    if connection is None:
        return tx.reply_version == b"1.0"
    return connection.lower() == b"close"


def _headers(pairs: list[tuple[bytes, bytes]]) -> list[Header]:
    return [Header(name=text(name), value=text(value)) for name, value in pairs]


def _row(tx: Transaction) -> HttpRow:
    """The line of http.log; of what is no request only the answer's columns."""
    fields = NO_FIELDS if tx.bad else tx.fields
    ours, theirs = tx.body_in, tx.body_out
    credentials = fields.get(b"authorization")
    host = fields.get(b"host")
    version = text(tx.reply_version) if tx.reply_version else None
    return HttpRow(
        trans_depth=tx.number + 1,
        method=None if tx.bad else text(tx.method),
        host=text(host) if host else None,
        uri=None if tx.bad else text(tx.uri),
        referrer=optional(fields, b"referer"), version=version,
        user_agent=optional(fields, b"user-agent"), origin=optional(fields, b"origin"),
        request_body_len=ours.decoded if ours else 0, response_body_len=theirs.decoded if theirs else 0,
        status_code=0 if version == "0.9" else tx.status,
        status_msg=text(tx.reason) if version else None,
        info_code=tx.info, info_msg=text(tx.info_text) if tx.info else None,
        tags=NO_TAGS, username=basic_user(credentials) if credentials else None, password=None,
        proxied=proxied(fields),
        orig_fuids=_fuids(ours), orig_filenames=(ours.names or None) if ours else None,
        orig_mime_types=(ours.mime_types() or None) if ours else None,
        resp_fuids=_fuids(theirs), resp_filenames=(theirs.names or None) if theirs else None,
        resp_mime_types=(theirs.mime_types() or None) if theirs else None,
    )  # fmt: skip


def _fuids(body: Body | None) -> list[str] | None:
    return ([file.fuid for file in body.files if file.fuid] or None) if body else None


def _listed(fields: Fields, name: bytes) -> list[str] | None:
    value = fields.get(name)
    return None if value is None else [text(part.strip()) for part in value.split(b",")]


def _websocket_row(tx: Transaction) -> WebsocketRow:
    return WebsocketRow(
        host=optional(tx.fields, b"host"), uri=text(tx.uri), user_agent=optional(tx.fields, b"user-agent"),
        subprotocol=optional(tx.reply_fields, b"sec-websocket-protocol"),
        client_protocols=_listed(tx.fields, b"sec-websocket-protocol"),
        server_extensions=_listed(tx.reply_fields, b"sec-websocket-extensions"),
        client_extensions=_listed(tx.fields, b"sec-websocket-extensions"),
    )  # fmt: skip


SPEC: Final = ProtocolSpec(
    name="http", transports=("tcp",), ports=(80, 8000, 8080, 8888, 3128, 81, 631), probe=probe, parser=HttpParser,
    service="http", kinds=("http", "fileinfo"), weight=5,
)  # fmt: skip
