"""Messages between processes: a kind, a small header of plain values (MessagePack) and tables of Rows, with the lengths before.

Both ends are ours; nothing of it comes from the network. Most processes and commands send headers alone: what carries
tables (``table_transport``, with NumPy and Arrow) is loaded by the first message that has some.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from nsm.model.table import Rows

MESSAGE_MAX: Final = 1 << 30
_LENGTHS = struct.Struct("<II")


class Message(NamedTuple):
    """What came over."""

    kind: str
    header: dict[str, Any]
    tables: dict[str, Rows]


def encode(kind: str, header: Mapping[str, Any], tables: Sequence[Rows] = ()) -> bytes:
    """A message as bytes, lengths included."""
    head = msgspec.msgpack.encode({"kind": kind, "tables": [rows.table.name for rows in tables], **header})
    body = b""
    if tables:
        from nsm.run.table_transport import bytes_of

        body = b"".join(bytes_of(rows) for rows in tables)
    return _LENGTHS.pack(len(head), len(body)) + head + body


def lengths_of(data: bytes | bytearray) -> tuple[int, int] | None:
    """(bytes of the head, bytes of the body) of a message that begins here; None when too little is there."""
    if len(data) < _LENGTHS.size:
        return None
    head, body = _LENGTHS.unpack_from(data)
    return head, body


def decode(head: bytes, body: bytes) -> Message:
    """The message of a head and a body."""
    header = msgspec.msgpack.decode(head)
    names = header.pop("tables")
    tables = {}
    if names:
        from nsm.run.table_transport import tables_of

        tables = tables_of(names, body)
    return Message(header.pop("kind"), header, tables)


def read_message(file: BinaryIO) -> Message | None:
    """The next message of a blocking file; None at its end."""
    lengths = _exactly(file, _LENGTHS.size)
    if lengths is None:
        return None
    head, body = _LENGTHS.unpack(lengths)
    if head + body > MESSAGE_MAX:
        return None
    data = _exactly(file, head + body)
    return None if data is None else decode(data[:head], data[head:])


def _exactly(file: BinaryIO, count: int) -> bytes | None:
    parts = []
    while count > 0:
        part = file.read(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
