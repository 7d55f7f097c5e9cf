"""The outbox: messages that wait for a channel, how they ended, and which alerts each channel was told.

A message and the alerts it tells of are kept in one transaction, so that an alert is never told twice and never forgotten,
whenever the process dies. Before each try the state becomes ``trying``: a message that is found in it after a restart may
have arrived or not, and is never tried again by itself (``unsure``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.model.address import text
from nsm.model.finding import Alert
from nsm.model.notice import Notice, alert_of
from nsm.store.database import open_database, transaction

WAITING, TRYING, SENT, DEAD, UNSURE, DROPPED = "waiting", "trying", "sent", "dead", "unsure", "dropped"
HISTORY_MAX: Final = 10_000  # ours: messages that ended, and are still listed
TOLD_MAX: Final = 200_000  # ours: alerts of all channels; the oldest leave
ALERTS_MAX: Final = 10_000  # of one reading of the store


class Queued(msgspec.Struct, frozen=True):
    """A message on its way through one channel. ``id`` names it in the outbox, ``notice`` is what is sent."""

    id: str
    notice: Notice
    tries: int


class NoticeStore:
    """The outbox of one store. ``clock`` gives seconds since 1970."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._connection = open_database(directory)
        self._lock = threading.RLock()
        self._clock = clock

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def put(self, channel: str, notice: Notice, told: Iterable[Alert], queue_max: int) -> int:
        """Keep a message and what it tells of; how many older ones had to leave the queue."""
        now = self._now()
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            self._connection.executemany(
                "INSERT OR IGNORE INTO notice_told VALUES (?,?,?,?,?)",
                [(channel, one.id, one.rev, -1 if one.ended else int(one.severity), now) for one in told],
            )
            seq = 1 + execute("SELECT coalesce(max(seq), 0) FROM notice").fetchone()[0]
            row = (
                f"{channel}/{notice.id}",
                seq,
                channel,
                notice.title,
                msgspec.json.encode(notice),
                now,
                WAITING,
                0,
                now,
                0,
                "",
            )
            execute("INSERT OR IGNORE INTO notice VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)
            return int(execute(
                "UPDATE notice SET state=?, ended_us=?, error='the queue was full' WHERE id IN (SELECT id FROM notice"
                " WHERE channel=? AND state=? ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                (DROPPED, now, channel, WAITING, queue_max),
            ).rowcount)  # fmt: skip

    def told(self, channel: str, alert: str) -> int:
        """The severity that the channel was last told of that alert; -1 when it was not, or was told that it is over."""
        sql = "SELECT severity FROM notice_told WHERE channel=? AND alert=? ORDER BY rev DESC LIMIT 1"
        found = self._all(sql, (channel, alert))
        return int(found[0][0]) if found else -1

    def take(self, channel: str) -> Queued | None:
        """The next message that is due, marked as being tried; None when none is."""
        sql = (
            "SELECT id, json, tries FROM notice WHERE channel=? AND state=? AND due_us<=? ORDER BY due_us, seq LIMIT 1"
        )
        with self._lock, transaction(self._connection):
            row = self._connection.execute(sql, (channel, WAITING, self._now())).fetchone()
            if row is None:
                return None
            self._connection.execute("UPDATE notice SET state=?, tries=tries+1 WHERE id=?", (TRYING, row[0]))
        return Queued(row[0], msgspec.json.decode(row[1], type=Notice), row[2] + 1)

    def end(self, number: str, state: str, error: str = "") -> None:
        """Note how a message ended; the oldest that ended leave, and what was told longest ago."""
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            execute("UPDATE notice SET state=?, ended_us=?, error=? WHERE id=?", (state, self._now(), error, number))
            execute(
                "DELETE FROM notice WHERE state NOT IN (?,?) AND seq <= (SELECT max(seq) FROM notice) - ?",
                (WAITING, TRYING, HISTORY_MAX),
            )
            if execute("SELECT count(*) FROM notice_told").fetchone()[0] > TOLD_MAX:
                at = execute("SELECT at_us FROM notice_told ORDER BY at_us LIMIT 1 OFFSET ?", (TOLD_MAX // 10,))
                execute("DELETE FROM notice_told WHERE at_us < ?", at.fetchone())

    def again(self, number: str, wait_s: float, error: str) -> None:
        """Try a message again after so many seconds."""
        row = (WAITING, self._now() + int(wait_s * 1e6), error, number)
        self._change("UPDATE notice SET state=?, due_us=?, error=? WHERE id=?", row)

    def hurry(self, channel: str) -> None:
        """The channel works again: what waits for another try is due now."""
        self._change(
            "UPDATE notice SET due_us=min(due_us, ?) WHERE channel=? AND state=?", (self._now(), channel, WAITING)
        )

    def lose(self) -> list[tuple[str, Notice]]:
        """(channel, message) of those that were being tried when the process ended: they are unsure now."""
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            rows = execute("SELECT channel, json FROM notice WHERE state=? ORDER BY seq", (TRYING,)).fetchall()
            execute("UPDATE notice SET state=?, ended_us=? WHERE state=?", (UNSURE, self._now(), TRYING))
        return [(channel, msgspec.json.decode(data, type=Notice)) for channel, data in rows]

    def counts(self, channel: str) -> dict[str, int]:
        """Messages of a channel by state."""
        return dict(self._all("SELECT state, count(*) FROM notice WHERE channel=? GROUP BY state", (channel,)))

    def last(self, channel: str) -> dict[str, Any]:
        """When a message last arrived (s UTC, None: never), and what the last failure was ("" when there was none)."""
        sent = self._all("SELECT max(ended_us) FROM notice WHERE channel=? AND state=?", (channel, SENT))[0][0]
        failed = self._all(
            "SELECT error FROM notice WHERE channel=? AND error<>'' ORDER BY seq DESC LIMIT 1", (channel,)
        )
        return {"sent": sent / 1e6 if sent else None, "error": failed[0][0] if failed else ""}

    def alerts_since(self, us: int) -> list[Alert]:
        """Alerts that nobody has dealt with, last seen since then, the oldest first: what may have been missed."""
        sql = "SELECT json FROM alert WHERE ts>=? AND state IN ('new', 'escalated', 'over') ORDER BY ts LIMIT ?"
        return [alert_of(msgspec.json.decode(data)) for (data,) in self._all(sql, (us, ALERTS_MAX))]

    def new_hosts(self, start_us: int, stop_us: int, limit: int = 1_000) -> tuple[tuple[str, str], ...]:
        """(address, name) of own hosts first seen in that time, the oldest first."""
        sql = "SELECT address, name FROM host WHERE local<>0 AND first_seen>=? AND first_seen<? ORDER BY first_seen LIMIT ?"
        rows = self._all(sql, (start_us, stop_us, limit))
        return tuple((text(*(int.from_bytes(half, "big") for half in (at[:8], at[8:]))), name) for at, name in rows)

    def mark(self, name: str) -> int | None:
        """A number kept under that name; None when there is none."""
        found = self._all("SELECT value FROM meta WHERE key=?", (f"notify_{name}",))
        return int(found[0][0]) if found else None

    def set_mark(self, name: str, value: int) -> None:
        """Keep a number under a name."""
        self._change("INSERT OR REPLACE INTO meta VALUES (?,?)", (f"notify_{name}", value))

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _change(self, sql: str, values: tuple[Any, ...]) -> None:
        with self._lock, transaction(self._connection):
            self._connection.execute(sql, values)
