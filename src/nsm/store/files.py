"""Parquet files of the store: how they are encoded, and how they come to be on the disk for good.

An open batch is written quickly (zstd 1, no dictionary); a segment is written small (zstd 3, dictionaries on
columns with few values, differences on ``ts``, bloom filters on what is looked up by exact value). Both keep
the bytes of wide numbers apart (BYTE_STREAM_SPLIT): the upper ones are nearly all zero, so the whole is a tenth
smaller and takes half the time to compress.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from nsm.model.table import TEXT, Table
from nsm.store.folders import private_folder, sync_folder, unlink

ROW_GROUP_ROWS: Final = 122_880  # DuckDB's vector of row groups; smaller ones were slower for active hosts
BLOOM_FPP: Final = 0.01
BLOOM_DISTINCT: Final = 60_000  # distinct values expected in a row group; 1 % of the file's size


def encode_batch(batch: pa.RecordBatch, of: Table) -> pa.Buffer:
    """The bytes of an open batch."""
    sink = pa.BufferOutputStream()
    text = [column.name for column in of.stored if column.dtype == TEXT]
    pq.write_table(
        pa.Table.from_batches([batch]),
        sink,
        compression="zstd",
        compression_level=1,
        use_dictionary=text,
        column_encoding=_split_columns(of),
        write_statistics=["ts"],
        store_schema=False,
    )
    return sink.getvalue()


def segment_writer(sink: Any, of: Table, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer with the encodings of a segment."""
    dictionary = [column.name for column in of.stored if column.dictionary or column.dtype == TEXT]
    present = set(schema.names)
    bloom = {
        column.name: {"ndv": BLOOM_DISTINCT, "fpp": BLOOM_FPP}
        for column in of.stored
        if column.bloom and column.name in present
    }
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=dictionary,
        column_encoding={name: how for name, how in _split_columns(of).items() if name in present},
        bloom_filter_options=bloom or None,
        store_schema=False,
    )


def _split_columns(of: Table) -> dict[str, str]:
    wide = {
        column.name: "BYTE_STREAM_SPLIT"
        for column in of.stored
        if column.dtype in ("uint32", "uint64") and not column.dictionary and not column.bloom
    }
    return {**wide, "ts": "DELTA_BINARY_PACKED"}


def write_durably(path: Path, data: Any) -> int:
    """The CRC-32 of the bytes, which are on the disk under that name; the caller makes the folder durable.

    A name appears only when its bytes are complete. On any error nothing is left behind.
    """
    temporary = path.with_suffix(".tmp")
    handle = _new_file(temporary)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            view = memoryview(data)
            while view.nbytes:
                view = view[file.write(view) or 0 :]
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        unlink(temporary)
        raise
    return zlib.crc32(data)


def _new_file(path: Path) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        private_folder(path.parent)
        sync_folder(path.parent.parent)
        return os.open(path, flags, 0o600)


def bulk_files(directory: Path) -> Iterable[Path]:
    """Every bulk file that lies in the store, registered or not."""
    for folder in ("spool", "seg"):
        yield from (path for path in (directory / folder).rglob("*") if path.is_file())
