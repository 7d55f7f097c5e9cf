"""Records between processes: one Arrow IPC stream a message, with its length before it.

A message is a kind, a small header of plain values (MessagePack) and tables of Rows. Tables keep their extra columns
(tick, first_ns). Both ends are ours; nothing of it comes from the network.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple, cast

import msgspec
import numpy as np

from nsm.model.flow import FLOW
from nsm.model.records import Records
from nsm.model.table import TEXT, Rows, Table
from nsm.model.traffic import ACTIVITY, ANOMALY, ARP, SECOND, TARGET

TABLES: Final[dict[str, Table]] = {table.name: table for table in (FLOW, TARGET, ARP, ANOMALY, SECOND, ACTIVITY)}
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
    body = b"".join(_table_bytes(rows) for rows in tables)
    return _LENGTHS.pack(len(head), len(body)) + head + body


def _table_bytes(rows: Rows) -> bytes:
    import pyarrow as pa  # late: not every process sends tables, and it takes 27 MB

    arrays, names = [], []
    for name, array in rows.items():
        names.append(name)
        arrays.append(pa.array(array.tolist(), pa.string()) if array.dtype == object else pa.array(array))
    batch = pa.RecordBatch.from_arrays(arrays, names=names)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data = sink.getvalue()
    return struct.pack("<I", len(data)) + data


def lengths_of(data: bytes | bytearray) -> tuple[int, int] | None:
    """(bytes of the head, bytes of the body) of a message that begins here; None when too little is there."""
    if len(data) < _LENGTHS.size:
        return None
    head, body = _LENGTHS.unpack_from(data)
    return head, body


def decode(head: bytes, body: bytes) -> Message:
    """The message of a head and a body."""
    header = msgspec.msgpack.decode(head)
    tables = {}
    at = 0
    for name in header.pop("tables"):
        (length,) = struct.unpack_from("<I", body, at)
        tables[name] = _rows(TABLES[name], body[at + 4 : at + 4 + length])
        at += 4 + length
    return Message(header.pop("kind"), header, tables)


def _rows(table: Table, data: bytes) -> Rows:
    import pyarrow as pa

    with pa.ipc.open_stream(data) as reader:
        batch = pa.Table.from_batches(reader, reader.schema).combine_chunks()
    columns = {}
    for name in batch.column_names:
        column = batch.column(name)
        text = name in table.names and table.column(name).dtype == TEXT
        if text:
            columns[name] = np.array(column.to_pylist(), object)
        else:
            columns[name] = column.to_numpy().copy()
    return Rows(table, columns, batch.num_rows)


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


def records_message(records: Records, **header: Any) -> bytes:
    """Records as a message; empty tables are left out."""
    return encode("records", {"watermark": records.watermark, **header}, [rows for rows in records.tables if len(rows)])


def records_of(message: Message) -> Records:
    """The records of a message."""
    tables = [message.tables.get(name) for name in ("flow", "target", "arp", "anomaly", "second")]
    known = [FLOW, TARGET, ARP, ANOMALY, SECOND]
    filled = [rows if rows is not None else Rows.empty(table) for rows, table in zip(tables, known, strict=True)]
    return Records(cast("int", message.header["watermark"]), *filled)
