"""Capsules: the packets behind alerts, one SQLite file a month (``capsule/2026-11.db``), a blob an alert."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from nsm.store.database import BUSY_S, transaction
from nsm.store.folders import unlink
from nsm.store.records import Capsule


class CapsuleWriter:
    """Keeps the packets of alerts, bounded in size and in number a second of packet time."""

    def __init__(self, directory: Path, bytes_max: int, per_second_max: int) -> None:
        self._folder = directory / "capsule"
        self._bytes_max = bytes_max
        self._per_second_max = per_second_max
        self._second = (0, 0)
        self.dropped = 0

    def add(self, capsules: Iterable[Capsule]) -> None:
        """Keep the capsules that the bounds allow, the rest are counted; one that is there already stays."""
        by_month: dict[str, list[Capsule]] = {}
        for capsule in capsules:
            if self._allowed(capsule):
                by_month.setdefault(_month(capsule.ts), []).append(capsule)
            else:
                self.dropped += 1
        for month, chosen in by_month.items():
            with closing(_open(self._folder, month)) as connection, transaction(connection):
                rows = [(capsule.alert_id, capsule.ts, capsule.pcapng) for capsule in chosen]
                connection.executemany("INSERT OR IGNORE INTO capsule VALUES (?,?,?)", rows)

    def _allowed(self, capsule: Capsule) -> bool:
        if len(capsule.pcapng) > self._bytes_max:
            return False
        second, count = capsule.ts // 1_000_000, 0
        if self._second[0] == second:
            count = self._second[1]
        if count >= self._per_second_max:
            return False
        self._second = (second, count + 1)
        return True


def read_capsule(directory: Path, alert_id: str) -> bytes | None:
    """The packets of an alert, newest month first; None when none were kept."""
    for path in sorted((directory / "capsule").glob("*.db"), reverse=True):
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            row = connection.execute("SELECT pcapng FROM capsule WHERE alert=?", (alert_id,)).fetchone()
        if row is not None:
            return bytes(row[0])
    return None


def drop_months_before(directory: Path, t_us: int) -> int:
    """How many months were removed: those that ended before that time."""
    old = [path for path in sorted((directory / "capsule").glob("*.db")) if path.stem < _month(t_us)]
    for path in old:
        unlink(path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm"))
    return len(old)


def _month(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1e6, UTC).strftime("%Y-%m")


def _open(folder: Path, month: str) -> sqlite3.Connection:
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{month}.db"
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS capsule(alert TEXT PRIMARY KEY, ts INTEGER NOT NULL, pcapng BLOB NOT NULL)"
    )
    return connection
