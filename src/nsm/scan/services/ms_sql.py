"""Microsoft SQL Server: version and encryption from the pre-login. [MS-TDS] 2.2.6.5 and 2.2.3.1."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, details, recognised

PRELOGIN, ANSWER = 0x12, 0x04  # [MS-TDS] 2.2.3.1.1
VERSION, ENCRYPTION, END = 0, 1, 0xFF
# Two options (version, encryption) at offsets 11 and 17; the encryption says "not supported" (2).
OPTIONS: Final = bytes.fromhex("00000b00060100110001ff00000000000002")
REQUEST: Final = bytes((PRELOGIN, 1)) + (8 + len(OPTIONS)).to_bytes(2, "big") + bytes.fromhex("00000100") + OPTIONS
ENCRYPTIONS: Final = {0: "off", 1: "on", 2: "not supported", 3: "required"}
YEARS: Final = {
    8: "2000",
    9: "2005",
    10: "2008",
    11: "2012",
    12: "2014",
    13: "2016",
    14: "2017",
    15: "2019",
    16: "2022",
}


def talk(place: Place) -> Talk:
    """Ask what is asked before each log-in."""
    heard = Heard()
    head = yield from heard.exactly(8, REQUEST)
    size = int.from_bytes(head[2:4], "big")
    if head[0] != ANSWER or head[1] != 1 or not 15 <= size <= 1_024:
        raise MalformedError("scan.tds_header")
    data = yield from heard.exactly(size - 8)
    fields, found = Fields(data), dict[int, bytes]()
    while (token := fields.big(1)) != END and len(found) < 16:
        offset, length = fields.big(2), fields.big(2)
        found[token] = data[offset : offset + length]
    version = found.get(VERSION, b"")
    if len(version) != 6:
        raise MalformedError("scan.tds_version")
    number = f"{version[0]}.{version[1]}.{int.from_bytes(version[2:4], 'big')}"
    encryption = ENCRYPTIONS.get(int.from_bytes(found.get(ENCRYPTION, b"\xff"), "big"), "")
    facts = details(release=YEARS.get(version[0]), encryption=encryption)
    return recognised("ms-sql-s", "Microsoft SQL Server", number, confidence=1.0, facts=facts)


SPEC: Final = ServiceSpec(name="ms-sql-s", talk=talk, ports=(1433,))
