"""Jobs that ran, and schedules of those to come: plain rows of ``nsm.db``.

A job is work beside the monitoring: a scan, a report. What kinds there are, and what a task holds, is the runner's business.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.store.database import open_database, transaction

JOBS_MAX: Final = 10_000  # ours: rows of history; the oldest leave
SCHEDULES_MAX: Final = 200
TASK_BYTES_MAX: Final = 64 * 1024
TEXT_CHARS_MAX: Final = 2_000

RUNNING, DONE, FAILED, CANCELLED, LOST = "running", "done", "failed", "cancelled", "lost"


class Schedule(msgspec.Struct, frozen=True):
    """``trigger``: five fields of cron, or "every 6h". ``due_us``: when it is to run next, 0 not known yet."""

    id: int
    kind: str
    name: str
    trigger: str
    task: dict[str, Any]
    enabled: bool
    who: str
    created_us: int
    due_us: int


class Job(msgspec.Struct, frozen=True):
    """``schedule``: the one it was run by, 0 for a person. ``text`` is a sentence, ``result`` what the kind says."""

    id: int
    kind: str
    name: str
    schedule: int
    who: str
    started_us: int
    ended_us: int
    state: str
    text: str
    result: dict[str, Any]


class JobStore:
    """Schedules and jobs of one store; any process may hold one. ``clock`` gives seconds since 1970."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._connection = open_database(directory)
        self._lock = threading.RLock()
        self._clock = clock

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def schedules(self) -> list[Schedule]:
        """All of them, the oldest first."""
        rows = self._all(
            "SELECT id, kind, name, trigger, task, enabled, who, created_us, due_us FROM schedule ORDER BY id"
        )
        names = Schedule.__struct_fields__
        return [
            Schedule(**dict(zip(names, (*row[:4], json.loads(row[4]), bool(row[5]), *row[6:]), strict=True)))
            for row in rows
        ]

    def add_schedule(self, kind: str, name: str, trigger: str, task: dict[str, Any], who: str) -> int:
        """The id of the schedule now kept; QueryError when there are too many or the task is too large."""
        text = json.dumps(task)
        if len(text) > TASK_BYTES_MAX:
            raise QueryError("the task is too large", where="task")
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            if execute("SELECT count(*) FROM schedule").fetchone()[0] >= SCHEDULES_MAX:
                raise QueryError("there are too many schedules", mend="remove one first")
            columns = "kind, name, trigger, task, enabled, who, created_us, due_us"
            row = (kind, name[:200], trigger, text, 1, who, self._now(), 0)
            return int(execute(f"INSERT INTO schedule({columns}) VALUES (?,?,?,?,?,?,?,?)", row).lastrowid or 0)

    def enable_schedule(self, number: int, enabled: bool) -> bool:
        """Switch a schedule on or off; False when there is none."""
        return bool(self._change("UPDATE schedule SET enabled=?, due_us=0 WHERE id=?", (int(enabled), number)))

    def set_due(self, number: int, due_us: int) -> None:
        """Keep when a schedule is to run next, so that a time missed while nothing ran is known afterwards."""
        self._change("UPDATE schedule SET due_us=? WHERE id=?", (due_us, number))

    def remove_schedule(self, number: int) -> bool:
        """False when there is none; jobs that it ran stay."""
        return bool(self._change("DELETE FROM schedule WHERE id=?", (number,)))

    def begin(self, kind: str, name: str, who: str, schedule: int = 0) -> int:
        """The id of a job that starts now; the oldest of ``JOBS_MAX`` leave."""
        columns = "kind, name, schedule, who, started_us, ended_us, state, text, result"
        row = (kind, name[:200], schedule, who, self._now(), 0, RUNNING, "", "{}")
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            number = execute(f"INSERT INTO job({columns}) VALUES (?,?,?,?,?,?,?,?,?)", row).lastrowid
            execute("DELETE FROM job WHERE id <= ?", (int(number or 0) - JOBS_MAX,))
        return int(number or 0)

    def end(self, number: int, state: str, text: str = "", result: dict[str, Any] | None = None) -> None:
        """Note how a job ended."""
        row = (self._now(), state, text[:TEXT_CHARS_MAX], json.dumps(result or {}), number)
        self._change("UPDATE job SET ended_us=?, state=?, text=?, result=? WHERE id=?", row)

    def lose(self) -> int:
        """Jobs that were running when the service ended are lost; how many. For the start of the service."""
        text = "the service ended while it ran"
        return self._change(
            "UPDATE job SET ended_us=?, state=?, text=? WHERE state=?", (self._now(), LOST, text, RUNNING)
        )

    def jobs(self, limit: int = 100, kind: str | None = None) -> list[Job]:
        """The newest first."""
        columns = "id, kind, name, schedule, who, started_us, ended_us, state, text, result"
        sql = f"SELECT {columns} FROM job WHERE (? IS NULL OR kind=?) ORDER BY id DESC LIMIT ?"
        names = Job.__struct_fields__
        rows = self._all(sql, (kind, kind, limit))
        return [Job(**dict(zip(names, (*row[:9], json.loads(row[9])), strict=True))) for row in rows]

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _change(self, sql: str, values: tuple[Any, ...]) -> int:
        with self._lock, transaction(self._connection):
            return self._connection.execute(sql, values).rowcount
