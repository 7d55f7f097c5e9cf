"""DHCP: one ``dhcp`` event a message, one row of dhcp.log a transaction. RFC 2131, section 2; options: RFC 2132.

Without the setting ``extended`` only acknowledgements are written, as in Suricata. Left out: relay information and what vendors
put into option 43.
"""

from __future__ import annotations

import struct
from typing import Final

from nsm.model.protocol import Addr, Conversation, Interval, Match, ProtocolSpec, Record, RowAlone, Side
from nsm.wire.dns_message import ipv4_text, text

FIXED_BYTES: Final = 236  # RFC 2131, section 2
COOKIE: Final = b"\x63\x82\x53\x63"  # RFC 2132, section 2
REQUEST: Final = 1  # RFC 2131, section 2, field op
MESSAGE_TYPES: Final = (
    "",
    "discover",
    "offer",
    "request",
    "decline",
    "ack",
    "nak",
    "release",
    "inform",
)  # RFC 2132, 9.6
ZEEK_TYPES: Final = ("", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM")
PARAMETERS: Final = {
    1: "subnet_mask", 3: "router", 6: "dns_server", 15: "domain", 35: "arp_timeout", 42: "ntp_server",
    66: "tftp_server_name", 150: "tftp_server_ip",
}  # fmt: skip # those that Suricata names; numbers: IANA, "BOOTP Vendor Extensions and DHCP Options"
TRANSACTIONS_MAX: Final = 64  # ours: of a flow that are waited for
TRANSACTION_US_MAX: Final = 30_000_000  # Zeek, DHCP::max_txid_watch_time
MESSAGES_MAX: Final = 64  # ours: of one transaction


class Dhcp(Record):
    """A message."""

    type: str
    id: int
    client_mac: str
    assigned_ip: str
    client_ip: str | None = None
    relay_ip: str | None = None
    next_server_ip: str | None = None
    dhcp_type: str | None = None
    client_id: str | None = None
    hostname: str | None = None
    params: list[str] | None = None
    requested_ip: str | None = None
    subnet_mask: str | None = None
    routers: list[str] | None = None
    dns_servers: list[str] | None = None
    lease_time: int | None = None
    renewal_time: int | None = None
    rebinding_time: int | None = None
    vendor_class_identifier: str | None = None


class DhcpRow(RowAlone):
    """A line of dhcp.log."""

    uids: frozenset[str] | None
    client_addr: Addr | None
    server_addr: Addr | None
    mac: str | None
    host_name: str | None
    client_fqdn: str | None
    domain: str | None
    requested_addr: Addr | None
    assigned_addr: Addr | None
    lease_time: Interval | None
    client_message: str | None
    server_message: str | None
    msg_types: list[str]
    duration: Interval


class Transaction:
    """A row that is being made."""

    def __init__(self, ts_us: int) -> None:
        self.begun = self.last = ts_us
        self.types: list[str] = []
        self.mac = ""
        self.words: dict[str, str] = {}
        self.lease: int | None = None


def options_of(data: bytes) -> tuple[dict[int, bytes], str]:
    """(options by code, what is wrong with them); a code that comes again is the rest of the first, RFC 3396."""
    found: dict[int, bytes] = {}
    at = FIXED_BYTES + 4
    size = len(data)
    while at < size:
        code = data[at]
        if code == 0:
            at += 1
            continue
        if code == 255:
            return found, ""
        if at + 2 > size or at + 2 + data[at + 1] > size:
            return found, "truncated_options"
        end = at + 2 + data[at + 1]
        found[code] = found.get(code, b"") + data[at + 2 : end]
        at = end
    return found, ""


def _address(raw: bytes | None) -> str | None:
    return ipv4_text(raw[:4]) if raw and len(raw) >= 4 else None


def _addresses(raw: bytes | None) -> list[str] | None:
    return [ipv4_text(raw[at : at + 4]) for at in range(0, len(raw) - 3, 4)] if raw else None


def _seconds(raw: bytes | None) -> int | None:
    return int.from_bytes(raw, "big") if raw and len(raw) == 4 else None


def _text(raw: bytes | None) -> str | None:
    return text(raw) if raw is not None else None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The magic cookie behind a BOOTP header."""
    if len(data) < FIXED_BYTES + 4 or data[0] not in (1, 2) or data[2] > 16:
        return Match.NO
    return Match.YES if data[FIXED_BYTES : FIXED_BYTES + 4] == COOKIE else Match.NO


class DhcpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("dhcp")
        self._extended = bool(conv.option("extended", False))
        self._open: dict[int, Transaction] = {}
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message."""
        if len(data) < FIXED_BYTES + 4 or data[FIXED_BYTES : FIXED_BYTES + 4] != COOKIE:
            self._conv.anomaly("malformed_options", side=side)
            return len(data)
        options, wrong = options_of(data)
        kind = options[53][0] if options.get(53) else 0
        tx_id = self._count
        self._count += 1
        if wrong:
            self._conv.anomaly(wrong, side=side, tx_id=tx_id)
        if self._events and (self._extended or kind == 5):
            self._conv.emit("dhcp", {"dhcp": self._object(data, options, kind)}, sender=side)
        if self._conv.rows:
            self._remember(side, data, options, kind)
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """Write the transactions."""
        for transaction in self._open.values():
            self._row(transaction)
        self._open.clear()

    def _object(self, data: bytes, options: dict[int, bytes], kind: int) -> Dhcp:
        request = data[0] == REQUEST
        client = options.get(61)
        kind_name = "request" if request else "reply"
        ident, mac, assigned = int.from_bytes(data[4:8], "big"), data[28:34].hex(":"), ipv4_text(data[16:20])
        dhcp_type = (MESSAGE_TYPES[kind] if kind < len(MESSAGE_TYPES) else "unknown") if 53 in options else None
        client_id = (client[1:] if len(client) > 1 else client).hex(":") if client else None
        if not self._extended:
            return Dhcp(
                kind_name,
                ident,
                mac,
                assigned,
                dhcp_type=dhcp_type,
                client_id=client_id,
                hostname=_text(options.get(12)),
            )
        asked = [PARAMETERS[code] for code in options.get(55, b"") if code in PARAMETERS]
        return Dhcp(
            kind_name,
            ident,
            mac,
            assigned,
            client_ip=ipv4_text(data[12:16]),
            relay_ip=None if request else ipv4_text(data[24:28]),
            next_server_ip=None if request else ipv4_text(data[20:24]),
            dhcp_type=dhcp_type,
            client_id=client_id,
            hostname=_text(options.get(12)),
            params=asked if 55 in options else None,
            requested_ip=_address(options.get(50)),
            subnet_mask=_address(options.get(1)),
            routers=_addresses(options.get(3)),
            dns_servers=_addresses(options.get(6)),
            lease_time=_seconds(options.get(51)),
            renewal_time=_seconds(options.get(58)),
            rebinding_time=_seconds(options.get(59)),
            vendor_class_identifier=_text(options.get(60)),
        )

    def _remember(self, side: Side, data: bytes, options: dict[int, bytes], kind: int) -> None:
        conv = self._conv
        ident = struct.unpack_from("!I", data, 4)[0]
        found = self._open.get(ident)
        if found is not None and conv.ts_us - found.begun > TRANSACTION_US_MAX:
            self._row(self._open.pop(ident))
            found = None
        if found is None:
            if len(self._open) >= TRANSACTIONS_MAX:
                self._row(self._open.pop(next(iter(self._open))))
            found = self._open[ident] = Transaction(conv.ts_us)
        found.last = conv.ts_us
        if kind < len(ZEEK_TYPES) and ZEEK_TYPES[kind] and len(found.types) < MESSAGES_MAX:
            found.types.append(ZEEK_TYPES[kind])
        found.mac = found.mac or data[28:34].hex(":")
        words = found.words
        if data[0] == REQUEST:
            wanted = ((12, "host_name"), (81, "client_fqdn"), (56, "client_message"))
            if data[12:16] != bytes(4):
                words["client_addr"] = ipv4_text(data[12:16])
            if asked := _address(options.get(50)):
                words["requested_addr"] = asked
        else:
            wanted = ((15, "domain"), (56, "server_message"), (-1, ""))
            if data[16:20] != bytes(4):
                words["assigned_addr"] = ipv4_text(data[16:20])
                words["server_addr"] = conv.client if side is Side.CLIENT else conv.server
                found.lease = _seconds(options.get(51))
        for code, name in wanted:
            if code in options:
                raw = options[code]
                if code == 81:  # RFC 4702, section 2.1: flags and two old codes stand before the name
                    raw = raw[3:] if len(raw) > 3 else b""
                words[name] = raw.rstrip(b"\0").decode("utf-8", "surrogateescape")

    def _row(self, found: Transaction) -> None:
        words = found.words
        client, server = words.get("client_addr"), words.get("server_addr")
        asked, given = words.get("requested_addr"), words.get("assigned_addr")
        if given and client is None:
            client = given
        self._conv.row(
            DhcpRow(
                None,
                Addr(client) if client else None,
                Addr(server) if server else None,
                found.mac,
                words.get("host_name"),
                words.get("client_fqdn"),
                words.get("domain"),
                Addr(asked) if asked else None,
                Addr(given) if given else None,
                None if found.lease is None else Interval(float(found.lease)),
                words.get("client_message"),
                words.get("server_message"),
                found.types,
                Interval((found.last - found.begun) / 1_000_000),
            ),
            found.begun,
        )


SPEC: Final = ProtocolSpec(
    name="dhcp", transports=("udp",), ports=(67, 68), probe=probe,
    first=b"\x01\x02", parser=DhcpParser, service="dhcp", kinds=("dhcp",),
    weight=5,
)  # fmt: skip
