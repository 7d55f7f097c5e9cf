"""RADIUS: a row of radius.log for each log-in. RFC 2865, sections 3 and 5; accounting: RFC 2866.

EVE has no event of it. Passwords are never read.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Addr, Conversation, Interval, Match, ProtocolSpec, Row, Side
from nsm.wire.dns_message import ipv4_text

HEADER_BYTES: Final = 20  # RFC 2865, section 3
PACKET_BYTES_MAX: Final = 4096
ACCESS_REQUEST: Final = 1  # RFC 2865, section 4
ACCESS_ACCEPT: Final = 2
ACCESS_REJECT: Final = 3
ACCESS_CHALLENGE: Final = 11
CODES: Final = frozenset((1, 2, 3, 4, 5, 11, 12, 13, 40, 41, 42, 43, 44, 45))  # IANA, "RADIUS Types", codes
USER_NAME: Final = 1  # RFC 2865, section 5
FRAMED_ADDRESS: Final = 8
REPLY_MESSAGE: Final = 18
CALLING_STATION: Final = 31
TUNNEL_CLIENT: Final = 66  # RFC 2868, section 3.3
CONNECT_INFO: Final = 77  # RFC 2869, section 5.11


class RadiusRow(Row):
    """A line of radius.log."""

    username: str | None
    mac: str | None
    framed_addr: Addr | None
    tunnel_client: str | None
    connect_info: str | None
    reply_msg: str | None
    result: str
    ttl: Interval | None


def attributes_of(data: bytes) -> dict[int, bytes] | None:
    """First value of each attribute, None when lengths do not fill the packet."""
    found: dict[int, bytes] = {}
    at = HEADER_BYTES
    end = data[2] << 8 | data[3]
    while at < end:
        if at + 2 > end or data[at + 1] < 2 or at + data[at + 1] > end:
            return None
        found.setdefault(data[at], data[at + 2 : at + data[at + 1]])
        at += data[at + 1]
    return found


def mac_of(raw: bytes) -> str | None:
    """Calling-Station-Id as a hardware address, None when it is none."""
    digits = raw.decode("ascii", "replace").lower()
    for mark in "-:.":
        digits = digits.replace(mark, "")
    if len(digits) != 12 or any(digit not in "0123456789abcdef" for digit in digits):
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A code, and attributes that fill the length."""
    if len(data) < HEADER_BYTES or data[0] not in CODES:
        return Match.NO
    size = data[2] << 8 | data[3]
    if not HEADER_BYTES <= size <= min(len(data), PACKET_BYTES_MAX) or (not port and (size != len(data) or size < 26)):
        return Match.NO
    found = attributes_of(data)
    return Match.YES if found is not None and (port or USER_NAME in found or 4 in found or 80 in found) else Match.NO


class RadiusParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._words: dict[str, str] = {}
        self._begun = 0
        if not conv.rows:
            conv.done()

    def feed(self, side: Side, data: bytes) -> int:
        """Read one packet."""
        if len(data) < HEADER_BYTES or (data[2] << 8 | data[3]) > len(data):
            return len(data)
        found = attributes_of(data)
        code = data[0]
        if found is None or code not in (ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT, ACCESS_CHALLENGE):
            return len(data)
        self._begun = self._begun or self._conv.ts_us
        words = self._words
        if code == ACCESS_REQUEST:
            for kind, name in (
                (USER_NAME, "username"),
                (TUNNEL_CLIENT, "tunnel_client"),
                (CONNECT_INFO, "connect_info"),
            ):
                if kind in found:
                    words[name] = found[kind].decode("utf-8", "surrogateescape")
            if (mac := mac_of(found.get(CALLING_STATION, b""))) is not None:
                words["mac"] = mac
        elif (
            code == ACCESS_CHALLENGE and len(found.get(FRAMED_ADDRESS, b"")) == 4
        ):  # of an accept Zeek does not show it
            words["framed_addr"] = ipv4_text(found[FRAMED_ADDRESS])
        if code in (ACCESS_ACCEPT, ACCESS_REJECT):
            if REPLY_MESSAGE in found:
                words["reply_msg"] = found[REPLY_MESSAGE].decode("utf-8", "surrogateescape")
            self._row("success" if code == ACCESS_ACCEPT else "failed", self._conv.ts_us - self._begun)
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """A request that was not answered has no result."""
        if self._begun and self._conv.rows:
            self._row("unknown", None)

    def _row(self, result: str, took_us: int | None) -> None:
        get = self._words.get
        address = get("framed_addr")
        took = Interval(took_us / 1_000_000) if took_us else None
        self._conv.row(
            RadiusRow(
                get("username"), get("mac"), Addr(address) if address else None, get("tunnel_client"), get("connect_info"),
                get("reply_msg"), result, took,
            ),
            self._begun,
        )  # fmt: skip
        self._words = {}
        self._begun = 0


SPEC: Final = ProtocolSpec(
    name="radius",
    transports=("udp",),
    ports=(1812, 1813, 1645, 1646),
    probe=probe,
    first=bytes(sorted(CODES)),
    parser=RadiusParser,
    service="radius",
)
