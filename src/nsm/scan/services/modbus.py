"""Modbus: maker and model, read only. Modbus Application Protocol 1.1b3, section 6.21. Only with consent "ics".

Controllers of machines are easily upset, and no question is worth a stop of one.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, clean, details, recognised

READ_IDENTITY: Final = bytes.fromhex("6e7300000005ff2b0e0100")  # transaction, protocol 0, unit 255, basic objects
OBJECTS: Final = {0: "maker", 1: "model", 2: "revision"}
EXCEPTION: Final = 0xAB  # function 0x2B with the error bit


def talk(place: Place) -> Talk:
    """One reading question."""
    heard = Heard()
    head = yield from heard.exactly(7, READ_IDENTITY)
    size = int.from_bytes(head[4:6], "big")
    if head[:4] != b"ns\0\0" or not 3 <= size <= 254:
        raise MalformedError("scan.modbus_header")
    fields = Fields((yield from heard.exactly(size - 1)))
    function = fields.big(1)
    if function == EXCEPTION:
        return recognised("mbap", facts=details(exception=fields.big(1)))
    if function != 0x2B or fields.big(1) != 0x0E:
        return None
    fields.take(4)
    found: dict[str, str] = {}
    for _ in range(min(fields.big(1), 16)):
        number, value = fields.big(1), fields.take(fields.big(1))
        if number in OBJECTS:
            found[OBJECTS[number]] = clean(value)
    product = f"{found.get('maker', '')} {found.get('model', '')}".strip()
    return recognised("mbap", product, found.get("revision", ""), confidence=1.0, facts=details(**found))


SPEC: Final = ServiceSpec(name="mbap", talk=talk, ports=(502,), consent="ics")
