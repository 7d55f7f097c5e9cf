"""SNMP 3: the engine's identity, uptime and maker, which it tells to everyone. RFC 3414, section 4; RFC 3411, section 5."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.ber import INTEGER, OCTET_STRING, SEQUENCE, encode, inside, integer, items, number_of
from nsm.scan.talking import details, recognised

GET, REPORT = 0xA0, 0xA8  # RFC 3416, section 3
MESSAGE_ID: Final = 0x6E73
REPORTABLE: Final = b"\x04"  # RFC 3412, section 6.4
USM: Final = 3  # user-based security model
ENTERPRISES: Final = {  # IANA, "Private Enterprise Numbers"
    9: "Cisco", 11: "Hewlett-Packard", 311: "Microsoft", 2011: "Huawei", 2636: "Juniper", 2021: "UCD-SNMP",
    8072: "Net-SNMP", 14988: "MikroTik", 12356: "Fortinet", 6876: "VMware", 25053: "Ruckus", 41112: "Ubiquiti",
}  # fmt: skip


def discovery() -> bytes:
    """A request without an engine: the answer has to name it. RFC 3414, section 4."""
    head = encode(SEQUENCE, integer(MESSAGE_ID), integer(8_192), encode(OCTET_STRING, REPORTABLE), integer(USM))
    empty = encode(OCTET_STRING)
    usm = encode(SEQUENCE, empty, integer(0), integer(0), empty, empty, empty)
    pdu = encode(GET, integer(MESSAGE_ID), integer(0), integer(0), encode(SEQUENCE))
    return encode(SEQUENCE, integer(3), head, encode(OCTET_STRING, usm), encode(SEQUENCE, empty, empty, pdu))


def talk(place: Place) -> Talk:
    """Ask for the engine."""
    parts = list(items(inside((yield discovery()), SEQUENCE)))
    if len(parts) < 4 or parts[0][0] != INTEGER or number_of(parts[0][1]) != 3:
        raise MalformedError("scan.snmp_version")
    usm = list(items(inside(parts[2][1], SEQUENCE)))
    if len(usm) < 3 or usm[0][0] != OCTET_STRING:
        raise MalformedError("scan.snmp_security")
    engine, boots, seconds = usm[0][1], number_of(usm[1][1]), number_of(usm[2][1])
    maker = ENTERPRISES.get(int.from_bytes(engine[:4], "big") & 0x7FFF_FFFF, "")
    facts = details(engine=engine[:32].hex(), boots=boots, up_s=seconds, maker=maker)
    return recognised("snmp", maker if maker == "Net-SNMP" else "", confidence=1.0, facts=facts)


SPEC: Final = ServiceSpec(name="snmp", talk=talk, ports=(161,), transport="udp")
