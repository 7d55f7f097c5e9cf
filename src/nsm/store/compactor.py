"""Makes segments of open batches, and larger segments of small ones.

Reads files of one table, sorts their rows by time, writes one file, and swaps old for new in one transaction.
When something else took one of the old files off the list meanwhile (the logs were cleared), nothing changes.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nsm.model.table import TEXT, Table
from nsm.store import registry
from nsm.store.catalog import BULK, arrow_schema, arrow_type
from nsm.store.database import transaction
from nsm.store.files import ROW_GROUP_ROWS, segment_writer
from nsm.store.folders import private_folder, sync_folder, unlink
from nsm.store.registry import Segment
from nsm.store.settings import StoreSettings

log = logging.getLogger(__name__)
SMALL_SEGMENTS_MAX: Final = 32  # ours: then they are joined; a day of a quiet site stays below 100 files
FILES_PER_ROUND_MAX: Final = 512
STEPS_MAX: Final = 64  # merges of one table in a round; the rest waits for the next


class Compactor:
    """One round looks at every table once. ``lock`` keeps its commits and the writer's apart."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        directory: Path,
        settings: StoreSettings,
        lock: threading.RLock,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._settings = settings
        self._lock = lock
        self._clock = clock
        self.made = 0
        self.damaged = 0

    def round(self, *, force: bool = False) -> int:
        """How many segments were made. ``force``: of everything that is open, however little."""
        before = self.made
        for name in BULK:
            for _ in range(STEPS_MAX):
                if not self._step(name, force=force):
                    break
        return self.made - before

    def close(self) -> None:
        """Close the connection; the compactor is of no use afterwards."""
        self._connection.close()

    def _step(self, name: str, *, force: bool) -> bool:
        with self._lock:
            waiting = registry.segments(self._connection, "tab=? AND open=1", (name,))
            small = registry.segments(
                self._connection, "tab=? AND open=0 AND rows<?", (name, self._settings.segment_rows // 2)
            )
        chosen = self._due(waiting, force=force)
        if not chosen and len(small) >= SMALL_SEGMENTS_MAX:
            chosen = self._first_rows(small)
        return bool(chosen) and self._merge(BULK[name], chosen)

    def _due(self, waiting: Sequence[Segment], *, force: bool) -> list[Segment]:
        if not waiting:
            return []
        enough = sum(segment.rows for segment in waiting) >= self._settings.segment_rows
        age_s = self._clock() - min(segment.added_us for segment in waiting) / 1e6
        many = len(waiting) > self._settings.spool_files_max and age_s > self._settings.spool_age_s
        return self._first_rows(waiting) if enough or many or force else []

    def _first_rows(self, found: Sequence[Segment]) -> list[Segment]:
        """The oldest files, up to the rows of a segment."""
        chosen, rows = [], 0
        for segment in found[:FILES_PER_ROUND_MAX]:
            chosen.append(segment)
            rows += segment.rows
            if rows >= self._settings.segment_rows:
                break
        return chosen

    def _merge(self, table: Table, chosen: Sequence[Segment]) -> bool:
        try:
            made = self._write(table, chosen)
        except pa.ArrowInvalid:
            return self._set_aside(table, chosen)
        at_us = int((self._clock() + self._settings.trash_delay_s) * 1e6)
        try:
            with self._lock, transaction(self._connection):
                registry.add(self._connection, made)
                _replace(self._connection, chosen, at_us)
        except _LeftError:
            unlink(self._directory / made.file)
            return False
        except BaseException:
            with self._lock:
                registry.remove_unregistered(self._connection, self._directory, [made.file])
            raise
        self.made += 1
        log.debug("segment made table=%s files=%d rows=%d bytes=%d", table.name, len(chosen), made.rows, made.bytes)
        return True

    def _set_aside(self, table: Table, chosen: Sequence[Segment]) -> bool:
        """True when unreadable files were found and taken off the list, so that the others go on.

        The disk has spoilt them; they are kept under ``quarantine/`` for who wants to look.
        """
        bad = [segment for segment in chosen if not _readable(table, self._directory / segment.file)]
        private_folder(self._directory / "quarantine")
        for segment in bad:
            log.error("store file is damaged table=%s rows=%d file=%s", table.name, segment.rows, segment.file)
            with self._lock, transaction(self._connection):
                self._connection.execute("DELETE FROM segment WHERE id=?", (segment.id,))
            path = self._directory / segment.file
            path.rename(self._directory / "quarantine" / path.name)
        self.damaged += len(bad)
        return bool(bad)

    def _write(self, table: Table, chosen: Sequence[Segment]) -> Segment:
        data = read_files(table, [self._directory / segment.file for segment in chosen])
        ts = data.column("ts").to_numpy()
        order = None if len(ts) < 2 or bool(np.all(ts[1:] >= ts[:-1])) else np.argsort(ts, kind="stable")
        day = datetime.fromtimestamp(int(ts.min()) / 1e6, UTC).strftime("%Y/%m/%d")
        name = f"seg/{table.name}/{day}/{chosen[0].id:012d}-{chosen[-1].id:012d}-{secrets.token_hex(4)}.parquet"
        path = self._directory / name
        private_folder(path.parent)
        temporary = path.with_suffix(".tmp")
        try:
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w+b") as file:
                with segment_writer(file, table, data.schema) as writer:
                    for start in range(0, data.num_rows, ROW_GROUP_ROWS):
                        part = data.slice(start, ROW_GROUP_ROWS)
                        if order is not None:
                            part = data.take(pa.array(order[start : start + ROW_GROUP_ROWS]))
                        writer.write_table(part, row_group_size=ROW_GROUP_ROWS)
                file.flush()
                os.fsync(file.fileno())
                size, crc = file.tell(), _crc32(file.fileno())
            temporary.rename(path)
        except BaseException:
            unlink(temporary)
            raise
        self._sync(path.parent)
        now_us = int(self._clock() * 1e6)
        return Segment(0, table.name, name, 0, int(ts.min()), int(ts.max()), data.num_rows, size, crc,
                       table.version, now_us)  # fmt: skip

    def _sync(self, folder: Path) -> None:
        while folder != self._directory:
            sync_folder(folder)
            folder = folder.parent


class _LeftError(Exception):
    """A file to be replaced has left the list."""


def _replace(connection: sqlite3.Connection, chosen: Sequence[Segment], at_us: int) -> None:
    if not registry.discard(connection, chosen, at_us):
        raise _LeftError


def read_files(table: Table, paths: Sequence[Path]) -> pa.Table:
    """The rows of some files, one after the other; a column that an older file lacks has its default."""
    text = [column.name for column in table.stored if column.dtype == TEXT]
    parts = [pq.read_table(path, read_dictionary=text, partitioning=None, use_threads=False) for path in paths]
    joined = pa.concat_tables(parts, promote_options="permissive").unify_dictionaries()
    columns = []
    for column in table.stored:
        kind = arrow_type(column)
        if column.name not in joined.column_names:
            default = str(column.default or "") if column.dtype == TEXT else column.default
            columns.append(pa.array(np.full(joined.num_rows, default)).cast(kind))
        else:
            found = joined.column(column.name)
            columns.append(pc.fill_null(found, column.default) if found.null_count else found.cast(kind))
    return pa.Table.from_arrays(columns, schema=arrow_schema(table))


def _readable(table: Table, path: Path) -> bool:
    try:
        read_files(table, [path])
    except pa.ArrowInvalid:
        return False
    return True


def _crc32(handle: int) -> int:
    crc, offset = 0, 0
    while chunk := os.pread(handle, 1 << 20, offset):
        crc = zlib.crc32(chunk, crc)
        offset += len(chunk)
    return crc
