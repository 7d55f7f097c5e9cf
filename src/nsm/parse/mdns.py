"""Multicast DNS: one ``mdns`` event a message; rows of dns.log. RFC 6762.

Whoever sends is the flow's client in the event, as in Suricata; nothing sent to the group is paired with an answer.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.dns_eve import multicast_object
from nsm.wire.dns_message import FLAG_RESPONSE, FLAG_Z, OPCODE_MAX, DnsError, looks_like, parse
from nsm.wire.dns_rows import DnsRows

SHOWN_TYPES: Final = frozenset(("ptr", "txt"))  # the record data that Suricata writes of mDNS
BAD_MESSAGES_MAX: Final = 50  # ours: a flow with so many is something else
GROUPS: Final = ("224.", "ff0")  # RFC 6762, section 3: 224.0.0.251 and ff02::fb


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A DNS message on mDNS's port."""
    return Match.YES if port and looks_like(data, False) else Match.NO


class MdnsParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("mdns")
        self._rows = DnsRows(conv, not conv.server.startswith(GROUPS)) if conv.rows else None
        self._count = 0
        self._bad = 0
        self._named = False

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message."""
        conv = self._conv
        try:
            message = parse(data)
        except DnsError as error:
            self._bad += 1
            if self._bad > BAD_MESSAGES_MAX:
                raise MalformedError(error.slug) from None
            conv.anomaly(error.slug, side=side)
            return len(data)
        tx_id = self._count
        self._count += 1
        flags = message.flags
        if flags & FLAG_Z:
            conv.anomaly("z_flag_set", side=side, tx_id=tx_id)
        if (flags >> 11) & 15 > OPCODE_MAX:
            conv.anomaly("invalid_opcode", side=side, tx_id=tx_id)
        if self._events:
            conv.emit("mdns", {"mdns": multicast_object(message, SHOWN_TYPES, False)})
        for oddity in message.oddities:
            conv.anomaly(oddity, side=side, tx_id=tx_id)
        if self._rows is not None:
            self._rows.message(message)
        if not self._named:
            asked = message.answers[0].name if flags & FLAG_RESPONSE and message.answers else ""
            name = message.questions[0].name if message.questions else asked
            if name:
                self._named = True
                conv.named(name)
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """Write the questions that were not answered."""
        if self._rows is not None:
            self._rows.finish()


SPEC: Final = ProtocolSpec(
    name="mdns",
    transports=("udp",),
    ports=(5353,),
    probe=probe,
    on_port=True,
    parser=MdnsParser,
    service="dns",
    kinds=("mdns",),
)
