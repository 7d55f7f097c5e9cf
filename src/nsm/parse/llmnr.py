"""Link-local multicast name resolution: one ``llmnr`` event a message; rows of dns.log. RFC 4795.

Over TCP a message has its length in front, as DNS does (RFC 4795, section 2.5).
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.dns_eve import multicast_object
from nsm.wire.dns_message import FLAG_Z, HEADER_BYTES, OPCODE_MAX, DnsError, looks_like, parse
from nsm.wire.dns_rows import DnsRows

SHOWN_TYPES: Final = frozenset(
    ("a", "aaaa", "cname", "mx", "ns", "null", "opt", "ptr", "soa", "srv", "sshfp", "txt")
)  # what EVE's llmnr object has keys for
PREFIX_BYTES: Final = 2  # RFC 1035, section 4.2.2
BAD_MESSAGES_MAX: Final = 50  # ours: a flow with so many is something else
GROUPS: Final = ("224.", "ff0")  # RFC 4795, section 2: 224.0.0.252 and ff02::1:3


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A DNS message on LLMNR's port, with or without a length in front."""
    if not port:
        return Match.NO
    size = len(data)
    if size > PREFIX_BYTES and (data[0] << 8 | data[1]) == size - PREFIX_BYTES:
        return Match.YES if looks_like(data[PREFIX_BYTES:], False) else Match.NO
    if looks_like(data, False):
        return Match.YES
    if size >= PREFIX_BYTES and HEADER_BYTES <= (data[0] << 8 | data[1]) <= 512 and size < (data[0] << 8 | data[1]) + 2:
        return Match.MORE
    return Match.MORE if size < PREFIX_BYTES else Match.NO


class LlmnrParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("llmnr")
        self._rows = DnsRows(conv, not conv.server.startswith(GROUPS)) if conv.rows else None
        self._count = 0
        self._bad = 0
        self._named = False

    def feed(self, side: Side, data: bytes) -> int:
        """Read messages."""
        if self._conv.transport != "tcp":
            self._message(side, data)
            return len(data)
        at = 0
        while len(data) - at >= PREFIX_BYTES:
            end = at + PREFIX_BYTES + (data[at] << 8 | data[at + 1])
            if end > len(data):
                break
            if end > at + PREFIX_BYTES:
                self._message(side, data[at + PREFIX_BYTES : end])
            at = end
        return at

    def gap(self, side: Side, size: int) -> bool:
        """Where the next message begins is not to be told."""
        return False

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
        tx_id = self._count
        self._count += 1
        flags = message.flags
        if flags & FLAG_Z:
            conv.anomaly("z_flag_set", side=side, tx_id=tx_id)
        if (flags >> 11) & 15 > OPCODE_MAX:
            conv.anomaly("invalid_opcode", side=side, tx_id=tx_id)
        if self._events:
            conv.emit("llmnr", {"llmnr": multicast_object(message, SHOWN_TYPES, True)})
        for oddity in message.oddities:
            conv.anomaly(oddity, side=side, tx_id=tx_id)
        if self._rows is not None:
            self._rows.message(message)
        if message.questions and not self._named:
            self._named = True
            conv.named(message.questions[0].name)


SPEC: Final = ProtocolSpec(
    name="llmnr", transports=("udp", "tcp"), ports=(5355,), probe=probe,
    on_port=True, parser=LlmnrParser, service="dns",
    kinds=("llmnr",), buffer_max=65_537,
)  # fmt: skip
