"""Figures of health, one value a series and minute: plain rows of ``nsm.db``, written by the health process.

30 days of 50 series are 2.2 million rows, 51 MB (measured: 23.5 bytes a row); names stand once, in a table of their own.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from nsm.errors import StoreError
from nsm.store.database import open_database, transaction

SERIES_MAX: Final = 500  # ours: names that ever were; beyond, new ones are left out and counted
POINTS_MAX: Final = 2_000  # of one answer and series
DAY_S: Final = 86_400


class HealthStore:
    """Samples of one store; any process may hold one."""

    def __init__(self, directory: Path) -> None:
        self._connection = open_database(directory)
        self._lock = threading.RLock()
        self.refused = 0

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def add(self, ts: int, values: Mapping[str, float | None], keep_days: int) -> None:
        """Keep the values of a minute (``ts`` in s UTC) and let those leave that are too old; None is left out.

        StoreError when the disk is full or another writer takes too long.
        """
        try:
            with self._lock, transaction(self._connection) as connection:
                known = dict(connection.execute("SELECT name, id FROM health_series").fetchall())
                rows = [(number, ts, float(value)) for name, value in values.items()
                        if value is not None and (number := self._number(known, name)) is not None]  # fmt: skip
                connection.executemany("INSERT OR REPLACE INTO health_sample VALUES (?,?,?)", rows)
                old = ts - keep_days * DAY_S
                # By series, along the primary key: an index by time would double the table.
                connection.executemany(
                    "DELETE FROM health_sample WHERE series=? AND ts<?", [(number, old) for number in known.values()]
                )
                if len(known) >= SERIES_MAX:
                    connection.execute("DELETE FROM health_series WHERE id NOT IN (SELECT series FROM health_sample)")
        except sqlite3.Error as error:
            raise StoreError(f"figures of health cannot be kept: {error}", where="nsm.db") from error

    def series(self, beginning: str, start: int, stop: int, step_s: int = 60) -> dict[str, list[tuple[int, float]]]:
        """Name -> [(s UTC, mean of the step)] of the series whose names begin so; the newest POINTS_MAX of each."""
        step_s = max(60, step_s, (stop - start) // POINTS_MAX)
        sql = (
            "SELECT name, ts / ? * ?, avg(value) FROM health_series JOIN health_sample ON series = id"
            " WHERE substr(name, 1, ?) = ? AND ts >= ? AND ts < ? GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found: dict[str, list[tuple[int, float]]] = {}
        for name, ts, value in self._all(sql, (step_s, step_s, len(beginning), beginning, start, stop)):
            found.setdefault(name, []).append((int(ts), float(value)))
        return {name: points[-POINTS_MAX:] for name, points in found.items()}

    def gaps_since(self, start_us: int) -> list[tuple[int, int, str, str]]:
        """(start, stop, process, what) of interruptions that ended since then, the newest first; at most 1,000."""
        sql = "SELECT start_us, stop_us, process, what FROM gap WHERE stop_us >= ? ORDER BY start_us DESC LIMIT 1000"
        return [(int(row[0]), int(row[1]), str(row[2]), str(row[3])) for row in self._all(sql, (start_us,))]

    def _number(self, known: dict[str, int], name: str) -> int | None:
        if name not in known:
            if len(known) >= SERIES_MAX:
                self.refused += 1
                return None
            made = self._connection.execute("INSERT INTO health_series(name) VALUES (?)", (name,))
            known[name] = int(made.lastrowid or 0)
        return known[name]

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()
