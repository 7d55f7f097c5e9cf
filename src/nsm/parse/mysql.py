"""MySQL: one row a command with its answer, as Zeek has it. MySQL documentation, "Client/Server Protocol".

Rows of results are passed over; of passwords nothing is read.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Row, Side
from nsm.wire.http_head import text

SHOWN_BYTES_MAX: Final = 32_768  # ours: of a packet; what follows is passed over
GREETING_BYTES_MAX: Final = 1024  # ours: of a server's first packet
PARAMETERS_MAX: Final = 256  # ours: query attributes that are read over
PROTOCOL_10: Final = 10
CLIENT_PROTOCOL_41, CLIENT_SSL, CLIENT_QUERY_ATTRIBUTES = 0x200, 0x800, 0x8000000  # "Capabilities Flags"
OK, MORE, SWITCH, ERROR = 0x00, 0x01, 0xFE, 0xFF  # first bytes of an answer

COMMANDS: Final = (
    "sleep", "quit", "init_db", "query", "field_list", "create_db", "drop_db", "refresh", "shutdown", "statistics",
    "process_info", "connect", "process_kill", "debug", "ping", "time", "delayed_insert", "change_user", "binlog_dump",
    "table_dump", "connect_out", "register_slave", "stmt_prepare", "stmt_execute", "stmt_send_long_data", "stmt_close",
    "stmt_reset", "set_option", "stmt_fetch", "daemon", "binlog_dump_gtid", "reset_connection",
)  # fmt: skip # "Command Phase"
QUIT, QUERY, CHANGE_USER, LONG_DATA, CLOSE = 1, 3, 17, 24, 25
TEXTUAL: Final = frozenset((2, 3, 5, 6, 22))  # commands whose argument is text
FIXED: Final = {1: 1, 2: 2, 13: 2, 3: 4, 9: 4, 4: 4, 8: 8, 5: 8, 6: 0}  # "Binary Protocol Value": sizes by type
DATED: Final = frozenset((7, 10, 11, 12))  # a byte of length before them

LOGIN_WAIT, LOGIN, COMMAND, RESULT = range(4)


class MysqlRow(Row):
    """A line of Zeek's mysql.log."""

    cmd: str
    arg: str
    success: bool | None
    rows: int | None
    response: str | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A server's greeting with a version; of a client a log-in with its empty filler."""
    if len(data) < 5:
        return Match.MORE if side is Side.SERVER and (len(data) < 3 or data[2] == 0) else Match.NO
    size = int.from_bytes(data[:3], "little")
    if side is Side.SERVER:
        return _probe_greeting(data, size)
    if data[3] != 1 or not 32 <= size <= 4096:
        return Match.NO
    if len(data) < 36:
        return Match.MORE
    return Match.YES if not any(data[13:32]) and int.from_bytes(data[4:6], "little") & CLIENT_PROTOCOL_41 else Match.NO


def _probe_greeting(data: bytes, size: int) -> Match:
    if not 20 <= size <= GREETING_BYTES_MAX or data[3] or data[4] != PROTOCOL_10:
        return Match.NO
    version, end, _ = data[5:70].partition(b"\0")
    good = version.isascii() and (version[:1].isdigit() or not version)
    if not end:
        return Match.MORE if good and len(data) < 70 else Match.NO
    return Match.YES if good and b"." in version else Match.NO


def lenenc(data: bytes, at: int) -> tuple[int, int]:
    """(number, where it ends) of a length encoded integer."""
    first = data[at] if at < len(data) else 0
    size = {252: 2, 253: 3, 254: 8}.get(first, 0)
    if not size:
        return first, at + 1
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


class MysqlParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._state = LOGIN_WAIT
        self._attributes = False
        self._server_attributes = False
        self._cmd = self._arg = ""

    def feed(self, side: Side, data: bytes) -> int:
        """Packets, one after the other."""
        at = 0
        while len(data) - at >= 4:
            size = int.from_bytes(data[at : at + 3], "little")
            read = self._state != RESULT if side is Side.SERVER else True
            shown = min(size, SHOWN_BYTES_MAX) if read else 0
            if len(data) - at < 4 + shown:
                break
            end = at + 4 + size
            body = data[at + 4 : at + 4 + shown]
            left = self._client(data[at + 3], body) if side is Side.CLIENT else self._server(body)
            if left:
                return min(end, len(data))
            at = end
            if at > len(data):
                self._conv.skip(side, at - len(data))
                return len(data)
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next packet begins is not to be found."""
        return False

    def finish(self) -> None:
        """A command that nobody answered."""
        if self._cmd:
            self._row(None, None, None)

    def _client(self, sequence: int, body: bytes) -> bool:
        """Read a client's packet; True: TLS follows."""
        if self._state in {LOGIN_WAIT, LOGIN} and not (self._state == LOGIN_WAIT and not sequence):
            return self._log_in(sequence, body)
        if sequence or not body:  # the rest of a long command, or a step of a change of user
            return False
        if self._cmd:
            self._row(None, None, None)
        code = body[0]
        self._cmd = COMMANDS[code] if code < len(COMMANDS) else f"unknown-{code}"
        self._arg = ""
        if code == QUERY and self._attributes:
            self._arg = text(_query(body))
        elif code in TEXTUAL:
            self._arg = text(body[1:])
        elif code == CHANGE_USER:
            self._arg = text(body[1:].partition(b"\0")[0])
        if code in {QUIT, LONG_DATA, CLOSE}:
            self._row(None, None, None)
        self._state = COMMAND
        return False

    def _log_in(self, sequence: int, body: bytes) -> bool:
        if self._state == LOGIN or len(body) < 4:  # steps behind the log-in's first packet are secrets
            return False
        flags = int.from_bytes(body[:4], "little")
        if flags & CLIENT_SSL and len(body) == 32:
            self._conv.switch("tls")
            return True
        self._attributes = bool(flags & CLIENT_QUERY_ATTRIBUTES) and self._server_attributes
        start = 32 if flags & CLIENT_PROTOCOL_41 else 5
        self._cmd, self._arg = "login", text(body[start:].partition(b"\0")[0])
        self._state = LOGIN
        return False

    def _server(self, body: bytes) -> bool:
        if not body:
            return False
        first = body[0]
        if self._state == LOGIN_WAIT:
            self._greeting(body)
        elif self._cmd and self._state != RESULT:
            if self._state == LOGIN and first in {MORE, SWITCH}:
                return False
            if self._cmd == "change_user" and first in {MORE, SWITCH}:
                return False
            if first == ERROR:
                message = body[3:]
                self._row(False, None, text(message[6:] if message[:1] == b"#" else message))
            else:
                rows = lenenc(body, 1)[0] if first == OK else 0
                self._row(True, rows, None)
            self._state = RESULT
        return False

    def _greeting(self, body: bytes) -> None:
        if body[0] == ERROR:
            self._conv.done()
            return
        if body[0] != PROTOCOL_10:
            raise MalformedError("not_a_greeting")
        end = body.find(b"\0", 1)
        flags = body[end + 19 : end + 21] if end > 0 else b""  # behind thread id, salt, flags, charset, status
        self._server_attributes = bool(int.from_bytes(flags, "little") << 16 & CLIENT_QUERY_ATTRIBUTES)

    def _row(self, success: bool | None, rows: int | None, response: str | None) -> None:
        cmd, self._cmd = self._cmd, ""
        if self._conv.rows:
            self._conv.row(MysqlRow(cmd=cmd, arg=self._arg, success=success, rows=rows, response=response))


def _query(body: bytes) -> bytes:
    """The text of a query behind its attributes: COM_QUERY with CLIENT_QUERY_ATTRIBUTES."""
    count, at = lenenc(body, 1)
    _, at = lenenc(body, at)
    if not count:
        return body[at:]
    if count > PARAMETERS_MAX:
        return b""
    nulls = body[at : at + (count + 7) // 8]
    at += len(nulls) + 1
    kinds = []
    for _ in range(count):
        kinds.append(body[at] if at < len(body) else 6)
        size, at = lenenc(body, at + 2)
        at += size
    for number, kind in enumerate(kinds):
        if number // 8 < len(nulls) and nulls[number // 8] >> number % 8 & 1:
            continue
        if kind in FIXED:
            at += FIXED[kind]
        elif kind in DATED:
            at += 1 + (body[at] if at < len(body) else 0)
        else:
            size, at = lenenc(body, at)
            at += size
    return body[at:]


SPEC: Final = ProtocolSpec(
    name="mysql", transports=("tcp",), ports=(3306,), probe=probe, parser=MysqlParser, service="mysql", weight=10,
)  # fmt: skip
