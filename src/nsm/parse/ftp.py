"""FTP: one ftp event a command with its answers, rows of transfers, data channels announced. RFC 959, 2428 (EPSV), 4217 (TLS).

Long because a command, its answers and the data channel that it opens are told together.
"""

from __future__ import annotations

import re
from collections import deque
from ipaddress import ip_address
from typing import Any, Final

from nsm.model.protocol import Addr, Conversation, Match, Port, ProtocolSpec, Record, Row, Side
from nsm.wire.ftp_note import FtpNote
from nsm.wire.http_head import text

LINE_BYTES_MAX: Final = 4096  # Suricata's max-line-length
PENDING_MAX: Final = 256  # ours: commands without answer
REPLIES_MAX: Final = 512  # ours: lines of one command's answers that the event lists
PATH_BYTES_MAX: Final = 4096  # ours: of the directory that is followed
GUESTS: Final = frozenset(("anonymous", "ftp", "ftpuser", "guest"))  # Zeek's FTP::guest_ids
HIDDEN: Final = "<hidden>"

COMMANDS: Final = frozenset((
    b"ABOR", b"ACCT", b"ALLO", b"APPE", b"AUTH", b"CCC", b"CDUP", b"CLNT", b"CONF", b"CWD", b"DELE", b"ENC", b"EPRT",
    b"EPSV", b"FEAT", b"HELP", b"HOST", b"LANG", b"LIST", b"LPRT", b"LPSV", b"MDTM", b"MFMT", b"MIC", b"MKD", b"MLSD",
    b"MLST", b"MODE", b"NLST", b"NOOP", b"OPTS", b"PASS", b"PASV", b"PBSZ", b"PORT", b"PROT", b"PWD", b"QUIT", b"REIN",
    b"REST", b"RETR", b"RMD", b"RNFR", b"RNTO", b"SITE", b"SIZE", b"SMNT", b"STAT", b"STOR", b"STOU", b"STRU", b"SYST",
    b"TYPE", b"USER", b"XCUP", b"XMKD", b"XPWD", b"XRMD",
))  # fmt: skip # IANA, "FTP Commands and Extensions"
TRANSFERS: Final = frozenset(("RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD"))
LOGGED: Final = frozenset(("APPE", "DELE", "RETR", "STOR", "STOU", "ACCT", "PORT", "PASV", "EPRT", "EPSV"))  # Zeek's
URLED: Final = frozenset(("APPE", "DELE", "RETR", "STOR", "STOU"))
# Answers that only some commands get: when one is lost, the others still find their own. RFC 959 section 5.4.
ANSWERS_OF: Final = {
    b"227": frozenset(("PASV",)), b"229": frozenset(("EPSV",)), b"257": frozenset(("PWD", "XPWD", "MKD", "XMKD")),
    b"226": TRANSFERS | {"ABOR"}, b"150": TRANSFERS, b"331": frozenset(("USER",)), b"234": frozenset(("AUTH",)),
    b"221": frozenset(("QUIT", "RETR", "STOR")),
}  # fmt: skip
_SIX: Final = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3}),(\d{1,3})")  # RFC 959 section 4.2
_BYTES: Final = re.compile(r"\((\d{1,18}) bytes\)")


class FtpRecord(Record):
    """The ftp object of EVE."""

    command_truncated: bool
    reply_truncated: bool
    reply_received: str
    command: str | None = None
    command_data: str | None = None
    reply: list[str] | None = None
    completion_code: list[str] | None = None
    dynamic_port: int | None = None
    mode: str | None = None


