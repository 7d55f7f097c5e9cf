"""TLS: the handshake of each connection, until both sides are encrypted. SSL 2.0 hello, RFC 6101, RFC 2246 to RFC 8446.

The record layer is here, what the messages say is in ``wire.tls_session``. Records that cannot be read are skipped by
their length, and when the handshake is over nothing more of the flow is looked at.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.tls_session import TlsSession

CHANGE_CIPHER: Final = 20  # RFC 8446, section 5.1: content types
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION: Final = 23
HEARTBEAT: Final = 24  # RFC 6520, section 3

RECORD_BYTES_MAX: Final = (1 << 14) + 2048  # RFC 5246, section 6.2.3
MESSAGE_BYTES_MAX: Final = 65_536  # ours: a chain of certificates stays below
HANDSHAKE_TYPES: Final = frozenset((0, 1, 2, 4, 8, 11, 12, 13, 14, 15, 16, 20, 22))
_FIRST: Final = frozenset((CHANGE_CIPHER, ALERT, HANDSHAKE, APPLICATION))
_V2_VERSIONS: Final = frozenset((0x0002, 0x0300, 0x0301, 0x0302, 0x0303))


def _probe_v2(data: bytes) -> Match:
    """The hello of SSL 2.0, which old clients also sent to offer SSL 3.0 and TLS. SSL 2.0 draft, section 2.5 and 2.6."""
    if len(data) < 11:
        return Match.MORE if len(data) < 3 or data[2] in {1, 4} else Match.NO
    size = (data[0] & 0x7F) << 8 | data[1]
    if data[2] == 1 and (data[3] << 8 | data[4]) in _V2_VERSIONS:
        ciphers, session, challenge = (data[at] << 8 | data[at + 1] for at in (5, 7, 9))
        return Match.YES if ciphers % 3 == 0 and ciphers and 9 + ciphers + session + challenge == size else Match.NO
    if data[2] == 4 and data[3] < 2 and data[5:7] == b"\0\x02" and size > 11:
        return Match.YES
    return Match.NO


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A record of a handshake, or of what may be seen later in a flow; the side does not matter."""
    if not data:
        return Match.MORE
    if data[0] & 0x80:
        return _probe_v2(data)
    if data[0] not in _FIRST or (len(data) > 1 and data[1] != 3) or (len(data) > 2 and data[2] > 4):
        return Match.NO
    if len(data) < 6:
        return Match.MORE
    size = data[3] << 8 | data[4]
    if not size and data[0] == HANDSHAKE:  # nobody sends it, and nothing else begins so
        return Match.YES
    if not 0 < size <= RECORD_BYTES_MAX:
        return Match.NO
    if data[0] == HANDSHAKE:
        return Match.YES if data[5] in HANDSHAKE_TYPES or port else Match.NO
    if data[0] == ALERT:
        return Match.YES if (size == 2 and data[5] in {1, 2}) or port else Match.NO
    if data[0] == CHANGE_CIPHER:
        return Match.YES if size == 1 and data[5] == 1 else Match.NO
    return Match.YES


