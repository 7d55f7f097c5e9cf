"""IRC: rows of irc.log for names, joined channels and offered files. RFC 2812; DCC: the CTCP notes.

EVE has no event of it. What is talked about is not read; passwords are never shown.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Row, Side

LINE_BYTES_MAX: Final = 8_704  # IRCv3: 8,191 of tags and 512 of RFC 2812, section 2.3
COMMANDS: Final = (b"NICK ", b"USER ", b"PASS ", b"CAP ", b"JOIN ")  # RFC 2812, section 3.1; IRCv3 capabilities
ANSWERS: Final = (b"NOTICE AUTH", b"NOTICE *", b"ERROR :", b"PING :")
DCC: Final = b"\x01DCC SEND "


class IrcRow(Row):
    """A line of irc.log."""

    nick: str | None
    user: str | None
    command: str
    value: str
    addl: str
    dcc_file_name: str | None = None
    dcc_file_size: int | None = None
    dcc_mime_type: str | None = None
    fuid: str | None = None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A client's first commands, or a server's notices and numbered answers."""
    line, end, rest = data[:1024].partition(b"\n")
    if line.startswith(COMMANDS):
        if not end:
            return Match.MORE if len(data) < 512 else Match.NO
        after = rest.startswith(COMMANDS) or line.startswith((b"CAP LS", b"CAP REQ", b"NICK ", b"USER "))
        if line.startswith(b"USER ") and not port:
            return Match.YES if len(line.split()) > 4 else Match.NO
        if port or (after and not line.startswith(b"PASS ")) or rest.startswith((b"NICK ", b"USER ")):
            return Match.YES
        return Match.MORE if len(data) < 64 and not rest else Match.NO
    words = line.split(b" ", 3)
    if data[:1] == b":" and len(words) > 2:
        numbered = len(words[1]) == 3 and words[1].isdigit()
        return Match.YES if numbered or words[1] in (b"NOTICE", b"PRIVMSG", b"JOIN", b"PING") else Match.NO
    if data.startswith(ANSWERS):
        return Match.YES if port or line.startswith(b"NOTICE") else Match.NO
    return (
        Match.MORE if 0 < len(data) < 6 and any(word.startswith(data) for word in (*COMMANDS, *ANSWERS)) else Match.NO
    )


class IrcParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._nick: str | None = None
        self._user: str | None = None
        if not conv.rows:
            conv.done()

    def feed(self, side: Side, data: bytes) -> int:
        """Read lines."""
        at = 0
        while True:
            end = data.find(b"\n", at)
            if end < 0:
                return len(data) if len(data) - at > LINE_BYTES_MAX else at
            self._line(side, data[at:end].rstrip(b"\r"))
            at = end + 1

    def gap(self, side: Side, size: int) -> bool:
        """The line that is cut is read as it is."""
        return True

    def finish(self) -> None:
        """Nothing is open."""

    def _line(self, side: Side, line: bytes) -> None:
        if line[:1] == b":":
            line = line.partition(b" ")[2]
        command, _, rest = line.partition(b" ")
        command = command.upper()
        if command == b"PRIVMSG" and DCC in rest:
            self._offer(rest.partition(DCC)[2])
        elif command == b"STARTTLS":
            return
        elif side is Side.SERVER:
            if command == b"670":  # IRCv3, STARTTLS: RPL_STARTTLS
                self._conv.switch("tls")
        elif command == b"NICK":
            nick = _text(rest.lstrip(b":"))
            self._row("NICK", nick, "")
            self._nick = nick
        elif command == b"USER":
            words = rest.split(b" ", 3)
            user = _text(words[0])
            self._row("USER", user, _text(b" ".join(word.lstrip(b":") for word in words[1:])))
            self._user = user
        elif command == b"JOIN":
            words = rest.split(b" ", 1)  # the second are the keys of the channels: passwords
            for channel in words[0].split(b",", 64)[:64]:
                self._row("JOIN", _text(channel), "")

    def _row(self, command: str, value: str, addl: str) -> None:
        self._conv.row(IrcRow(self._nick, self._user, command, value, addl))

    def _offer(self, rest: bytes) -> None:
        """DCC SEND name address port size."""
        words = rest.rstrip(b"\x01").rsplit(b" ", 3)
        if len(words) != 4 or not all(word.isdigit() and len(word) < 20 for word in words[1:]):
            return
        name, address, port, size = words
        number = int(address)
        if number >> 32 or int(port) > 65535:
            return
        host = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
        self._conv.expect(host, int(port), "irc-dcc-data")
        self._conv.row(IrcRow(self._nick, self._user, "DCC", "SEND", "", _text(name), int(size)))


SPEC: Final = ProtocolSpec(
    name="irc",
    transports=("tcp",),
    ports=(6667, 6666, 6668, 6669),
    probe=probe,
    parser=IrcParser,
    service="irc",
    weight=1,
)
