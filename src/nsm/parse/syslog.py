"""Syslog: one row of syslog.log a message. RFC 3164, section 4; RFC 5424, section 6; over TCP RFC 6587, section 3.4.

EVE has no event of it.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Enum, Match, ProtocolSpec, Row, Side

FACILITIES: Final = (
    "KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP", "NTP", "AUDIT",
    "ALERT", "CLOCK", "LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
)  # fmt: skip # RFC 5424, table 1, in Zeek's words
SEVERITIES: Final = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")  # RFC 5424, table 2
PRIORITY_MAX: Final = 191  # RFC 5424, section 6.2.1
UNSPECIFIED: Final = "UNSPECIFIED"
MESSAGE_BYTES_MAX: Final = 32_768  # ours: a longer line is no syslog


class SyslogRow(Row):
    """A line of syslog.log."""

    proto: Enum
    facility: str
    severity: str
    message: str


def priority_of(data: bytes) -> tuple[int, int]:
    """(priority, offset behind it); (-1, 0) without one."""
    if data[:1] != b"<":
        return -1, 0
    end = data.find(b">", 1, 5)
    digits = data[1:end] if end > 1 else b""
    if not digits.isdigit() or int(digits) > PRIORITY_MAX:
        return -1, 0
    return int(digits), end + 1


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A priority in angle brackets; over TCP with a length before it. On the port any text will do."""
    if not data:
        return Match.NO
    start = data
    head, space, rest = data[:8].partition(b" ")
    if head.isdigit() and len(head) < 6:
        if not space:
            return Match.MORE if len(data) < 8 else Match.NO
        if not rest:
            return Match.MORE
        start = data[len(head) + 1 :]
    if start[:1] == b"<":
        if priority_of(start)[0] >= 0:
            return Match.YES
        return Match.MORE if len(start) < 5 and (len(start) == 1 or start[1:].isdigit()) else Match.NO
    return Match.YES if port and side is Side.CLIENT and data[:32].isascii() and data[:1].isalpha() else Match.NO


class SyslogParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._tcp = conv.transport == "tcp"
        if not conv.rows:
            conv.done()

    def feed(self, side: Side, data: bytes) -> int:
        """Read messages."""
        if not self._tcp:
            self._message(data)
            return len(data)
        at = 0
        size = len(data)
        while at < size:
            space = data.find(b" ", at, at + 7)
            counted = data[at:space] if space > at else b""
            if counted.isdigit():
                end = space + 1 + int(counted)
                if end > size:
                    break
                self._message(data[space + 1 : end])
                at = end
                continue
            if size - at < 7 and data[at : at + 1].isdigit():
                break
            end = data.find(b"\n", at)
            if end < 0:
                if size - at > MESSAGE_BYTES_MAX:
                    self._conv.done()
                break
            self._message(data[at:end])
            at = end + 1
        return at

    def gap(self, side: Side, size: int) -> bool:
        """The line that is cut is one message; lengths may be lost."""
        return True

    def finish(self) -> None:
        """Nothing is open."""

    def _message(self, data: bytes) -> None:
        priority, at = priority_of(data)
        known = priority >= 0
        self._conv.row(
            SyslogRow(
                Enum(self._conv.transport),
                FACILITIES[priority >> 3] if known else UNSPECIFIED,
                SEVERITIES[priority & 7] if known else UNSPECIFIED,
                data[at:].decode("utf-8", "surrogateescape"),
            )
        )


SPEC: Final = ProtocolSpec(
    name="syslog",
    transports=("udp", "tcp"),
    ports=(514,),
    probe=probe,
    first=b"<0123456789",
    parser=SyslogParser,
    service="syslog",
)
