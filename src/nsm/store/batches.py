"""Which batches are stored: ranges of numbers for each (sensor, boot), so that the list does not grow.

A sender numbers its batches without holes, so there is one range for each of its starts, and one more for
every batch that was refused and not sent again.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from nsm.store.records import BatchId

RANGES_MAX: Final = 10_000  # ours: a sensor started ten times a day for years; the oldest are forgotten


def is_known(connection: sqlite3.Connection, batch: BatchId) -> bool:
    """True when the batch is stored already."""
    row = connection.execute(
        "SELECT last FROM batch_range WHERE sensor=? AND boot_id=? AND first<=? ORDER BY first DESC LIMIT 1",
        (batch.sensor, batch.boot_id, batch.seq),
    ).fetchone()
    return row is not None and row[0] >= batch.seq


def remember(connection: sqlite3.Connection, batch: BatchId, now_us: int) -> None:
    """Note a batch as stored, within the caller's transaction; it must not be known."""
    who = (batch.sensor, batch.boot_id)
    execute = connection.execute
    before = execute("SELECT first FROM batch_range WHERE sensor=? AND boot_id=? AND last=?",
                     (*who, batch.seq - 1)).fetchone()  # fmt: skip
    after = execute("SELECT last FROM batch_range WHERE sensor=? AND boot_id=? AND first=?",
                    (*who, batch.seq + 1)).fetchone()  # fmt: skip
    first = before[0] if before else batch.seq
    last = after[0] if after else batch.seq
    if after:
        execute("DELETE FROM batch_range WHERE sensor=? AND boot_id=? AND first=?", (*who, batch.seq + 1))
    execute("INSERT OR REPLACE INTO batch_range VALUES (?,?,?,?,?)", (*who, first, last, now_us))
    if not before and not after:
        _forget_oldest(connection)


def _forget_oldest(connection: sqlite3.Connection) -> None:
    surplus = connection.execute("SELECT count(*) FROM batch_range").fetchone()[0] - RANGES_MAX
    if surplus > 0:
        connection.execute(
            "DELETE FROM batch_range WHERE (sensor, boot_id, first) IN"
            " (SELECT sensor, boot_id, first FROM batch_range ORDER BY at_us LIMIT ?)",
            (surplus,),
        )
