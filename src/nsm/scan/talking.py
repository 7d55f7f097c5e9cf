"""What all talks with services share: bounded listening, fields, and the text of others made harmless.

A talk is a generator (``nsm.model.interfaces.Talk``). It never waits, opens or counts time; it says what to send and is
given what came. ``Heard`` keeps what came, puts pieces together however they were cut, and stops at its bounds: a talk
that asks for more than ``ANSWER_BYTES_MAX`` or more often than ``ASKS_MAX`` is told that nothing came.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from typing import Final, TypeVar

from nsm.errors import MalformedError
from nsm.model.scan import BANNER_BYTES_MAX, Service

ANSWER_BYTES_MAX: Final = 16_384  # ours: read of one connection
ASKS_MAX: Final = 48  # ours: how often one talk sends or listens
LINE_BYTES_MAX: Final = 1_024  # ours: twice RFC 5321, section 4.5.3.1.5, since greetings of others are longer
DETAIL_CHARS_MAX: Final = 256  # ours: one fact of a service

T = TypeVar("T")
Asking = Generator[bytes, bytes, T]
"""A part of a talk that ends with a T."""


class Heard:
    """What the other side said in one talk and was not used yet."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False
        self._total = 0
        self._asks = 0

    @property
    def exhausted(self) -> bool:
        """Was a bound of the talk reached?"""
        return self._total >= ANSWER_BYTES_MAX or self._asks >= ASKS_MAX

    def ask(self, send: bytes = b"") -> Asking[bool]:
        """Send and listen once; is there anything new?"""
        if self.exhausted or (self.closed and not send):
            return False
        self._asks += 1
        got = (yield send)[: ANSWER_BYTES_MAX - self._total]
        self._total += len(got)
        self.data += got
        self.closed = not got
        return bool(got)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer when there are fewer."""
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def exactly(self, count: int, send: bytes = b"") -> Asking[bytes]:
        """The next ``count`` bytes after sending; MalformedError when they do not come."""
        if send:
            yield from self.ask(send)
        while len(self.data) < count:
            if count > ANSWER_BYTES_MAX or not (yield from self.ask()):
                raise MalformedError("scan.answer_too_short")
        return self.take(count)

    def peek(self, count: int, send: bytes = b"") -> Asking[bytes]:
        """The next bytes, left where they are; fewer than ``count`` when no more come."""
        if send:
            yield from self.ask(send)
        while len(self.data) < count and (yield from self.ask()):
            pass
        return self.data[:count]

    def until(self, end: bytes, limit: int = ANSWER_BYTES_MAX, send: bytes = b"") -> Asking[bytes]:
        """All up to and with ``end`` after sending; b"" when it does not come within ``limit`` bytes."""
        if send:
            yield from self.ask(send)
        while (at := self.data.find(end, 0, limit)) < 0:
            if len(self.data) >= limit or not (yield from self.ask()):
                return b""
        return self.take(at + len(end))

    def line(self, send: bytes = b"") -> Asking[bytes]:
        """The next line without its end (LF or CR LF); b"" when none comes."""
        whole = yield from self.until(b"\n", LINE_BYTES_MAX, send)
        return whole.rstrip(b"\r\n")

    def rest(self, limit: int = ANSWER_BYTES_MAX) -> Asking[bytes]:
        """All that still comes, up to ``limit`` bytes."""
        while len(self.data) < limit and (yield from self.ask()):
            pass
        return self.take(limit)


def reply(heard: Heard, send: bytes = b"") -> Asking[tuple[int, str]]:
    """A reply of FTP, SMTP or NNTP: code and text, the lines of a long one joined; (0, "") when it is none.

    RFC 959, section 4.2 and RFC 5321, section 4.2.1: a hyphen after the code says that more lines follow.
    """
    line = yield from heard.line(send)
    found = re.match(rb"(\d{3})([ -]|$)", line)
    if found is None:
        return 0, ""
    lines = [line[4:]]
    while found[2] == b"-" and line[:4] != found[1] + b" " and len(lines) < ASKS_MAX:
        line = yield from heard.line()
        if not line and heard.closed:
            break
        lines.append(line[4:] if line[:3] == found[1] else line)
    return int(found[1]), "\n".join(clean(item, LINE_BYTES_MAX) for item in lines)


def clean(data: bytes | str, limit: int = DETAIL_CHARS_MAX) -> str:
    """Text of others on one line: what cannot be printed is escaped, the rest is cut."""
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    text = " ".join(text[: 4 * limit].split())
    if not text.isprintable():
        text = "".join(item if item.isprintable() else f"\\x{ord(item):02x}" for item in text)
    return text[:limit]


def escaped(data: bytes) -> str:
    """A banner as it came, in printable ASCII, at most 512 characters."""
    out = "".join(_ESCAPES[byte] for byte in data[:BANNER_BYTES_MAX].rstrip(b"\r\n\0"))
    return out[:BANNER_BYTES_MAX]


_NAMED: Final = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x5C: "\\\\"}
_ESCAPES: Final = tuple(_NAMED.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in range(256))


def product_of(text: str, table: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """(product, version) by the first pattern of (product, pattern) that is in the text; the group is the version."""
    for product, pattern in table:
        found = re.search(pattern, text)
        if found:
            return product, clean((found[1] or "") if found.re.groups else "", 64)
    return "", ""


def details(**facts: object) -> dict[str, str]:
    """Facts as text, without those that are not known (None, False, empty); True is "yes"."""
    texts = {
        name: "yes" if value is True else clean(", ".join(value) if isinstance(value, (list, tuple)) else str(value))
        for name, value in facts.items()
        if value not in (None, False, "", (), [])
    }
    return {name: text for name, text in texts.items() if text}


def recognised(
    name: str, product: str = "", version: str = "", *, how: str = "handshake", confidence: float = 0.95,
    banner: bytes = b"", facts: dict[str, str] | None = None,
) -> Service:  # fmt: skip
    """A Service whose texts are harmless."""
    return Service(
        name=name, product=clean(product, 64), version=clean(version, 64), how=how, confidence=confidence,
        banner=escaped(banner), details=facts or {},
    )  # fmt: skip


class Fields:
    """Reads fields from bytes that are all there; past the end is MalformedError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read."""
        return len(self._data) - self.at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count < 0 or count > self.left:
            raise MalformedError("scan.field_past_end")
        self.at += count
        return self._data[self.at - count : self.at]

    def big(self, size: int) -> int:
        """An unsigned number, most significant byte first."""
        return int.from_bytes(self.take(size), "big")

    def little(self, size: int) -> int:
        """An unsigned number, least significant byte first."""
        return int.from_bytes(self.take(size), "little")

    def until_zero(self) -> bytes:
        """Bytes up to a zero byte, which is skipped."""
        end = self._data.find(b"\0", self.at)
        if end < 0:
            raise MalformedError("scan.field_past_end")
        taken = self.take(end - self.at)
        self.at += 1
        return taken
