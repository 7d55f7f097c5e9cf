"""MongoDB: hello and buildInfo, both answered without a log-in. MongoDB wire protocol (OP_MSG); bsonspec.org, version 1.1."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Asking, Fields, Heard, clean, details, recognised

OP_MSG: Final = 2013
MESSAGE_BYTES_MAX: Final = 12_288  # ours
ITEMS_MAX: Final = 64  # ours: elements of a document that are looked at
# Sizes of the kinds of BSON that have a fixed one: double, object id, boolean, date, null, int32, timestamp, int64, decimal.
FIXED: Final = {1: 8, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16}
Value = str | int | bool


def command(number: int, name: str) -> bytes:
    """A message that asks the database admin."""
    pairs = (
        b"\x10"
        + name.encode()
        + b"\0"
        + (1).to_bytes(4, "little")
        + b"\x02$db\0"
        + (6).to_bytes(4, "little")
        + b"admin\0"
    )
    document = (len(pairs) + 5).to_bytes(4, "little") + pairs + b"\0"
    body = bytes(4) + b"\0" + document
    return b"".join(item.to_bytes(4, "little") for item in (16 + len(body), number, 0, OP_MSG)) + body


def document(data: bytes) -> dict[str, Value]:
    """Texts, numbers and truths of the outermost level; what is nested is stepped over."""
    fields, found = Fields(data), dict[str, Value]()
    fields.take(4)
    for _ in range(ITEMS_MAX):
        kind = fields.big(1)
        if kind == 0:
            break
        name = clean(fields.until_zero(), 64)
        if kind == 2:
            found[name] = clean(fields.take(fields.little(4)).rstrip(b"\0"))
        elif kind in (3, 4):
            fields.take(max(0, fields.little(4) - 4))
        elif kind == 5:
            fields.take(fields.little(4) + 1)
        elif kind in FIXED:
            raw = fields.take(FIXED[kind])
            if kind in (8, 16, 18):
                found[name] = bool(raw[0]) if kind == 8 else int.from_bytes(raw, "little", signed=True)
        else:
            break
    return found


def _asked(heard: Heard, number: int, name: str) -> Asking[dict[str, Value]]:
    head = yield from heard.exactly(16, command(number, name))
    size, code = int.from_bytes(head[:4], "little"), int.from_bytes(head[12:], "little")
    if code != OP_MSG or not 26 <= size <= MESSAGE_BYTES_MAX:
        raise MalformedError("scan.mongo_header")
    return document((yield from heard.exactly(size - 16))[5:])


def talk(place: Place) -> Talk:
    """Two commands; whether data can be read without a log-in is not tried."""
    heard = Heard()
    hello = yield from _asked(heard, 1, "hello")
    if "maxWireVersion" not in hello and "ok" not in hello and "errmsg" not in hello:
        return None
    try:
        build = yield from _asked(heard, 2, "buildInfo")
    except MalformedError:
        build = {}
    facts = details(
        wire_version=hello.get("maxWireVersion"), replica_set=hello.get("setName"), primary=hello.get("isWritablePrimary"),
    )  # fmt: skip
    return recognised("mongodb", "MongoDB", str(build.get("version", "")), facts=facts)


SPEC: Final = ServiceSpec(name="mongodb", talk=talk, ports=(27017, 27018))
