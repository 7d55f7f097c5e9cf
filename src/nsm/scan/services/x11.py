"""X11: the connection set-up, refused or not. X Window System Protocol, version 11, section 8."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, clean, details, recognised

SETUP: Final = bytes.fromhex("6c000b000000000000000000")  # least byte first, 11.0, no authorisation
FAILED, SUCCESS = 0, 1


def release(number: int) -> str:
    """X.Org's release number as its version: 12101007 is 21.1.7, since the leading 1 was dropped in 2021."""
    parts = (number // 10_000_000, number // 100_000 % 100, number // 1_000 % 100, number % 1_000)
    return ".".join(str(part) for part in (parts[1:] if parts[0] == 1 and parts[1] >= 20 else parts[:3]))


def talk(place: Place) -> Talk:
    """Ask as a client without a cookie would."""
    heard = Heard()
    head = yield from heard.exactly(8, SETUP)
    if head[0] not in (FAILED, SUCCESS) or head[2:4] != b"\x0b\0":
        return None
    size = 4 * int.from_bytes(head[6:8], "little")
    if head[0] != SUCCESS:
        if not 0 < size <= 1_024:
            return None
        reason = (yield from heard.peek(size))[: head[1] or size]
        return recognised("x11", facts=details(refused=clean(reason).strip()))
    if not 32 <= size <= 12_288:
        raise MalformedError("scan.x11_size")
    fields = Fields((yield from heard.exactly(32)))
    number = fields.little(4)
    fields.take(12)
    count = fields.little(2)
    vendor = clean((yield from heard.exactly(min(count, 256))))
    known = "X.Org" in vendor
    facts = details(vendor=vendor, release=number, open_to_all=True)
    return recognised(
        "x11", "X.Org Server" if known else vendor, release(number) if known else "", confidence=1.0, facts=facts
    )


SPEC: Final = ServiceSpec(name="x11", talk=talk, ports=(6000, 6001, 6002, 6003))
