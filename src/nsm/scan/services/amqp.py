"""AMQP 0-9-1: the server's own properties, told before any log-in. AMQP 0-9-1, sections 2.2.4, 4.2 and connection.start."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, clean, details, recognised

HEADER: Final = b"AMQP\0\0\x09\x01"
METHOD_FRAME: Final = 1
CONNECTION_START: Final = bytes.fromhex("000a000a")
ITEMS_MAX: Final = 64  # ours: properties that are looked at
# Field kinds of a fixed size: t b B U u I i L l f d D T. RabbitMQ's "AMQP 0-9-1 errata", section 3.
SIZES: Final = {
    ord(kind): size
    for kind, size in zip("tbBsuIiLlfdDTV", (1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 5, 8, 0), strict=True)
}  # fmt: skip


def properties(data: bytes) -> dict[str, str]:
    """The texts of a table; what is nested is stepped over."""
    fields, found = Fields(data), dict[str, str]()
    for _ in range(ITEMS_MAX):
        if not fields.left:
            break
        name, kind = clean(fields.take(fields.big(1)), 64), fields.big(1)
        if kind in b"SxFA":
            value = fields.take(fields.big(4))
            if kind == ord("S"):
                found[name] = clean(value)
        elif kind in SIZES:
            fields.take(SIZES[kind])
        else:
            break
    return found


def talk(place: Place) -> Talk:
    """Offer 0-9-1; a server of another version answers with the header of its own."""
    heard = Heard()
    head = yield from heard.exactly(7, HEADER)
    if head[:4] == b"AMQP":
        rest = yield from heard.exactly(1)
        return recognised("amqp", facts=details(protocol=f"{head[5]}.{head[6]}.{rest[0]}"))
    size = int.from_bytes(head[3:], "big")
    if head[0] != METHOD_FRAME or not 10 <= size <= 8_192:
        raise MalformedError("scan.amqp_frame")
    fields = Fields((yield from heard.exactly(size)))
    if fields.take(4) != CONNECTION_START:
        return None
    protocol = f"{fields.big(1)}.{fields.big(1)}"
    found = properties(fields.take(fields.big(4)))
    facts = details(
        protocol=protocol, mechanisms=clean(fields.take(fields.big(4))), platform=found.get("platform"),
        cluster=found.get("cluster_name"),
    )  # fmt: skip
    return recognised("amqp", found.get("product", ""), found.get("version", ""), confidence=1.0, facts=facts)


SPEC: Final = ServiceSpec(name="amqp", talk=talk, ports=(5672, 5671))
