"""What people do with alerts: a state and notes. Any process may write it; the writer never overwrites it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from nsm.errors import StoreError
from nsm.store.database import open_database, transaction

STATES: Final = ("new", "done", "escalated", "snoozed", "muted", "expected")  # ux.md 4.2
NOTE_CHARS_MAX: Final = 4_000
NOTES_MAX: Final = 1_000  # of one alert


def triage(
    directory: Path,
    alert_ids: Sequence[str],
    *,
    state: str | None = None,
    note: str = "",
    who: str = "",
    clock: Callable[[], float] = time.time,
) -> int:
    """How many alerts now have that state (None: the one they had) and the note. All of them, or StoreError."""
    if state is not None and state not in STATES:
        raise StoreError(f"there is no state {state!r}", mend=f"one of {', '.join(STATES)}")
    if len(note) > NOTE_CHARS_MAX:
        raise StoreError(f"a note has at most {NOTE_CHARS_MAX} characters")
    now_us = int(clock() * 1e6)
    with closing(open_database(directory, create=False)) as connection, transaction(connection):
        for alert_id in alert_ids:
            row = connection.execute("SELECT state, notes FROM alert WHERE id=?", (alert_id,)).fetchone()
            if row is None:
                raise StoreError(f"there is no alert {alert_id}", mend="nsm alerts   lists them")
            if note and row[1] >= NOTES_MAX:
                raise StoreError(f"alert {alert_id} has {NOTES_MAX} notes already")
            connection.execute(
                "UPDATE alert SET state=?, notes=notes+? WHERE id=?", (state or row[0], bool(note), alert_id)
            )
            # A change of state without words is part of the alert's story too, but no note.
            connection.execute(
                "INSERT INTO note(alert, ts, who, state, text) VALUES (?,?,?,?,?)",
                (alert_id, now_us, who, state or row[0], note),
            )
    return len(alert_ids)
