"""POP3: one pop3 event a command with its answer. RFC 1939; STLS RFC 2595, SASL RFC 5034, CAPA RFC 2449.

Mails themselves (RETR, TOP) are passed over, and passwords are not kept.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Side
from nsm.wire.http_head import text

LINE_BYTES_MAX: Final = 4096  # ours: RFC 2449 section 4 allows 255 and 512
PENDING_MAX: Final = 256  # ours: commands without answer
DATA_MAX: Final = 256  # ours: lines of a list that its event shows
HIDDEN: Final = "<hidden>"

COMMANDS: Final = frozenset((
    b"USER", b"PASS", b"APOP", b"AUTH", b"CAPA", b"DELE", b"LIST", b"NOOP", b"QUIT", b"RETR", b"RSET", b"STAT", b"STLS",
    b"TOP", b"UIDL", b"UTF8", b"LANG", b"XTND",
))  # fmt: skip # IANA, "POP3 Capabilities", and RFC 1939
SECRETS: Final = frozenset((b"PASS", b"APOP", b"AUTH"))
MAILS: Final = frozenset((b"RETR", b"TOP"))


class Pop3Request(Record):
    """What was asked."""

    command: str
    args: list[str]


class Pop3Response(Record):
    """What came back."""

    success: bool
    status: str
    header: str
    data: list[str] | None = None


class Pop3Record(Record):
    """The pop3 object of EVE."""

    request: Pop3Request | None = None
    response: Pop3Response | None = None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A greeting, or a client's first command; either is too short a magic without the port or the word itself."""
    if side is Side.SERVER:
        line, end, _ = data[:512].partition(b"\n")
        if not line.startswith(b"+OK"[: len(line)]):
            return Match.NO
        if port and len(line) > 3:
            return Match.YES
        return (
            Match.YES
            if b"POP" in line.upper() and len(line) > 3
            else Match.NO
            if end or len(data) >= 512
            else Match.MORE
        )
    word = data[:5].upper()
    if port and (word[:4] in {b"CAPA", b"STLS"} or word in {b"USER ", b"APOP ", b"AUTH "}):
        return Match.YES
    return Match.MORE if port and data and any(name.startswith(word) for name in COMMANDS) else Match.NO


class Pop3Parser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._pending: deque[tuple[bytes, list[str]]] = deque()
        self._greeted = self._waiting = self._switched = self._secret = False
        self._skipping = [False, False]  # to the end of a line
        self._open: tuple[Pop3Request | None, str] | None = None  # an answer of several lines under way
        self._data: list[str] | None = None
        self._line_start = True
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Lines of both sides; of mails only the end is looked for."""
        at = 0
        while at < len(data) and not self._switched:
            if side is Side.CLIENT and self._waiting:
                break
            if side is Side.SERVER and self._open is not None and self._data is None:
                used = self._mail(data, at)
                if not used:
                    break
                at += used
                continue
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at <= LINE_BYTES_MAX:
                    break
                self._skipping[side] = True
                return len(data)
            if self._skipping[side]:
                self._skipping[side] = False
            elif side is Side.CLIENT:
                self._command(data[at:end].rstrip(b"\r"))
            else:
                self._answer(data[at:end].rstrip(b"\r"))
            at = end + 1
        return at

    def gap(self, side: Side, size: int) -> bool:
        """On with the next line; which commands were answered is not known any more."""
        if side is Side.SERVER and self._open is not None and self._data is None:
            self._line_start = False
            return True
        self._skipping[side] = True
        self._pending.clear()
        self._waiting = False
        self._end()
        return True

    def finish(self) -> None:
        """What was not answered."""
        self._end()
        while self._pending:
            name, args = self._pending.popleft()
            self._emit(Pop3Request(command=text(name), args=args), None)

    def _command(self, line: bytes) -> None:
        if self._secret:
            self._secret = False
            return
        words = line.split()
        name = words[0].upper() if words else b""
        if name not in COMMANDS:
            self._conv.anomaly("unknown_command", side=Side.CLIENT, tx_id=self._count)
            name = name[:32] if name.isalnum() else b""
        if len(self._pending) >= PENDING_MAX:
            return
        args = [text(word) for word in words[1:]]
        if name in SECRETS:
            args = args[:1] + [HIDDEN] * (len(args) - 1) if name != b"PASS" else [HIDDEN]
        self._pending.append((name, args))
        self._waiting = name == b"STLS"

    def _answer(self, line: bytes) -> None:
        if self._open is not None:
            self._list_line(line)
            return
        status, _, header = line.partition(b" ")
        if status == b"+":
            self._secret = True
            return
        if status not in {b"+OK", b"-ERR"}:
            return
        request: Pop3Request | None = None
        name = b""
        args: list[str] = []
        if not self._greeted and (not self._pending or self._pending[0][0] != b"STLS"):
            self._greeted = True
        elif self._pending:
            name, args = self._pending.popleft()
            request = Pop3Request(command=text(name), args=args)
        good = status == b"+OK"
        if good and (name in MAILS or name == b"CAPA" or (name in {b"LIST", b"UIDL"} and not args)):
            self._open = (request, text(header))
            self._data = None if name in MAILS else []
            self._line_start = True
            return
        self._emit(request, Pop3Response(success=good, status="OK" if good else "ERR", header=text(header)))
        if name == b"STLS":
            self._waiting = False
            if good:
                self._switched = True
                self._conv.switch("tls")

    def _list_line(self, line: bytes) -> None:
        if line == b".":
            self._end()
        elif self._data is not None and len(self._data) < DATA_MAX:
            self._data.append(text(line))

    def _mail(self, data: bytes, at: int) -> int:
        """Pass over a mail up to the line with a single dot."""
        if self._line_start and data[at] == 46:
            if data.startswith((b".\r\n", b".\n"), at):
                self._end()
                return 3 if data[at + 1] == 13 else 2
            if data[at:] in {b".", b".\r"}:
                return 0
            self._line_start = False
            return 1
        end = data.find(b"\n.", at)
        self._line_start = end >= 0 or data[-1] == 10
        return (end + 1 if end >= 0 else len(data)) - at

    def _end(self) -> None:
        if self._open is not None:
            request, header = self._open
            self._open = None
            self._emit(request, Pop3Response(success=True, status="OK", header=header, data=self._data or None))
            self._data = None

    def _emit(self, request: Pop3Request | None, response: Pop3Response | None) -> None:
        if self._conv.wants("pop3"):
            self._conv.emit("pop3", {"pop3": Pop3Record(request=request, response=response)}, tx_id=self._count)
        self._count += 1


SPEC: Final = ProtocolSpec(
    name="pop3", transports=("tcp",), ports=(110,), probe=probe, parser=Pop3Parser, service="pop3", kinds=("pop3",), weight=3,
)  # fmt: skip