class FtpRow(Row):
    """A line of Zeek's ftp.log."""

    user: str
    password: str | None
    command: str
    arg: str | None
    mime_type: str | None
    file_size: int | None
    reply_code: int | None
    reply_msg: str | None
    data_channel__passive: bool | None
    data_channel__orig_h: Addr | None
    data_channel__resp_h: Addr | None
    data_channel__resp_p: Port | None
    fuid: str | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A greeting that says FTP, or a log-in."""
    if side is Side.CLIENT:
        word = data[:5].upper()
        if word in {b"USER ", b"AUTH "} or (port and data[:4].upper() in {b"FEAT", b"SYST", b"HOST", b"PASS"}):
            return Match.YES if port or (b"\n" in data and word == b"AUTH ") else Match.NO
        return Match.MORE if port and data and any(name.startswith(word) for name in COMMANDS) else Match.NO
    line, end, _ = data[:LINE_BYTES_MAX].partition(b"\n")
    if line[:4] not in {b"220 ", b"220-"}:
        return Match.MORE if b"220".startswith(line[:3]) and len(line) < 4 and not end else Match.NO
    upper = line.upper()
    if b"SMTP" in upper:
        return Match.NO
    if b"FTP" in upper or port:
        return Match.YES
    return Match.NO if end or len(line) == LINE_BYTES_MAX else Match.MORE


class Command:
    """A command and what came back."""

    __slots__ = (
        "arg",
        "codes",
        "cut",
        "mode",
        "name",
        "number",
        "passive",
        "port",
        "replies",
        "reply_cut",
        "shown",
        "where",
    )

    def __init__(self, name: str, arg: str, shown: str, number: int) -> None:
        self.name, self.arg, self.shown, self.number = name, arg, shown, number
        self.replies: list[str] = []
        self.codes: list[str] = []
        self.cut = self.reply_cut = False
        self.port: int | None = None
        self.mode: str | None = None
        self.passive: bool | None = None
        self.where: str | None = None


class FtpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._limit = _size(conv.option("max_line_length", LINE_BYTES_MAX))
        self._pending: deque[Command] = deque()
        self._count = 0
        self._user = "<unknown>"
        self._password: str | None = None
        self._cwd = "."
        self._note: FtpNote | None = None
        self._skipping = [False, False]  # to the end of an overlong line
        self._lost = [False, False]  # is the beginning of the next line unknown?
        self._code = b""  # of an answer of several lines
        self._last: tuple[Command, int, str] | None = None
        self._rows = 0
        self._size: int | None = None
        self._waiting = self._switched = self._greeted = False
        self._greeting: Command | None = None

    def feed(self, side: Side, data: bytes) -> int:
        """Lines of both sides."""
        at = 0
        while at < len(data) and not self._switched:
            if side is Side.CLIENT and self._waiting:
                break
            end = data.find(b"\n", at)
            if end < 0:
                return at + self._unended(side, data, at)
            if self._skipping[side]:
                self._skipping[side] = False
            elif self._lost[side] and not self._begins(side, data[at : at + 5]):
                self._lost[side] = False
            else:
                self._lost[side] = False
                cut = end - at > self._limit
                line = data[at : at + self._limit] if cut else data[at:end].rstrip(b"\r")
                self._line(side, line, cut)
            at = end + 1
        return at

    def gap(self, side: Side, size: int) -> bool:
        """On with the next line that looks like one."""
        self._lost[side], self._skipping[side] = True, False
        if side is Side.SERVER:
            for command in self._pending:  # most are obeyed
                self._moved(command)
            self._pending.clear()
            self._waiting = False
        return True

    def finish(self) -> None:
        """Commands that nobody answered, and the row of a session without transfers."""
        while self._pending:
            command = self._pending.popleft()
            self._emit(command)
            if command.name in LOGGED and self._last is not None and self._last[0] is command:
                self._row(*self._last)
        if not self._rows and self._last is not None:
            self._row(*self._last)

    @staticmethod
    def _begins(side: Side, word: bytes) -> bool:
        """Does a line begin so?"""
        if side is Side.SERVER:
            return word[:3].isdigit() and word[3:4] in {b" ", b"-"}
        return word.split(b" ")[0].strip().upper() in COMMANDS

    def _unended(self, side: Side, data: bytes, at: int) -> int:
        if len(data) - at < self._limit:
            return 0
        if not self._skipping[side]:
            self._line(side, data[at : at + self._limit], cut=True)
            self._skipping[side] = True
        return len(data) - at

    def _line(self, side: Side, line: bytes, cut: bool) -> None:
        if cut:
            name = "request_command_too_long" if side is Side.CLIENT else "response_command_too_long"
            self._conv.anomaly(name, side=side, tx_id=self._count)
        if side is Side.CLIENT:
            self._command(line, cut)
        else:
            self._reply(line, cut)

    # Commands.

    def _command(self, line: bytes, cut: bool) -> None:
        word, _, rest = line.strip(b" \t\0").partition(b" ")
        word = word.upper()
        if word not in COMMANDS or len(self._pending) >= PENDING_MAX:
            return
        name, arg = word.decode("ascii"), text(rest.strip(b" "))
        command = Command(name, arg, self._log_in(name, arg), self._count)
        command.cut = cut
        self._count += 1
        if name in {"PORT", "EPRT"}:
            self._active(command)
        elif name in TRANSFERS and self._note is not None:
            self._note.command, self._note.filename = name, arg if name in URLED else ""
        elif name == "AUTH":
            self._waiting = True
        self._pending.append(command)

    def _log_in(self, name: str, arg: str) -> str:
        """What may be shown of an argument: passwords of guests only."""
        if name == "USER":
            self._user = arg
        elif name == "PASS":
            self._password = arg if self._user.lower() in GUESTS else HIDDEN
            return self._password
        elif name == "ACCT":
            return HIDDEN
        return arg

    def _active(self, command: Command) -> None:
        host, port = _six(command.arg) if command.name == "PORT" else _extended(command.arg, self._conv.client)
        if not port:
            return
        command.port, command.mode, command.passive, command.where = port, "active", False, host
        self._expect(port, {host, self._conv.client})

    def _expect(self, port: int, hosts: set[str]) -> None:
        self._note = FtpNote()
        for host in sorted(hosts):
            self._conv.expect(host, port, "ftp-data", self._note)

    # Answers.

    def _reply(self, line: bytes, cut: bool) -> None:
        code, mark = line[:3], line[3:4]
        coded = len(code) == 3 and code.isdigit() and mark in {b"", b" ", b"-"}
        more = mark == b"-" if not self._code else not (coded and code == self._code and mark != b"-")
        said = text(line[4:] if coded else line)
        if self._greeting is None and not self._greeted and code in {b"220", b"120", b"421"}:
            self._greeting = Command("", "", "", self._count)
            self._count += 1
        self._greeted = True
        command = self._greeting or self._asked(code)
        if command is not None and len(command.replies) < REPLIES_MAX:
            command.replies.append(said)
            if coded:
                command.codes.append(code.decode("ascii"))
            command.reply_cut = command.reply_cut or cut
        if more:
            self._code = self._code or code if coded else self._code
            return
        self._code = b""
        if command is self._greeting and command is not None:
            self._greeting = None
            self._emit(command)
        elif coded and command is not None:
            self._answered(command, int(code), said)

    def _asked(self, code: bytes) -> Command | None:
        """The command that an answer belongs to: the first, unless it is a later one's for sure."""
        if not self._pending:
            return None
        first = self._pending[0]
        asked = ANSWERS_OF.get(code)
        if asked is None or first.name in asked:
            return first
        return next((command for command in self._pending if command.name in asked), first)

    def _answered(self, command: Command, code: int, said: str) -> None:
        self._last = (command, code, said)
        found = _BYTES.search(said)
        if found is not None:
            self._size = int(found[1])
        if code < 200:
            return
        self._pending.remove(command)
        name = command.name
        if name in {"PASV", "EPSV"} and code in {227, 229}:
            self._passive(command, said)
        elif name == "SIZE" and code == 213 and said.isdigit() and len(said) < 19:
            self._size = int(said)
        elif code in {200, 250}:
            self._moved(command)
        elif code == 257 and name in {"PWD", "XPWD"} and said[:1] == '"':
            self._cwd = said[1:].partition('"')[0][:PATH_BYTES_MAX]
        self._emit(command)
        if name in LOGGED:
            self._row(command, code, said)
        if name == "AUTH":
            self._waiting = False
            if code == 234:
                self._switched = True
                self._conv.switch("tls")

    def _moved(self, command: Command) -> None:
        """The session's directory, should the command be one that changes it."""
        if command.name in {"CWD", "CDUP", "XCUP"}:
            self._cwd = _joined(self._cwd, command.arg if command.name == "CWD" else "..")

    def _passive(self, command: Command, said: str) -> None:
        host, port = _six(said) if command.name == "PASV" else _extended(said, self._conv.server)
        if port:
            command.port, command.mode, command.passive, command.where = port, "passive", True, host
            self._expect(port, {host, self._conv.server})

    # What is said.

    def _emit(self, command: Command) -> None:
        if not self._conv.wants("ftp"):
            return
        record = FtpRecord(
            command_truncated=command.cut, reply_truncated=command.reply_cut,
            reply_received="yes" if command.replies else "no", command=command.name or None, command_data=command.shown or None,
            reply=command.replies or None, completion_code=command.codes or None, dynamic_port=command.port,
            mode=command.mode,
        )  # fmt: skip
        self._conv.emit("ftp", {"ftp": record}, tx_id=command.number)

    def _row(self, command: Command, code: int, said: str) -> None:
        self._rows += 1
        if not self._conv.rows:
            return
        conv, channel = self._conv, command.passive is not None
        moved = command.name in URLED
        self._conv.row(FtpRow(
            user=self._user, password=self._password, command=command.name,
            arg=self._url(command.arg) if moved else command.shown or None, mime_type=None,
            file_size=self._size if command.name in {"RETR", "STOR", "STOU", "APPE"} else None, reply_code=code,
            reply_msg=said, data_channel__passive=command.passive,
            data_channel__orig_h=Addr(conv.client if command.passive else conv.server) if channel else None,
            data_channel__resp_h=Addr(command.where or "") if channel else None,
            data_channel__resp_p=Port(command.port or 0) if channel else None, fuid=None,
        ))  # fmt: skip
        if moved:
            self._size = None

    def _url(self, arg: str) -> str:
        server = self._conv.server
        host = f"[{server}]" if ":" in server else server
        path = arg if arg[:1] == "/" else _joined(self._cwd, arg)
        return f"ftp://{host}{path}" if path[:1] == "/" else f"ftp://{host}/{path}"


