"""STUN and TURN, recognised; the realm and the software of a server name the application. RFC 8489, section 5; RFC 8656; RFC 3489.

EVE and Zeek write nothing of it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side

HEADER: Final = Struct("!HHI")
HEADER_BYTES: Final = 20  # RFC 8489, section 5
COOKIE: Final = 0x2112A442
COOKIE_BYTES: Final = b"\x21\x12\xa4\x42"
FRAME_BYTES: Final = 2  # RFC 4571, section 2
OLD_TYPES: Final = frozenset((0x0001, 0x0101, 0x0111, 0x0002, 0x0102, 0x0112))  # RFC 3489, section 11.1
REALM: Final = 0x0014  # RFC 8489, section 14.9
SOFTWARE: Final = 0x8022
MESSAGES_MAX: Final = 8  # ours: the first ones tell who it is
HANDSHAKE: Final = 22  # RFC 9147, section 4
ATTRIBUTES_MAX: Final = 32  # ours: of a message
# Attributes that one maker alone uses, with nDPI's name of the application: [MS-TURN], section 2.2.2; WhatsApp's have no
# document, and are of the range that IANA leaves to experts ("STUN Attributes").
MAKERS: Final = {
    0x8008: "teams-call", 0x8037: "teams-call", 0x8050: "teams-call", 0x8054: "teams-call",
    0x8055: "teams-call", 0x8070: "teams-call", 0x4000: "whatsapp-call", 0x4002: "whatsapp-call",
}  # fmt: skip
# Domains of realms whose servers carry calls of one application; other realms are names like any.
REALMS: Final = {"signal.org": "signal-voip", "telegram.org": "telegram-voip", "google.com": "google-call"}
# Ports of one application's own relays: Google Meet help, "Prepare your network" (19305 to 19309); Telegram's reflectors.
RELAY_PORTS: Final = {1400: "telegram-voip", **dict.fromkeys(range(19305, 19310), "google-call")}
WHATSAPP_TYPES: Final = frozenset(range(0x0800, 0x0806))  # as 0x4000


def attributes_end(data: bytes, at: int, end: int) -> int:
    """Where the attributes end, walking at most ATTRIBUTES_MAX of them; not ``end`` when they do not fit."""
    for _ in range(ATTRIBUTES_MAX):
        if at + 4 > end:
            return at
        at += 4 + ((data[at + 2] << 8 | data[at + 3]) + 3 & ~3)
    return end


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The magic cookie and a length that fits; without the cookie, a binding request whose attributes fill it."""
    if len(data) < HEADER_BYTES:
        return Match.NO
    kind, size, cookie = HEADER.unpack_from(data)
    if kind & 0xC000 or (
        size & 3 and HEADER_BYTES + size != len(data)
    ):  # [MS-TURN] has lengths that are no multiple of 4
        return _framed(data)
    if cookie == COOKIE:
        return Match.YES if HEADER_BYTES + size <= len(data) + 1500 else Match.NO
    if kind in OLD_TYPES and HEADER_BYTES + size == len(data) and (port or size):
        return Match.YES if attributes_end(data, HEADER_BYTES, len(data)) == len(data) else Match.NO
    return _framed(data)


def _framed(data: bytes) -> Match:
    """Behind a length, as TURN over TCP with RFC 4571 has it."""
    if len(data) < HEADER_BYTES + 2:
        return Match.NO
    kind, size, cookie = HEADER.unpack_from(data, 2)
    fits = (data[0] << 8 | data[1]) == HEADER_BYTES + size
    return Match.YES if fits and cookie == COOKIE and not kind & 0xC000 else Match.NO


class StunParser:
    """One per flow: looks at the first messages only."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._left = MESSAGES_MAX
        self._named = False
        relay = RELAY_PORTS.get(conv.server_port) or RELAY_PORTS.get(conv.client_port)
        if relay is not None:
            self._label(relay)

    def feed(self, side: Side, data: bytes) -> int:
        """Look for names in a message, over TCP in each of them."""
        conv = self._conv
        if conv.transport == "tcp":
            return self._stream(data)
        if data[:1] and 20 <= data[0] <= 25 and data[1:2] == b"\xfe":  # RFC 9443, section 3: DTLS beside STUN
            if data[0] == HANDSHAKE:
                conv.switch("dtls")
            return len(data)
        if len(data) >= HEADER_BYTES:
            kind, size, _ = HEADER.unpack_from(data)
            if not kind & 0xC000:
                self._attributes(data, HEADER_BYTES, min(len(data), HEADER_BYTES + size))
        self._left -= 1
        if not self._left:
            conv.done()
        return len(data)

    def _stream(self, data: bytes) -> int:
        at = 0
        while len(data) - at >= HEADER_BYTES + FRAME_BYTES:
            first = at + (0 if data[at + 4 : at + 8] == COOKIE_BYTES else FRAME_BYTES)
            kind, size, cookie = HEADER.unpack_from(data, first)
            if kind & 0xC000 or cookie != COOKIE or not self._left:
                self._conv.done()  # what is relayed
                return len(data)
            end = first + HEADER_BYTES + size
            if end > len(data):
                break
            self._attributes(data, first + HEADER_BYTES, end)
            self._left -= 1
            at = end
        return at

    def gap(self, side: Side, size: int) -> bool:
        """What follows is not looked at."""
        return False

    def finish(self) -> None:
        """Nothing is open."""

    def _attributes(self, data: bytes, at: int, end: int) -> None:
        if self._named:
            return
        if data[at - HEADER_BYTES] << 8 | data[at - HEADER_BYTES + 1] in WHATSAPP_TYPES:
            self._label("whatsapp-call")
            return
        for _ in range(ATTRIBUTES_MAX):
            if at + 4 > end:
                return
            kind, size = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
            if kind == REALM:
                realm = data[at + 4 : min(end, at + 4 + size)].rstrip(b"\0")
                if realm.isascii() and b"." in realm:
                    self._realm(realm.decode("ascii").lower())
                    return
            elif kind in MAKERS:
                self._label(MAKERS[kind])
                return
            at += 4 + (size + 3 & ~3)

    def _realm(self, realm: str) -> None:
        self._named = True
        self._conv.named(realm)
        domain = ".".join(realm.split(".")[-2:])
        if domain in REALMS:
            self._conv.label(REALMS[domain])

    def _label(self, application: str) -> None:
        self._named = True
        self._conv.label(application)


SPEC: Final = ProtocolSpec(
    name="stun", transports=("udp", "tcp"), ports=(3478, 3479, 5349, 19302), probe=probe, parser=StunParser, weight=8
)
