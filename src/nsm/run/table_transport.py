"""Tables of Rows in messages between processes: an Arrow IPC stream each, with its length before it.

Tables keep their extra columns (tick, first_ns).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from nsm.model.flow import FLOW
from nsm.model.record import RECORD
from nsm.model.table import TEXT, Rows, Table
from nsm.model.traffic import ACTIVITY, ANOMALY, ARP, SECOND, TARGET

TABLES: Final[dict[str, Table]] = {
    table.name: table for table in (FLOW, TARGET, ARP, ANOMALY, SECOND, ACTIVITY, RECORD)
}


def bytes_of(rows: Rows) -> bytes:
    """A table as it is sent."""
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


def tables_of(names: Sequence[str], body: bytes) -> dict[str, Rows]:
    """The tables of a message's body, by name."""
    tables = {}
    at = 0
    for name in names:
        (length,) = struct.unpack_from("<I", body, at)
        tables[name] = _rows(TABLES[name], body[at + 4 : at + 4 + length])
        at += 4 + length
    return tables


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
