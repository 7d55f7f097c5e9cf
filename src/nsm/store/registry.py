"""The list of bulk files: a file counts when it is in the table ``segment``, from that commit on.

A file that leaves the list goes into ``trash`` in the same transaction and is removed from the disk later,
when no reader can have it in its snapshot any more.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from nsm.store.files import bulk_files
from nsm.store.folders import unlink

log = logging.getLogger(__name__)
_COLUMNS: Final = "id, tab, file, open, t_min, t_max, rows, bytes, crc32, schema_version, added_us"


class Segment(msgspec.Struct, frozen=True):
    """One registered file. ``open``: a batch as it came, not yet part of a segment. ``file`` is relative."""

    id: int
    tab: str
    file: str
    open: int
    t_min: int
    t_max: int
    rows: int
    bytes: int
    crc32: int
    schema_version: int
    added_us: int


def add(connection: sqlite3.Connection, segment: Segment) -> None:
    """Register a file, within the caller's transaction; its ``id`` is given by the table."""
    values = msgspec.structs.astuple(segment)[1:]
    connection.execute(f"INSERT INTO segment({_COLUMNS[4:]}) VALUES (?,?,?,?,?,?,?,?,?,?)", values)


def segments(connection: sqlite3.Connection, where: str = "1", values: Sequence[object] = ()) -> list[Segment]:
    """The registered files that satisfy a condition of ours, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM segment WHERE {where} ORDER BY t_max, id"
    return [Segment(*row) for row in connection.execute(sql, tuple(values))]


def seconds_since(connection: sqlite3.Connection, us: int) -> int:
    """Seconds of the wire that are kept since then, on average of the interfaces: each is a row."""
    sql = "SELECT coalesce(sum(rows), 0) FROM segment WHERE tab='second' AND t_max>=?"
    rows = int(connection.execute(sql, (us,)).fetchone()[0])
    interfaces = int(connection.execute("SELECT max(1, count(*)) FROM interface").fetchone()[0])
    return rows // interfaces


def between(connection: sqlite3.Connection, tab: str, start_us: int | None, stop_us: int | None) -> list[Segment]:
    """The files of a table that may hold rows of that time."""
    first = -(1 << 62) if start_us is None else start_us
    last = (1 << 62) if stop_us is None else stop_us
    return segments(connection, "tab=? AND t_max>=? AND t_min<?", (tab, first, last))


def discard(connection: sqlite3.Connection, gone: Sequence[Segment], at_us: int) -> bool:
    """False when one of them has left the list already; the caller then rolls back."""
    for segment in gone:
        if not connection.execute("DELETE FROM segment WHERE id=?", (segment.id,)).rowcount:
            return False
        connection.execute("INSERT OR REPLACE INTO trash VALUES (?,?,?)", (segment.file, at_us, segment.bytes))
    return True


def empty_trash(connection: sqlite3.Connection, directory: Path, now_us: int) -> int:
    """How many files were removed: those whose time has come."""
    names = [row[0] for row in connection.execute("SELECT file FROM trash WHERE at_us<=? LIMIT 10000", (now_us,))]
    unlink(*(directory / name for name in names))
    connection.executemany("DELETE FROM trash WHERE file=?", [(name,) for name in names])
    return len(names)


def remove_unregistered(connection: sqlite3.Connection, directory: Path, names: Iterable[str]) -> None:
    """Remove files of an attempt that failed, but none that its commit has made part of the store after all.

    An interrupt can come when the commit has been made already. In doubt a file stays, for the next start.
    """
    with contextlib.suppress(sqlite3.Error):
        for name in names:
            if connection.execute("SELECT 1 FROM segment WHERE file=?", (name,)).fetchone() is None:
                unlink(directory / name)


def put_in_order(connection: sqlite3.Connection, directory: Path) -> tuple[int, int]:
    """(files removed that nobody registered, registered files found missing); for the start, under the lock.

    Nothing acknowledged can be among the first. A missing file was removed by other hands: its rows are
    taken off the list, loudly, so that everything else stays readable.
    """
    known = {row[0] for row in connection.execute("SELECT file FROM segment UNION SELECT file FROM trash")}
    lying = {str(path.relative_to(directory)) for path in bulk_files(directory)}
    unlink(*(directory / name for name in lying - known))
    missing = [segment for segment in segments(connection) if segment.file not in lying]
    for segment in missing:
        log.error("store file is missing table=%s rows=%d file=%s", segment.tab, segment.rows, segment.file)
        connection.execute("DELETE FROM segment WHERE id=?", (segment.id,))
    return len(lying - known), len(missing)
