"""SIP: one ``sip`` event a message, with its session description; rows of sip.log as Zeek makes them. RFC 3261, sections 7 and 18.

Zeek keeps one row open for each flow, writes it at every answer and begins anew after a final one; what requests in between
say is added to it. Left out: bodies other than session descriptions.
"""

from __future__ import annotations

from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Row, Side
from nsm.wire import sdp
from nsm.wire.dns_message import text

HEAD_BYTES_MAX: Final = 16_384  # ours
BODY_BYTES_MAX: Final = 32_768  # ours: of a body that is read; a longer one is skipped
METHODS: Final = (
    b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"SUBSCRIBE", b"NOTIFY", b"PUBLISH", b"INFO",
    b"REFER", b"MESSAGE", b"UPDATE",
)  # fmt: skip # IANA, "Methods and Response Codes"
VERSION: Final = b"SIP/2.0"  # RFC 3261, section 7
COMPACT: Final = {
    b"i": b"call-id", b"l": b"content-length", b"f": b"from", b"s": b"subject", b"t": b"to", b"v": b"via", b"c": b"content-type",
}  # fmt: skip # RFC 3261, section 7.3.3
PATHS_MAX: Final = 64  # ours: Via headers of a row


class Sip(Record):
    """A message."""

    version: str
    method: str | None = None
    uri: str | None = None
    request_line: str | None = None
    code: str | None = None
    reason: str | None = None
    response_line: str | None = None
    sdp: sdp.Sdp | None = None


class SipRow(Row):
    """A line of sip.log."""

    trans_depth: int
    method: str | None
    uri: str | None
    date: str | None
    request_from: str | None
    request_to: str | None
    response_from: str | None
    response_to: str | None
    reply_to: str | None
    call_id: str | None
    seq: str | None
    subject: str | None
    request_path: list[str]
    response_path: list[str]
    user_agent: str | None
    status_code: int | None
    status_msg: str | None
    warning: str | None
    request_body_len: int | None
    response_body_len: int | None
    content_type: str | None


REQUEST_COLUMNS: Final = {
    b"call-id": "call_id", b"cseq": "seq", b"date": "date", b"reply-to": "reply_to", b"subject": "subject", b"to": "request_to",
    b"user-agent": "user_agent",
}  # fmt: skip
RESPONSE_COLUMNS: Final = {b"content-type": "content_type", b"warning": "warning", b"to": "response_to"}


class Open:
    """The row that is being made."""

    def __init__(self, ts_us: int) -> None:
        self.ts_us = ts_us
        self.words: dict[str, str] = {}
        self.lengths: list[int | None] = [None, None]
        self.paths: tuple[list[str], list[str]] = ([], [])
        self.code: int | None = None

    def row(self) -> SipRow:
        """The line as it stands; lists are copied, since the row may go on."""
        get = self.words.get
        return SipRow(
            0, get("method"), get("uri"), get("date"), get("request_from"), get("request_to"), get("response_from"),
            get("response_to"), get("reply_to"), get("call_id"), get("seq"), get("subject"), list(self.paths[0]),
            list(self.paths[1]), get("user_agent"), self.code, get("status_msg"), get("warning"), self.lengths[0],
            self.lengths[1], get("content_type"),
        )  # fmt: skip