def _joined(cwd: str, part: str) -> str:
    """A path below a directory, ``..`` taken away where there is something to take."""
    if part[:1] == "/":
        return part[:PATH_BYTES_MAX]
    kept = cwd.rstrip("/").split("/")
    for step in part.split("/"):
        if step == ".." and len(kept) > 1 and kept[-1] != "..":
            kept.pop()
        elif step and step != ".":
            kept.append(step)
    return "/".join(kept)[:PATH_BYTES_MAX]


def _six(value: str) -> tuple[str, int]:
    """(address, port) of ``h1,h2,h3,h4,p1,p2``; port 0: none."""
    found = _SIX.search(value)
    if found is None:
        return "", 0
    numbers = [int(part) for part in found.groups()]
    if max(numbers) > 255:
        return "", 0
    return ".".join(map(str, numbers[:4])), numbers[4] << 8 | numbers[5]


def _extended(value: str, default: str) -> tuple[str, int]:
    """(address, port) of ``|1|10.0.0.1|6446|`` or ``(|||6446|)``. RFC 2428 sections 2 and 3."""
    value = value[value.rfind("(") + 1 :].partition(")")[0].strip()
    parts = value.split(value[:1]) if value else []
    if len(parts) < 4 or not parts[3].isdigit() or len(parts[3]) > 5 or int(parts[3]) > 65535:
        return "", 0
    try:
        return (str(ip_address(parts[2])) if parts[2] else default), int(parts[3])
    except ValueError:
        return default, int(parts[3])


def _size(value: Any) -> int:
    """A number of bytes, or ``5kb`` as Suricata's settings have it."""
    if isinstance(value, int):
        return value
    digits = str(value).lower().removesuffix("ib").removesuffix("b")
    factor = {"k": 1024, "m": 1024 * 1024}.get(digits[-1:], 1)
    digits = digits.rstrip("km").strip()
    return min(int(digits) * factor, 60_000) if digits.isdigit() else LINE_BYTES_MAX


SPEC: Final = ProtocolSpec(
    name="ftp", transports=("tcp",), ports=(21, 2121), probe=probe, parser=FtpParser, service="ftp", kinds=("ftp",), weight=4,
)  # fmt: skip
