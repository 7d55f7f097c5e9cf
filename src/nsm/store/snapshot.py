"""One consistent look at the store: the files and sums as of one commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nsm.errors import QueryError, StoreError
from nsm.store.database import open_read_only
from nsm.store.rollup import LEVELS


class Database:
    """The reading side of ``nsm.db``; threads may share it, one at a time is inside."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection = open_read_only(directory)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def snapshot(self, budget_ms: int = 10_000) -> Iterator[sqlite3.Connection]:
        """A read transaction: everything asked inside is of one commit. QueryError above the budget."""
        with self._lock:
            timer = threading.Timer(budget_ms / 1000, self._connection.interrupt)
            timer.daemon = True
            timer.start()
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                if "interrupted" in str(error):
                    raise too_slow(budget_ms) from error
                raise StoreError(f"the store cannot be read: {error}", where=str(self._directory)) from error
            except OverflowError as error:
                raise QueryError("a number in the question is too large") from error
            finally:
                timer.cancel()
                self._connection.execute("COMMIT")

    def all(self, sql: str, params: tuple[Any, ...] | list[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with self.snapshot() as connection:
            return connection.execute(sql, params).fetchall()


def floors(connection: sqlite3.Connection) -> dict[int, int]:
    """Level -> time (s) from which its sums are complete."""
    known = dict(connection.execute("SELECT key, value FROM meta WHERE key LIKE 'floor%'").fetchall())
    return {level: int(known[f"floor_{level}"]) for level in LEVELS}


def too_slow(budget_ms: int) -> QueryError:
    """The error for a question that takes longer than its budget."""
    return QueryError(
        f"the question takes longer than {budget_ms} ms", mend="narrow the time, or allow more with --budget"
    )
