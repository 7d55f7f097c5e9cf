"""SNMP 2c with the community "public": is the system's description told to everyone? RFC 3416; RFC 3418 (sysDescr).

Only with the consent "community": the word is a password, if a poor one.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.ber import INTEGER, NULL, OCTET_STRING, SEQUENCE, encode, inside, integer, items, number_of, object_id
from nsm.scan.talking import clean, details, recognised

GET, RESPONSE = 0xA0, 0xA2  # RFC 3416, section 3
VERSION_2C: Final = 1  # RFC 1901, section 3
SYS_DESCR: Final = "1.3.6.1.2.1.1.1.0"
COMMUNITY: Final = b"public"


def talk(place: Place) -> Talk:
    """Ask for one value."""
    wanted = encode(SEQUENCE, encode(SEQUENCE, object_id(SYS_DESCR), encode(NULL)))
    pdu = encode(GET, integer(1), integer(0), integer(0), wanted)
    answer = yield encode(SEQUENCE, integer(VERSION_2C), encode(OCTET_STRING, COMMUNITY), pdu)
    parts = list(items(inside(answer, SEQUENCE)))
    if len(parts) < 3 or parts[0][0] != INTEGER or number_of(parts[0][1]) != VERSION_2C or parts[2][0] != RESPONSE:
        raise MalformedError("scan.snmp_answer")
    pdu_parts = list(items(parts[2][1]))
    described = ""
    if len(pdu_parts) >= 4:
        binding = list(items(inside(pdu_parts[3][1], SEQUENCE)))
        described = clean(binding[1][1]) if len(binding) > 1 and binding[1][0] == OCTET_STRING else ""
    facts = details(community="public", system=described)
    return recognised("snmp", confidence=1.0, banner=described.encode(), facts=facts)


SPEC: Final = ServiceSpec(name="snmp", talk=talk, ports=(161,), transport="udp", consent="community")
