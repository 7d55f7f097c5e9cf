"""Rows as Arrow tables and Parquet files: any record type, with addresses as text and times as timestamps.

A pair of columns ``X_hi`` and ``X_lo`` becomes one text column (``src_ip``, ``dest_ip``, as EVE names them); columns of
microseconds since the epoch become ``timestamp[us, UTC]``; texts become strings; numbers stay as they are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nsm.errors import SinkError
from nsm.model.address import texts
from nsm.model.table import TEXT, Array, Rows, Table

GROUP_ROWS: Final = 65_536  # of a row group: enough to compress well, 20 MB of memory
TIMES: Final = ("ts", "emit_us")  # columns that are us UTC
ADDRESS_NAMES: Final = {"src": "src_ip", "dst": "dest_ip"}  # as in EVE


def _fields(table: Table) -> Iterator[tuple[str, str, pa.DataType]]:
    """(name, column it is made of, type) of each Arrow column; an address is made of its ``_lo``."""
    for column in table.columns:
        name = column.name
        if name.endswith("_hi"):
            continue
        if name.endswith("_lo"):
            stem = name.removesuffix("_lo")
            yield ADDRESS_NAMES.get(stem, stem), name, pa.string()
        elif name in TIMES:
            yield name, name, pa.timestamp("us", "UTC")
        elif column.dtype == TEXT:
            yield name, name, pa.string()
        else:
            yield name, name, pa.from_numpy_dtype(np.dtype(column.dtype))


def arrow_schema(table: Table) -> pa.Schema:
    """The schema of ``arrow_table`` for a record type."""
    return pa.schema([pa.field(name, kind) for name, _, kind in _fields(table)])


def arrow_table(rows: Rows) -> pa.Table:
    """The rows as an Arrow table; columns that order rows inside the program are left out."""
    schema = arrow_schema(rows.table)
    arrays = [pa.array(_values(rows, origin), kind) for _, origin, kind in _fields(rows.table)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _values(rows: Rows, name: str) -> Array | list[Any]:
    if name.endswith("_lo"):
        high = name.removesuffix("_lo") + "_hi"
        # ARP has IPv4 alone, mapped: no upper half.
        upper = rows[high] if high in rows.table.names else np.zeros(len(rows), np.uint64)
        return texts(upper, rows[name])
    array = rows[name]
    return array.tolist() if array.dtype == object else array


class ParquetFile:
    """A Parquet file that grows by row groups; without ``close`` it is none. What could not be finished is deleted."""

    def __init__(self, path: str | os.PathLike[str], table: Table) -> None:
        self._path, self._table = Path(path), table
        self._waiting: list[Rows] = []
        self._rows = 0
        self.count = 0
        try:
            self._writer = pq.ParquetWriter(str(path), arrow_schema(table), compression="zstd")
        except OSError as error:
            raise self._failed(error) from error

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._give_up()

    def write(self, rows: Rows) -> None:
        """Take rows; they are written when a row group is full. SinkError when the file cannot be written."""
        if not len(rows):
            return
        self._waiting.append(rows)
        self._rows += len(rows)
        self.count += len(rows)
        if self._rows >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        try:
            if self._rows:
                self._writer.write_table(
                    arrow_table(Rows.concat(self._table, self._waiting)), row_group_size=GROUP_ROWS
                )
        except OSError as error:
            self._give_up()
            raise self._failed(error) from error
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """Write the last rows and the footer."""
        self._flush()
        try:
            self._writer.close()
        except OSError as error:
            self._give_up()
            raise self._failed(error) from error

    def _give_up(self) -> None:
        with contextlib.suppress(OSError):  # the reason was said already
            self._writer.close()
        if self._path.is_file():
            self._path.unlink()

    def _failed(self, error: OSError) -> SinkError:
        reason = os.strerror(error.errno).lower() if error.errno else str(error).splitlines()[0]
        return SinkError(
            f"cannot write {str(self._path)!r}: {reason}", where="-o", mend="name a file in a folder with room"
        )
