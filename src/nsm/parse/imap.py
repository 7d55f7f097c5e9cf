"""IMAP: recognised, and followed to STARTTLS; nothing else of it is kept. RFC 9051, sections 6.2.1 and 7.1."""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side

LINE_BYTES_MAX: Final = 8192  # RFC 7162 section 4: what servers should take
LINES_MAX: Final = 64  # ours: STARTTLS comes among the first commands or not at all

GREETINGS: Final = (b"* OK", b"* PREAUTH", b"* BYE")
COMMANDS: Final = (b"CAPABILITY", b"STARTTLS", b"LOGIN ", b"AUTHENTICATE ", b"ID ", b"NOOP", b"LOGOUT")


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A greeting, or a tagged command."""
    line, end, _ = data[:LINE_BYTES_MAX].partition(b"\n")
    if side is Side.SERVER:
        if line.startswith(GREETINGS):
            upper = line.upper()
            if port or b"IMAP" in upper or b"CAPABILITY" in upper:
                return Match.YES
            return Match.NO if end else Match.MORE
        return Match.MORE if not end and any(word.startswith(line) for word in GREETINGS) else Match.NO
    tag, space, rest = line.partition(b" ")
    if not 0 < len(tag) <= 16 or not tag.isalnum():
        return Match.NO
    if not space or not end:
        return Match.MORE if port and len(line) < 64 else Match.NO
    return Match.YES if (port or tag[-1:].isdigit()) and rest.upper().startswith(COMMANDS) else Match.NO


class ImapParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._tag = b""
        self._lines = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Lines, until the session is encrypted, logged in or not worth it."""
        at = 0
        while at < len(data):
            if side is Side.CLIENT and self._tag:
                return at
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at > LINE_BYTES_MAX:
                    self._conv.done()
                return at
            line, at = data[at:end].strip(), end + 1
            self._lines += 1
            if self._line(side, line):
                return at
            if self._lines > LINES_MAX:
                self._conv.done()
                return len(data)
        return at

    def _line(self, side: Side, line: bytes) -> bool:
        """Read a line; True: nothing of this protocol follows."""
        if side is Side.CLIENT:
            tag, _, command = line.partition(b" ")
            if command.upper() == b"STARTTLS":
                self._tag = tag
            elif command[:6].upper() == b"LOGIN " or command[:12].upper() == b"AUTHENTICATE":
                self._conv.done()
                return True
        elif self._tag and line.startswith(self._tag + b" "):
            good = line[len(self._tag) + 1 :][:2].upper() == b"OK"
            self._tag = b""
            if good:
                self._conv.switch("tls")
            return good
        return False

    def gap(self, side: Side, size: int) -> bool:
        """Whether STARTTLS was in it is not known."""
        return False

    def finish(self) -> None:
        """Nothing is open."""


SPEC: Final = ProtocolSpec(
    name="imap", transports=("tcp",), ports=(143,), probe=probe, parser=ImapParser, service="imap", weight=3,
)  # fmt: skip