def _raw(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def headers_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """(name in lower case and long form, value) of the lines behind the first; folded lines are joined."""
    found: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\r\n")[1:]:
        if line[:1] in (b" ", b"\t") and found:
            found[-1] = (found[-1][0], found[-1][1] + b" " + line.strip())
            continue
        name, colon, value = line.partition(b":")
        if colon:
            name = name.strip().lower()
            found.append((COMPACT.get(name, name), value.strip()))
    return found


def body_size(headers: list[tuple[bytes, bytes]]) -> int | None:
    """What Content-Length says, None where it says nothing that is a number."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 10 else None
    return None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A request line with SIP's version, or a status line."""
    data = data.lstrip(b"\r\n")
    if data.startswith(b"SIP/2."):
        return Match.YES
    line, end, _ = data[:2048].partition(b"\r\n")
    method, space, rest = line.partition(b" ")
    if method in METHODS and space:
        if end:
            return Match.YES if rest.endswith(VERSION) else Match.NO
        return Match.MORE if len(data) < 2048 else Match.NO
    if not space and len(data) < 10 and (VERSION.startswith(data) or any(name.startswith(data) for name in METHODS)):
        return Match.MORE
    return Match.NO


class SipParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._tcp = conv.transport == "tcp"
        self._events = conv.wants("sip")
        self._rows = conv.rows and not self._tcp  # Zeek reads SIP over UDP alone
        self._open: Open | None = None
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read messages."""
        at = 0
        size = len(data)
        while at < size:
            if data[at] in b"\r\n":  # keep-alive, RFC 5626, section 4.4.1
                at += 1
                continue
            end = data.find(b"\r\n\r\n", at, at + HEAD_BYTES_MAX)
            if end < 0:
                if not self._tcp:
                    if any(data[at:].strip(b"\0")):
                        self._conv.anomaly("invalid_data", side=side)
                    return size
                if size - at > HEAD_BYTES_MAX:
                    raise MalformedError("invalid_data")
                return at
            head = data[at:end]
            headers = headers_of(head)
            length = body_size(headers)
            start = end + 4
            whole = (
                (length or 0) if self._tcp else size - start
            )  # a datagram ends with its body, RFC 3261, section 18.3
            if whole > BODY_BYTES_MAX:
                self._message(side, head, headers, b"")
                self._conv.skip(side, start + whole - size)
                return min(size, start + whole)
            if start + whole > size:
                return at
            self._message(side, head, headers, data[start : start + whole])
            at = start + whole
            if not self._tcp:
                return size
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next message begins is not to be told."""
        return False

    def finish(self) -> None:
        """Write the row of a request that was not answered."""
        if self._open is not None:
            self._conv.row(self._open.row(), self._open.ts_us)
            self._open = None

    def _message(self, side: Side, head: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        conv = self._conv
        line = head.partition(b"\r\n")[0]
        parts = line.split(b" ", 2)
        response = line.startswith(b"SIP/")
        if len(parts) < 3 - response:
            conv.anomaly("invalid_data", side=side)
            return
        if self._events:
            described = sdp.parse(body) if body and (b"content-type", b"application/sdp") in _types(headers) else None
            first = text(line)
            if response:
                reason = text(parts[2]) if len(parts) > 2 else ""
                event = Sip(text(parts[0]), None, None, None, text(parts[1]), reason, first, described)
            else:
                event = Sip(text(parts[2]), text(parts[0]), text(parts[1]), first, sdp=described)
            conv.emit("sip", {"sip": event}, sender=side)
        self._count += 1
        if self._rows:
            self._remember(response, parts, headers)

    def _remember(self, response: bool, parts: list[bytes], headers: list[tuple[bytes, bytes]]) -> None:
        row = self._open
        if row is None:
            row = self._open = Open(self._conv.ts_us)
        words = row.words
        if response:
            row.code = int(parts[1]) if parts[1].isdigit() and len(parts[1]) < 6 else None
            words["status_msg"] = _raw(parts[2]) if len(parts) > 2 else ""
        else:
            words["method"], words["uri"] = _raw(parts[0]), _raw(parts[1])
        columns = RESPONSE_COLUMNS if response else REQUEST_COLUMNS
        for name, value in headers:
            column = columns.get(name)
            if column is not None:
                words[column] = _raw(value)
            elif name == b"from":
                words["response_from" if response else "request_from"] = _raw(_before(value, b"tag="))
            elif name == b"via" and len(row.paths[response]) < PATHS_MAX:
                row.paths[response].append(_raw(_before(value, b"branch")))
            elif name == b"content-length" and value.isdigit() and len(value) < 10:
                row.lengths[response] = int(value)
        if response:
            self._conv.row(row.row(), row.ts_us)
            if row.code is None or not 100 <= row.code < 200:
                self._open = None


def _types(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, Any]]:
    return [(name, value.partition(b";")[0].strip().lower()) for name, value in headers if name == b"content-type"]


def _before(value: bytes, parameter: bytes) -> bytes:
    """The value up to that parameter."""
    for mark in (b";" + parameter, b"; " + parameter):
        value = value.partition(mark)[0]
    return value


SPEC: Final = ProtocolSpec(
    name="sip", transports=("udp", "tcp"), ports=(5060, 5061), probe=probe,
    first=b"\r\nABCDEFGHIJKLMNOPQRSTUVWXYZ", parser=SipParser, service="sip", kinds=("sip",),
    weight=5,
)  # fmt: skip
