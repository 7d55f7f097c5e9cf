"""DTLS: the handshake of each flow, out of records in datagrams. RFC 6347, section 4; RFC 9147, section 4.

EVE has no event of its own for it: it is told as ``tls``, with versions that say what it is. Datagrams between that are
something else (STUN and media share the port, RFC 7983) are left alone.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.tls_session import TlsSession

CHANGE_CIPHER: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION: Final = 23
RECORD_HEAD: Final = 13  # RFC 6347, section 4.1
MESSAGE_HEAD: Final = 12  # RFC 6347, section 4.2.2
MESSAGE_BYTES_MAX: Final = 65_536  # ours: a chain of certificates stays below
FRAGMENTS_MAX: Final = 128  # ours: of one message; of 65,536 bytes in datagrams of 1,200 there are 55
AHEAD_MAX: Final = 16  # ours: messages that came before their turn
RECORDS_MAX: Final = 64  # ours: in one datagram

_VERSIONS: Final = frozenset((0xFEFF, 0xFEFD, 0x0100))  # 1.0, 1.2 (1.3 says 1.2), OpenSSL's first


def probe(data: bytes, side: Side, port: bool) -> Match:
    """One whole record head; of what is encrypted the port has to speak too."""
    if len(data) < RECORD_HEAD + 1:
        return Match.NO
    if not CHANGE_CIPHER <= data[0] <= APPLICATION + 2 or data[1] << 8 | data[2] not in _VERSIONS:
        return Match.NO
    size = data[11] << 8 | data[12]
    if not 0 < size <= len(data) - RECORD_HEAD:
        return Match.NO
    if data[0] == HANDSHAKE and data[3:5] == b"\0\0":
        return Match.YES if data[13] in {0, 1, 2, 3, 4, 8, 11, 12, 13, 14, 15, 16, 20, 22} else Match.NO
    return Match.YES


class _Message:
    """A handshake message on its way: fragments by their offset."""

    def __init__(self, kind: int, size: int) -> None:
        self.kind = kind
        self.size = size
        self.parts: dict[int, bytes] = {}

    def whole(self) -> bytes | None:
        """The message, once all of it is there; fragments may overlap."""
        body = b""
        for at in sorted(self.parts):
            if at > len(body):
                return None
            body += self.parts[at][len(body) - at :]
        return body[: self.size] if len(body) >= self.size else None


class DtlsParser:
    """One per flow. Holds the messages that are not complete, bounded in number and size."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._session = TlsSession(conv, "d")
        self._turned = False
        self._next = [0, 0]
        self._ahead: list[dict[int, _Message]] = [{}, {}]

    def feed(self, side: Side, data: bytes) -> int:
        """Read one datagram."""
        at, end = 0, len(data)
        session = self._session
        for _ in range(RECORDS_MAX):
            if at + RECORD_HEAD > end:
                break
            kind = data[at]
            if kind & 0xE0 == 0x20:  # the short head of DTLS 1.3, RFC 9147, section 4
                session.encrypted(self._role(side))
                break
            if not CHANGE_CIPHER <= kind <= APPLICATION + 2 or data[at + 1 : at + 3] not in (
                b"\xfe\xff",
                b"\xfe\xfd",
                b"\1\0",
            ):
                break
            size = data[at + 11] << 8 | data[at + 12]
            start = at + RECORD_HEAD
            at = start + size
            if at > end:
                break
            if data[start - 10 : start - 8] != b"\0\0":  # epoch: after the first it is encrypted
                session.encrypted(self._role(side))
            elif kind == HANDSHAKE:
                self._fragments(side, data[start:at])
            elif kind == CHANGE_CIPHER:
                session.change_cipher(self._role(side))
            elif kind == ALERT:
                session.alert(self._role(side), data[start:at])
            if session.finished:
                self._conv.done()
                break
        return end

    def _role(self, side: Side) -> Side:
        return side.other if self._turned else side

    def _fragments(self, side: Side, body: bytes) -> None:
        at, end = 0, len(body)
        while at + MESSAGE_HEAD <= end:
            kind = body[at]
            size = int.from_bytes(body[at + 1 : at + 4], "big")
            number = body[at + 4] << 8 | body[at + 5]
            offset = int.from_bytes(body[at + 6 : at + 9], "big")
            length = int.from_bytes(body[at + 9 : at + 12], "big")
            at += MESSAGE_HEAD
            if size > MESSAGE_BYTES_MAX or offset + length > size or at + length > end:
                return
            if kind in {1, 2} and not self._session.version and kind == 1 and side is Side.SERVER and not self._turned:
                self._turned = True
                self._session.flipped()
            self._fragment(side, kind, size, number, offset, body[at : at + length])
            at += length

    def _fragment(self, side: Side, kind: int, size: int, number: int, offset: int, part: bytes) -> None:
        ahead = self._ahead[side]
        if not ahead and self._next[side] == 0 and number > 0 and not self._session.version:
            self._next[side] = number  # picked up in the middle
        if number < self._next[side] or (number not in ahead and len(ahead) >= AHEAD_MAX):
            return
        message = ahead.setdefault(number, _Message(kind, size))
        if message.kind == kind and message.size == size and len(message.parts) < FRAGMENTS_MAX:
            message.parts.setdefault(offset, part)
        while True:
            ready = ahead.get(self._next[side])
            whole = ready.whole() if ready is not None else None
            if ready is None or whole is None:
                return
            del ahead[self._next[side]]
            self._next[side] += 1
            self._message(side, ready.kind, whole)

    def _message(self, side: Side, kind: int, body: bytes) -> None:
        if kind == 2 and len(body) >= 2 and not self._session.version:
            self._session.version = body[0] << 8 | body[1]
        try:
            self._session.message(self._role(side), kind, body)
        except MalformedError:
            self._conv.anomaly("INVALID_HANDSHAKE_MESSAGE", side=side)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have no gaps."""
        return True

    def finish(self) -> None:
        """Say what is known of a handshake that did not end."""
        self._session.finish()


SPEC: Final = ProtocolSpec(
    name="dtls",
    transports=("udp",),
    ports=(443, 853, 4433, 5349, 5684, 10_161),
    probe=probe,
    first=bytes(range(20, 26)),
    parser=DtlsParser,
    service="ssl",
    kinds=("tls",),
    weight=10,
)
