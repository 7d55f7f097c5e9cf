"""Kerberos: one event per message, over UDP and TCP. RFC 4120, section 5 and 7.2.

What messages mean is in ``wire.krb5``, since logins of other protocols carry them too.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire import der
from nsm.wire.krb5 import AP_REQ, ERROR, ERRORS, TYPES, Exchange, Krb5, Message, cipher_name, is_weak, parse

MESSAGE_BYTES_MAX: Final = 65_000  # ours: tickets with many groups have some 12,000


def _begins(data: bytes, at: int, port: bool) -> Match:
    """The application tag, a sequence, then pvno [0] or [1] of 5. RFC 4120, section 5.4 and 5.9."""
    if len(data) < at + 10:
        return Match.MORE
    if data[at] & 0xE0 != 0x60 or data[at] & 0x1F not in TYPES:
        return Match.NO
    try:
        _, start, _ = _head(data, at)
        tag, start, _ = _head(data, start)
        inner, start, _ = _head(data, start)
    except (MalformedError, IndexError):
        return Match.NO
    if tag == der.SEQUENCE and port and data[at] == ERROR | 0x60 and inner == 0xA6:
        return Match.YES  # an error that says no more than its number
    if tag != der.SEQUENCE or inner not in {0xA0, 0xA1}:
        return Match.NO
    return Match.YES if data[start : start + 3] == b"\2\1\5" else Match.NO


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """(tag, start, size) without asking whether it is all there."""
    size = data[at + 1]
    if size < 0x80:
        return data[at], at + 2, size
    count = size & 0x7F
    if not 0 < count <= 3:
        raise MalformedError("der.length")
    return data[at], at + 2 + count, int.from_bytes(data[at + 2 : at + 2 + count], "big")


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A message, over TCP behind its length."""
    first = _begins(data, 0, port)
    if first is Match.YES:
        return Match.YES
    if len(data) < 16:
        return Match.MORE if data[:1] in (b"\0", b"") else Match.NO
    if data[0] == 0 and int.from_bytes(data[:4], "big") <= MESSAGE_BYTES_MAX:
        return _begins(data, 4, port)
    return Match.NO


class Krb5Parser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._udp = conv.transport == "udp"
        self._exchange = Exchange(conv)
        self._confirmed = False

    def feed(self, side: Side, data: bytes) -> int:
        """Read one datagram, or messages behind their lengths."""
        if self._udp:
            self._message(side, data)
            return len(data)
        at, end = 0, len(data)
        while at + 4 <= end:
            size = int.from_bytes(data[at : at + 4], "big")
            if size > MESSAGE_BYTES_MAX:
                raise MalformedError("malformed_data")
            if at + 4 + size > end:
                break
            self._message(side, data[at + 4 : at + 4 + size])
            at += 4 + size
        return at

    def _message(self, side: Side, data: bytes) -> None:
        try:
            message = parse(data)
        except MalformedError:
            self._conv.anomaly("malformed_data", side=side)
            return
        if not self._confirmed:
            self._confirmed = True
            self._conv.service("krb" if self._udp else "krb_tcp")  # Zeek has two names
        weak = is_weak(message.etype)
        if weak:
            self._conv.anomaly("weak_encryption", side=side)
        if self._conv.wants("krb5") and message.kind != AP_REQ:
            self._conv.emit("krb5", {"krb5": self._record(message, weak)}, sender=side)
        self._exchange.take(message)

    def _record(self, message: Message, weak: bool) -> Krb5:
        ticket, error = message.ticket_etype, message.error
        asked = self._exchange.asked
        return Krb5(
            msg_type=TYPES[message.kind],
            cname=message.cname or "<empty>",
            realm=message.realm or "<empty>",
            sname=message.sname or "<empty>",
            encryption=cipher_name(message.etype) if message.etype is not None else "<none>",
            weak_encryption=weak,
            ticket_encryption=cipher_name(ticket) if ticket is not None else None,
            ticket_weak_encryption=is_weak(ticket) if ticket is not None else None,
            error_code=ERRORS.get(error, str(error)) if error is not None else None,
            failed_request=TYPES.get(asked, "UNKNOWN") if message.kind == ERROR else None,
        )

    def gap(self, side: Side, size: int) -> bool:
        """Where the next message begins cannot be known."""
        return False

    def finish(self) -> None:
        """Write the request that got no answer."""
        self._exchange.finish()


SPEC: Final = ProtocolSpec(
    name="krb5",
    transports=("tcp", "udp"),
    ports=(88,),
    probe=probe,
    parser=Krb5Parser,
    kinds=("krb5",),
    weight=5,
)
