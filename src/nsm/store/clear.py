"""Clear the logs: from any process, in one transaction, while the writer goes on.

Alerts that a person has worked on (a note, or a state other than new) stay unless they are asked for too.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import Final

from nsm.errors import StoreError
from nsm.store import registry
from nsm.store.catalog import BULK
from nsm.store.database import open_database, open_read_only, transaction
from nsm.store.records import ClearCounts
from nsm.store.retention import forget_orphans

KINDS: Final = (*BULK, "alert", "near_miss")
TRASH_DELAY_S: Final = 120  # as StoreSettings.trash_delay_s by default: readers finish with the files they have
_WORKED_ON: Final = "(notes > 0 OR state NOT IN ('new', 'over'))"


def clear_counts(directory: Path, kinds: Collection[str] | None = None, *, keep_noted: bool = True) -> ClearCounts:
    """What ``clear`` would remove now."""
    with closing(open_read_only(directory)) as connection:
        return _counts(connection, _checked(kinds), keep_noted)


def clear(
    directory: Path,
    kinds: Collection[str] | None = None,
    *,
    keep_noted: bool = True,
    clock: Callable[[], float] = time.time,
) -> ClearCounts:
    """What was removed: rows of the named kinds (default: all), and for flows and seconds their sums.

    ``keep_noted``: alerts with notes or a state stay. ``meta.epoch`` rises, so that others can see it.
    """
    chosen = _checked(kinds)
    at_us = int((clock() + TRASH_DELAY_S) * 1e6)
    with closing(open_database(directory, create=False)) as connection, transaction(connection):
        counts = _counts(connection, chosen, keep_noted)
        for name in chosen & set(BULK):
            registry.discard(connection, registry.segments(connection, "tab=?", (name,)), at_us)
        if {"flow", "second"} <= chosen:
            connection.execute("DELETE FROM rollup")
        if "alert" in chosen:
            connection.execute(f"DELETE FROM alert WHERE NOT {_WORKED_ON if keep_noted else '0'}")
            forget_orphans(connection)
        if "near_miss" in chosen:
            connection.execute("DELETE FROM near_miss")
        connection.execute("UPDATE meta SET value = value + 1 WHERE key='epoch'")
    return counts


def _checked(kinds: Collection[str] | None) -> set[str]:
    chosen = set(KINDS if kinds is None else kinds)
    unknown = chosen - set(KINDS)
    if unknown:
        raise StoreError(f"cannot clear {min(unknown)}: no such kind", mend=f"known: {', '.join(KINDS)}")
    if len(chosen & {"flow", "second"}) == 1:
        # Their sums share one table and one clock; a half-cleared one would show traffic without flows.
        chosen |= {"flow", "second"}
    return chosen


def _counts(connection: sqlite3.Connection, chosen: set[str], keep_noted: bool) -> ClearCounts:
    bulk = sorted(chosen & set(BULK))
    rows, start, stop = connection.execute(
        "SELECT coalesce(sum(rows), 0), coalesce(min(t_min), 0), coalesce(max(t_max), 0) FROM segment"
        f" WHERE tab IN ({','.join('?' * len(bulk))})",
        bulk,
    ).fetchone()
    alerts, worked_on = connection.execute(
        f"SELECT count(*), count(*) FILTER (WHERE {_WORKED_ON}) FROM alert"
    ).fetchone()
    kept = worked_on if keep_noted else 0
    if "alert" not in chosen:
        alerts, kept = 0, 0
    return ClearCounts(int(rows), int(alerts - kept), int(kept), int(start), int(stop))
