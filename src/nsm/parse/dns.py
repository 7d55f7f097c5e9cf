"""DNS over UDP and TCP: one ``dns`` event a message, one row of dns.log a question with its answer. RFC 1035, RFC 7766.

Over TCP each message has its length in front; after lost bytes the next piece that begins with a plausible message is where
reading goes on. ``tx_id`` counts messages, so question and answer have one each.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.dns_eve import dns_object, has_type
from nsm.wire.dns_message import (
    FLAG_RESPONSE,
    FLAG_Z,
    HEADER_BYTES,
    OPCODE_MAX,
    DnsError,
    Message,
    looks_like,
    may_begin,
    parse,
)
from nsm.wire.dns_rows import DnsRows

DNSCRYPT: Final = "2.dnscrypt-cert."  # the question for a resolver's certificate, DNSCrypt protocol, section 6
TCP_PREFIX_BYTES: Final = 2  # RFC 1035, section 4.2.2
BAD_MESSAGES_MAX: Final = 50  # ours: a flow with so many is something else


def probe_tcp(data: bytes, port: bool) -> Match:
    """A message behind its length. Short beginnings may become one."""
    if len(data) < TCP_PREFIX_BYTES + HEADER_BYTES + 5:
        return Match.MORE if port and (len(data) < 2 or data[0] < 0x40) else Match.NO
    size = data[0] << 8 | data[1]
    if size < HEADER_BYTES:
        return Match.NO
    if len(data) < TCP_PREFIX_BYTES + size:
        return Match.YES if port and may_begin(data[2:], size) else Match.NO
    if looks_like(data[2 : 2 + size], not port):
        return Match.YES
    return Match.NO


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A message with or without the length that TCP puts in front; a length that fits is told from an id by what follows."""
    if _framed(data) and probe_tcp(data, port) is Match.YES:
        return Match.YES
    return Match.YES if looks_like(data, not port) else probe_tcp(data, port)


def _framed(data: bytes) -> bool:
    return len(data) > TCP_PREFIX_BYTES + HEADER_BYTES and (data[0] << 8 | data[1]) == len(data) - TCP_PREFIX_BYTES


class DnsParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._tcp = conv.transport == "tcp"
        self._requests = bool(conv.option("requests", True))
        self._responses = bool(conv.option("responses", True))
        types = conv.option("types", None)
        self._types = frozenset(str(kind).lower() for kind in types) if types else None
        self._events = conv.wants("dns")
        self._rows = DnsRows(conv) if conv.rows else None
        self._count = 0
        self._bad = 0
        self._named = False
        self._turned: bool | None = None
        self._lost = [False, False]
        if not conv.option(f"{conv.transport}.enabled", conv.option("enabled", True)):
            conv.done()

    def feed(self, side: Side, data: bytes) -> int:
        """Read messages."""
        if not self._tcp:
            self._message(side, data)
            return len(data)
        at = 0
        size = len(data)
        while size - at >= TCP_PREFIX_BYTES:
            if self._lost[side]:
                found = probe_tcp(data[at:], True)
                if found is not Match.YES:
                    return at if found is Match.MORE else size
                self._lost[side] = False
            end = at + TCP_PREFIX_BYTES + (data[at] << 8 | data[at + 1])
            if end > size:
                break
            if end > at + TCP_PREFIX_BYTES:
                self._message(side, data[at + TCP_PREFIX_BYTES : end])
            at = end
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Look for the next message."""
        self._lost[side] = True
        return self._tcp

    def finish(self) -> None:
        """Write the questions that were not answered."""
        if self._rows is not None:
            self._rows.finish()

    def _message(self, side: Side, data: bytes) -> None:
        conv = self._conv
        try:
            message = parse(data)
        except DnsError as error:
            self._bad += 1
            if self._bad > BAD_MESSAGES_MAX:
                raise MalformedError(error.slug) from None
            conv.anomaly(error.slug, side=side)
            return
        flags = message.flags
        response = (flags & FLAG_RESPONSE) != 0
        if self._turned is None:
            # A flow may be picked up with an answer: then the first sender is who was asked.
            self._turned = response is (side is Side.CLIENT)
        if response is not ((side is Side.SERVER) is not self._turned):
            conv.anomaly("not_request" if response else "not_response", side=side)
            return
        tx_id = self._count
        self._count += 1
        if flags & FLAG_Z or (flags >> 11) & 15 > OPCODE_MAX:
            conv.anomaly("z_flag_set" if flags & FLAG_Z else "invalid_opcode", side=side, tx_id=tx_id)
        if self._events and (self._responses if response else self._requests):
            self._event(message, side, tx_id)
        for oddity in message.oddities:
            conv.anomaly(oddity, side=side, tx_id=tx_id)
        if self._rows is not None:
            self._rows.message(message)
        if message.questions and not (response and self._named):
            self._named = True
            name = message.questions[0].name
            if name.startswith(DNSCRYPT):
                conv.protocol("dnscrypt")
            conv.named(name)

    def _event(self, message: Message, side: Side, tx_id: int) -> None:
        if self._types is None or has_type(message, self._types):
            self._conv.emit("dns", {"dns": dns_object(message, tx_id)}, sender=side)


SPEC: Final = ProtocolSpec(
    name="dns", transports=("udp", "tcp"), ports=(53,), probe=probe, parser=DnsParser, service="dns", kinds=("dns",),
    buffer_max=65_537,
)  # fmt: skip
