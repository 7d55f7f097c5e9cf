"""What leaves the store, and when: by age and by size, whole segments, oldest first; never rewritten.

Age is counted from the newest row (never later than now), so that an old capture read into an empty store stays.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Final

from nsm.store import registry
from nsm.store.capsules import drop_months_before
from nsm.store.catalog import BULK
from nsm.store.database import transaction
from nsm.store.rollup import DIMS
from nsm.store.settings import StoreSettings

log = logging.getLogger(__name__)
DAY_US: Final = 86_400_000_000
HOUR_US: Final = 3_600_000_000


def newest_us(connection: sqlite3.Connection, now_us: int) -> int:
    """Time of the newest row, at most now; now when there is none."""
    newest = connection.execute("SELECT max(t_max) FROM segment").fetchone()[0]
    return now_us if newest is None else min(int(newest), now_us)


def drop_old(connection: sqlite3.Connection, directory: Path, settings: StoreSettings, now_us: int) -> int:
    """How many bulk files left for their age; sums, alerts, near misses and capsules go by theirs."""
    reference = newest_us(connection, now_us)
    dropped = 0
    with transaction(connection):
        for name in BULK:
            days = settings.flow_days if name == "flow" else settings.other_days
            old = registry.segments(connection, "tab=? AND t_max<?", (name, reference - days * DAY_US))
            registry.discard(connection, old, now_us + settings.trash_delay_s * 1_000_000)
            dropped += len(old)
        _drop_rollups(connection, settings, reference)
        last = reference - settings.alert_days * DAY_US
        connection.execute("DELETE FROM alert WHERE ts<?", (last,))
        forget_orphans(connection)
        connection.execute("DELETE FROM near_miss WHERE ts<?", (reference - settings.near_miss_days * DAY_US,))
    drop_months_before(directory, last)
    return dropped


def drop_largest(connection: sqlite3.Connection, bytes_wanted: int, at_us: int) -> int:
    """How many bytes left: the oldest file of the table that is largest, again and again."""
    freed = 0
    with transaction(connection):
        while freed < bytes_wanted:
            row = connection.execute(
                "SELECT tab FROM segment GROUP BY tab ORDER BY sum(bytes) DESC, tab LIMIT 1"
            ).fetchone()
            if row is None:
                break
            oldest = registry.segments(connection, "tab=?", row)[:1]
            registry.discard(connection, oldest, at_us)
            freed += oldest[0].bytes
    if freed:
        log.warning("store dropped old segments early bytes=%d", freed)
    return freed


def bulk_bytes(connection: sqlite3.Connection) -> int:
    """Size of all registered files."""
    return int(connection.execute("SELECT coalesce(sum(bytes), 0) FROM segment").fetchone()[0])


def trash_bytes(connection: sqlite3.Connection) -> int:
    """Size of the files that will be removed from the disk soon."""
    return int(connection.execute("SELECT coalesce(sum(bytes), 0) FROM trash").fetchone()[0])


def forget_orphans(connection: sqlite3.Connection) -> None:
    """Remove hosts and notes of alerts that are gone, within the caller's transaction."""
    connection.execute("DELETE FROM alert_host WHERE alert NOT IN (SELECT id FROM alert)")
    connection.execute("DELETE FROM note WHERE alert NOT IN (SELECT id FROM alert)")


def _drop_rollups(connection: sqlite3.Connection, settings: StoreSettings, reference: int) -> None:
    kept_us = {
        1: settings.rollup_second_hours * HOUR_US,
        60: settings.rollup_minute_days * DAY_US,
        3600: settings.rollup_hour_days * DAY_US,
    }
    for level, span in kept_us.items():
        # The floor is what the reader goes by: at and above it a level is complete.
        floor = (reference - span) // 1_000_000 // 3600 * 3600
        known = connection.execute("SELECT value FROM meta WHERE key=?", (f"floor_{level}",)).fetchone()[0]
        if floor <= known:
            continue
        for dim in range(len(DIMS)):
            connection.execute("DELETE FROM rollup WHERE res=? AND dim=? AND t<?", (level, dim, floor))
        connection.execute("UPDATE meta SET value=? WHERE key=?", (floor, f"floor_{level}"))