class TlsParser:
    """One per flow. ``_partial`` holds what came of a handshake message that goes on in the next record."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._session = TlsSession(conv, "t")
        self._partial = [b"", b""]
        self._started = [False, False]
        self._plain_beat = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read whole records."""
        at, end = 0, len(data)
        session = self._session
        if not self._started[side]:
            if data[0] & 0x80:
                return self._v2_hello(side, data)
            self._started[side] = True
        while at + 5 <= end:
            kind = data[at]
            size = data[at + 3] << 8 | data[at + 4]
            if not CHANGE_CIPHER <= kind <= HEARTBEAT:
                raise MalformedError("INVALID_RECORD_TYPE")
            if data[at + 1] != 3:
                raise MalformedError("INVALID_RECORD_VERSION")
            if size > RECORD_BYTES_MAX:
                raise MalformedError("INVALID_TLS_HEADER")
            if kind == APPLICATION or (session.changed[side] and not session.is_13 and kind != CHANGE_CIPHER):
                session.encrypted(side)
                at += 5 + size
                if session.finished:
                    self._conv.done()
                    return min(at, end)
                if at > end:
                    self._conv.skip(side, at - end)
                    return end
                continue
            if at + 5 + size > end:
                break
            self._record(side, kind, data[at + 5 : at + 5 + size])
            at += 5 + size
            if session.finished:
                self._conv.done()
                return at
        return at

    def _record(self, side: Side, kind: int, body: bytes) -> None:
        if kind == HANDSHAKE:
            self._messages(side, body)
        elif kind == CHANGE_CIPHER:
            self._session.change_cipher(side)
        elif kind == ALERT:
            self._session.alert(side, body)
        elif kind == HEARTBEAT:
            self._session.letter(side, "B")
            self._heartbeat(side, body)

    def _messages(self, side: Side, body: bytes) -> None:
        """Handshake messages, which may go on over records. RFC 8446, section 4."""
        if self._partial[side]:
            body = self._partial[side] + body
            self._partial[side] = b""
        at, end = 0, len(body)
        session = self._session
        while at + 4 <= end:
            size = int.from_bytes(body[at + 1 : at + 4], "big")
            if size > MESSAGE_BYTES_MAX:
                raise MalformedError("HANDSHAKE_INVALID_LENGTH")
            if at + 4 + size > end:
                break
            if body[at] in {1, 2} and not session.version and body[at] == 2 and size >= 2:
                session.version = body[at + 4] << 8 | body[at + 5]
            session.message(side, body[at], body[at + 4 : at + 4 + size])
            at += 4 + size
        self._partial[side] = body[at:]

    def _heartbeat(self, side: Side, body: bytes) -> None:
        """A heartbeat in the clear that says to be longer than it is asks for the peer's memory. RFC 6520, section 4."""
        if len(body) < 3 or body[0] not in {1, 2}:
            self._conv.anomaly("INVALID_HEARTBEAT_MESSAGE", side=side)
            return
        if body[1] << 8 | body[2] > len(body) - 3:
            self._conv.anomaly("OVERFLOW_HEARTBEAT_MESSAGE", side=side)
        if body[0] == 1:
            self._plain_beat = len(body)
        elif self._plain_beat and len(body) > self._plain_beat:
            self._conv.anomaly("DATALEAK_HEARTBEAT_MISMATCH", side=side)

    def _v2_hello(self, side: Side, data: bytes) -> int:
        """The hello of SSL 2.0; what follows a client's is SSL 3.0 or TLS where the server takes that."""
        if len(data) < 2:
            return 0
        size = (data[0] & 0x7F) << 8 | data[1]
        if len(data) < 2 + size:
            return 0
        if size < 9:
            raise MalformedError("INVALID_SSLV2_HEADER")
        session = self._session
        self._started[side] = True
        if data[2] == 4:
            session.letter(side, "S")
            session.version = 0x0002
            if size >= 11:
                at = 13 + (data[7] << 8 | data[8])
                if data[9] << 8 | data[10] >= 3:
                    session.sslv2_cipher = int.from_bytes(data[at : at + 3], "big")
            self._conv.done()
        elif data[2] == 1:
            session.letter(side, "C")
            session.version = data[3] << 8 | data[4]
        else:
            raise MalformedError("INVALID_SSLV2_HEADER")
        return 2 + size

    def gap(self, side: Side, size: int) -> bool:
        """Where the next record begins cannot be known; gaps inside skipped records do not come here."""
        return False

    def finish(self) -> None:
        """Say what is known of a handshake that did not end."""
        self._session.finish()


SPEC: Final = ProtocolSpec(
    name="tls",
    transports=("tcp",),
    ports=(443, 261, 448, 465, 563, 614, 636, 684, 695, 853, 989, 990, 992, 993, 994, 995, 2083, 2252, 2376, 3269, 4433,
           5061, 5223, 5349, 5671, 6514, 6619, 6697, 8443, 8883, 9443),
    probe=probe,
    parser=TlsParser,
    service="ssl",
    both=True,
    kinds=("tls",),
    weight=10,
)  # fmt: skip
