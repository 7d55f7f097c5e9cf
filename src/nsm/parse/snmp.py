"""SNMP 1, 2c and 3: one ``snmp`` event a message, one row of snmp.log a flow. RFC 1157, RFC 3416, RFC 3412, RFC 3414.

Of version 3 the engine and the user are read; what is encrypted stays so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Interval, Match, ProtocolSpec, Record, Row, Side, Time
from nsm.wire.ber import OCTETS, OID, SEQUENCE, BerError, expect, head, integer, oid_text
from nsm.wire.dns_message import ipv4_text, text

PDU_NAMES: Final = {
    0xA0: "get_request", 0xA1: "get_next_request", 0xA2: "response", 0xA3: "set_request", 0xA4: "trap_v1",
    0xA5: "get_bulk_request", 0xA6: "inform_request", 0xA7: "trap_v2", 0xA8: "report",
}  # fmt: skip # RFC 3416, section 3
TRAP_NAMES: Final = (
    "cold_start", "warm_start", "link_down", "link_up", "authentication_failure", "egp_neighbor_loss", "enterprise_specific",
)  # fmt: skip # RFC 1157, section 4.1.6
VERSIONS: Final = {0: (1, "1"), 1: (2, "2c"), 3: (3, "3")}  # RFC 1157, 4; RFC 3584; RFC 3412, 6.1
USER_SECURITY: Final = 3  # RFC 3414, section 2.4
ENCRYPTED_FLAG: Final = 2  # RFC 3412, section 6.4
VARS_MAX: Final = 256  # ours: variables of a message that are listed
SYSTEM_DESCRIPTION: Final = bytes((0x2B, 6, 1, 2, 1, 1, 1, 0))  # RFC 3418: 1.3.6.1.2.1.1.1.0
SYSTEM_UP_TIME: Final = bytes((0x2B, 6, 1, 2, 1, 1, 3, 0))
TIME_TICKS: Final = 0x43  # RFC 2578, section 7.1.8
BAD_MESSAGES_MAX: Final = 50  # ours


class Snmp(Record):
    """A message."""

    version: int
    pdu_type: str | None = None
    community: str | None = None
    usm: str | None = None
    vars: list[str] | None = None
    trap_type: str | None = None
    trap_oid: str | None = None
    trap_address: str | None = None


class SnmpRow(Row):
    """A line of snmp.log."""

    duration: Interval
    version: str
    community: str | None
    get_requests: int
    get_bulk_requests: int
    get_responses: int
    set_requests: int
    display_string: str | None
    up_since: Time | None


@lru_cache(1024)
def _oid(raw: bytes) -> str:
    return oid_text(raw)


def _bindings(data: bytes, at: int, end: int) -> list[tuple[bytes, int, bytes]]:
    """(OID, tag, value) of each variable."""
    found: list[tuple[bytes, int, bytes]] = []
    at, end = expect(data, at, end, SEQUENCE)
    while at < end and len(found) < VARS_MAX:
        first, last = expect(data, at, end, SEQUENCE)
        name, name_end = expect(data, first, last, OID)
        tag, value, value_end = head(data, name_end, last)
        found.append((data[name:name_end], tag, data[value:value_end]))
        at = last
    return found


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A SEQUENCE that begins with a version; versions 1 and 2c go on with a community and a PDU, 3 is told by the port."""
    try:
        at, end = expect(data, 0, len(data), SEQUENCE)
        version, at = integer(data, at, end)
        tag, at, last = head(data, at, end)
        if version == 3:
            return Match.YES if tag == SEQUENCE and port else Match.NO  # others begin so too: LDAP's numbers, for one
        if version not in (0, 1) or tag != OCTETS:
            return Match.NO
        return Match.YES if head(data, last, end)[0] in PDU_NAMES else Match.NO
    except BerError:
        return Match.NO


class SnmpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("snmp")
        self._first = 0
        self._last = 0
        self._version = ""
        self._number = -1
        self._community: str | None = None
        self._counts = {"get": 0, "bulk": 0, "response": 0, "set": 0}
        self._display: str | None = None
        self._up_since: Time | None = None
        self._bad = 0
        self._count = 0

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message."""
        conv = self._conv
        try:
            event = self._message(side, data)
        except BerError:
            self._bad += 1
            conv.anomaly("malformed_data", side=side)
            if self._bad > BAD_MESSAGES_MAX:
                raise MalformedError("malformed_data") from None
            return len(data)
        if event is not None:
            if self._events:
                conv.emit("snmp", {"snmp": event}, sender=side)
            self._count += 1
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """Write the row."""
        if not self._version or not self._conv.rows:
            return
        counts = self._counts
        self._conv.row(
            SnmpRow(
                Interval((self._last - self._first) / 1_000_000),
                self._version,
                self._community,
                counts["get"],
                counts["bulk"],
                counts["response"],
                counts["set"],
                self._display,
                self._up_since,
            ),
            self._first,
        )

    def _message(self, side: Side, data: bytes) -> Snmp | None:
        at, end = expect(data, 0, len(data), SEQUENCE)
        number, at = integer(data, at, end)
        if number not in VERSIONS:
            raise BerError
        version, name = VERSIONS[number]
        if self._version:
            self._last = self._conv.ts_us
        else:
            self._first = self._last = self._conv.ts_us
        if self._number >= 0 and self._number != number:
            self._conv.anomaly("version_mismatch", side=side, tx_id=self._count)
        self._version, self._number = name, number
        if version == 3:
            return self._version3(side, data, at, end)
        first, last = expect(data, at, end, OCTETS)
        community = data[first:last]
        self._community = community.decode("utf-8", "surrogateescape")
        return self._pdu(data, last, end, version, text(community), None)

    def _version3(self, side: Side, data: bytes, at: int, end: int) -> Snmp | None:
        first, last = expect(data, at, end, SEQUENCE)
        _, first = integer(data, first, last)
        _, first = integer(data, first, last)
        flag, flag_end = expect(data, first, last, OCTETS)
        model, _ = integer(data, flag_end, last)
        encrypted = flag < flag_end and data[flag] & ENCRYPTED_FLAG
        first, after = expect(data, last, end, OCTETS)
        user: str | None = None
        if model == USER_SECURITY:
            user = self._user(data, first, after)
        else:
            self._conv.anomaly("unknown_security_model", side=side, tx_id=self._count)
        if encrypted:
            return Snmp(3, "encrypted", None, user)
        at, end = expect(data, after, end, SEQUENCE)
        for _ in range(2):  # engine and name of the context
            _, at = expect(data, at, end, OCTETS)
        return self._pdu(data, at, end, 3, None, user)

    def _user(self, data: bytes, at: int, end: int) -> str:
        at, end = expect(data, at, end, SEQUENCE)
        _, at = expect(data, at, end, OCTETS)
        _, at = integer(data, at, end)
        _, at = integer(data, at, end)
        first, last = expect(data, at, end, OCTETS)
        return text(data[first:last])

    def _pdu(self, data: bytes, at: int, end: int, version: int, community: str | None, user: str | None) -> Snmp:
        tag, at, end = head(data, at, end)
        kind = PDU_NAMES.get(tag)
        if kind is None:
            raise BerError
        trap: tuple[str | None, str | None, str | None] = (None, None, None)
        if tag == 0xA4:
            first, last = expect(data, at, end, OID)
            _, address, address_end = head(data, last, end)
            generic, after = integer(data, address_end, end)
            _, after = integer(data, after, end)
            _, _, at = head(data, after, end)
            named = TRAP_NAMES[generic] if 0 <= generic < len(TRAP_NAMES) else str(generic)
            shown = ipv4_text(data[address:address_end]) if address_end - address == 4 else None
            trap = (named, _oid(data[first:last]), shown)
        else:
            for _ in range(3):  # request id, error status, error index
                _, at = integer(data, at, end)
        variables = _bindings(data, at, end)
        self._tally(tag, variables)
        names = [_oid(name) for name, _, _ in variables]
        return Snmp(version, kind, community, user, names or None, *trap)

    def _tally(self, tag: int, variables: list[tuple[bytes, int, bytes]]) -> None:
        """Count as Zeek does: variables, not messages."""
        counted = {0xA0: "get", 0xA1: "get", 0xA2: "response", 0xA3: "set", 0xA5: "bulk"}.get(tag)
        if counted is not None:
            self._counts[counted] += len(variables)
        if tag != 0xA2:
            return
        for name, kind, value in variables:
            if name == SYSTEM_DESCRIPTION and kind == OCTETS:
                self._display = value.decode("utf-8", "surrogateescape")
            elif name == SYSTEM_UP_TIME and kind == TIME_TICKS:
                self._up_since = Time(self._conv.ts_us / 1_000_000 - int.from_bytes(value, "big") / 100)


SPEC: Final = ProtocolSpec(
    name="snmp", transports=("udp",), ports=(161, 162), probe=probe,
    first=b"\x30", parser=SnmpParser, service="snmp", kinds=("snmp",),
    weight=2,
)  # fmt: skip
