"""Answers from the store, in any process, read-only, without ever blocking the writer.

Every call takes one consistent snapshot: a SQLite read transaction gives the list of files, the sums and the
alerts as of one commit, then DuckDB reads those files. All times are microseconds UTC, start <= t < stop.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import StoreError
from nsm.model.finding import SEVERITY_WORDS
from nsm.store import grammar, registry, report_sums, shape
from nsm.store import series as sums
from nsm.store.bulk import Bulk, FileVanishedError
from nsm.store.capsules import read_capsule
from nsm.store.engines import duckdb as duckdb_engine
from nsm.store.engines import sqlite as engine
from nsm.store.plan import Plan, cursor_of, plan
from nsm.store.queryspec import And, Node, QuerySpec, Result, Stats, Term
from nsm.store.records import Gap
from nsm.store.snapshot import Database, floors

NEAR_MISSES_MAX: Final = 10_000
SNAPSHOTS_MAX: Final = 3  # a file is in the trash for twice the longest question, so one repeat is nearly always enough


class AlertFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts. ``q``: the filter grammar, ``where``: a condition beside it; empty ``states``: any state.

    ``after``: the ``next`` of a page.
    """

    q: str = ""
    where: Node | None = None
    start_us: int | None = None
    stop_us: int | None = None
    states: tuple[str, ...] = ()
    limit: int = 100
    after: str | None = None


class AlertPage(msgspec.Struct, frozen=True):
    """Alerts, newest first, and the totals of everything that matches."""

    items: list[dict[str, Any]]
    total: int
    by_severity: dict[str, int]
    by_kind: dict[str, int]
    next: str | None


class Reader:
    """Reads one store. Threads may share it; StoreError when there is no store, QueryError for a bad question."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._database = Database(directory)
        self._bulk = Bulk(directory)

    def close(self) -> None:
        """Close every connection."""
        self._bulk.close()
        self._database.close()

    def query(self, spec: QuerySpec) -> Result:
        """The answer to a question over any table; QueryError when it is malformed or takes longer than its budget."""
        started = time.perf_counter()
        for _ in range(SNAPSHOTS_MAX):
            try:
                return self._answer(spec, started)
            except FileVanishedError:
                continue
        raise self._vanishing()

    def flows_of_host(self, address: str, limit: int = 100) -> list[dict[str, Any]]:
        """The last flows of an address, newest first; keys are the columns of ``flow`` with src and dst as text."""
        return self.query(QuerySpec(where=Term("host", "=", address), limit=limit)).dicts()

    def alerts(self, wanted: AlertFilter) -> AlertPage:
        """Alerts (``Alert.as_dict()`` plus ``state`` and ``notes``) with totals by severity and by kind."""
        conditions = [grammar.where(wanted.q, "alert"), wanted.where]
        if wanted.states:
            conditions.append(Term("state", "in", wanted.states))
        kept = tuple(node for node in conditions if node is not None)
        spec = QuerySpec(table="alert", start_us=wanted.start_us, stop_us=wanted.stop_us, where=And(kept),
                         select=("id",), limit=wanted.limit, cursor=wanted.after)  # fmt: skip
        chosen = plan(spec)
        with self._database.snapshot(spec.budget_ms) as connection:
            text, params = engine.compile_rows(chosen, wanted.limit + 1)
            rows = connection.execute(text, params).fetchall()
            items = [_alert(connection, row[0]) for row in rows[: wanted.limit]]
            by_severity = _counted(connection, chosen, "severity")
            by_kind = _counted(connection, chosen, "kind")
        more = cursor_of(rows[wanted.limit - 1][1:]) if len(rows) > wanted.limit else None
        severities = {SEVERITY_WORDS[number]: count for number, count in by_severity.items()}
        return AlertPage([item for item in items if item], sum(by_kind.values()), severities, by_kind, more)

    def alert(self, alert_id: str) -> dict[str, Any] | None:
        """One alert in full, ``notes`` a list of {ts, who, state, text}; None when there is none."""
        with self._database.snapshot() as connection:
            found = _alert(connection, alert_id)
            if found is not None:
                notes = connection.execute(
                    "SELECT ts, who, state, text FROM note WHERE alert=? ORDER BY id", (alert_id,)
                )
                found["notes"] = [dict(zip(("ts", "who", "state", "text"), row, strict=True)) for row in notes]
        return found

    def series(
        self, dim: str, keys: Sequence[str] | None, measure: str, start_us: int, stop_us: int, step_s: int
    ) -> dict[str, Any]:
        """Sums over time, from rollups alone: {t0 (us), step_s, keys, values: one list a key}.

        ``dim``: total, proto, app, host, port, iface, direction, or wire (by interface, from packets of each second).
        ``measure``: flows, pkts, bytes, bytes_s, bytes_c. ``keys`` None: the 8 largest, and "other" for the rest.
        Keys are texts; of proto, port, iface and wire they are numbers. ``host`` and ``port`` are not kept below
        a minute. For ``host`` and ``wire``, ``bytes_s`` is what was sent and ``bytes_c`` what was received.
        """
        with self._database.snapshot() as connection:
            return sums.series(connection, floors(connection), dim, keys, measure, start_us, stop_us, step_s)

    def top(self, dim: str, measure: str, start_us: int, stop_us: int, n: int = 10) -> list[dict[str, Any]]:
        """The n largest keys: {key, flows, pkts, bytes, bytes_s, bytes_c}; last {key: "other", ...} for the rest.

        The time is widened to whole minutes.
        """
        with self._database.snapshot() as connection:
            return sums.top(connection, floors(connection), dim, measure, start_us, stop_us, n)

    def threats(self, start_us: int, stop_us: int) -> dict[str, dict[str, int]]:
        """Number of alerts last seen in that time: {by_kind: {kind: n}, by_severity: {word: n}}."""
        chosen = plan(QuerySpec(table="alert", start_us=start_us, stop_us=stop_us))
        with self._database.snapshot() as connection:
            by_severity = _counted(connection, chosen, "severity")
            by_kind = _counted(connection, chosen, "kind")
        words = {word: by_severity.get(number, 0) for number, word in enumerate(SEVERITY_WORDS)}
        return {"by_kind": by_kind, "by_severity": words}

    def interfaces(self) -> dict[int, str]:
        """Number -> name of every interface that rows may name."""
        return dict(self._database.all("SELECT number, name FROM interface ORDER BY number"))

    def counts(self) -> dict[str, dict[str, int]]:
        """Table -> {rows, bytes, files, start_us, stop_us}; ``alert`` is among them."""
        names = ("rows", "bytes", "files", "start_us", "stop_us")
        found = self._database.all(
            "SELECT tab, sum(rows), sum(bytes), count(*), min(t_min), max(t_max) + 1 FROM segment GROUP BY tab"
            " UNION ALL SELECT 'alert', count(*), coalesce(sum(length(json)), 0), 0, coalesce(min(first_seen), 0),"
            " coalesce(max(ts) + 1, 0) FROM alert ORDER BY 1"
        )
        return {str(tab): dict(zip(names, values, strict=True)) for tab, *values in found}

    def settings_history(self) -> list[dict[str, Any]]:
        """Settings that alerts were made under, newest first: {hash, since_us, settings}."""
        rows = self._database.all("SELECT hash, since_us, json FROM settings_history ORDER BY since_us DESC LIMIT 1000")
        return [{"hash": row[0], "since_us": row[1], "settings": json.loads(row[2])} for row in rows]

    def near_misses(self, detector: str, start_us: int, stop_us: int) -> list[dict[str, Any]]:
        """Measurements of a detector below its threshold, oldest first, at most 10,000."""
        names = ("ts", "key", "measured", "threshold", "window_s")
        rows = self._database.all(
            f"SELECT {', '.join(names)} FROM near_miss WHERE detector=? AND ts>=? AND ts<? ORDER BY ts LIMIT ?",
            (detector, start_us, stop_us, NEAR_MISSES_MAX),
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def capsule(self, alert_id: str) -> bytes | None:
        """The packets of an alert as pcapng; None when none were kept."""
        return read_capsule(self._directory, alert_id)

    def gaps(self, start_us: int = 0, stop_us: int | None = None) -> list[Gap]:
        """Times in which monitoring was interrupted, newest first, at most 1,000."""
        rows = self._database.all(
            "SELECT start_us, stop_us, process, what, packets FROM gap WHERE stop_us>=? AND start_us<?"
            " ORDER BY start_us DESC, id DESC LIMIT 1000",
            (start_us, (1 << 62) if stop_us is None else stop_us),
        )
        return [Gap(*row) for row in rows]

    def hosts(self, since_us: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Hosts first seen since then, newest first: {address, mac, name, local, first_seen, last_seen}."""
        names = ("address", "mac", "name", "local", "first_seen", "last_seen")
        rows = self._database.all(
            f"SELECT {', '.join(names)} FROM host WHERE first_seen>=? ORDER BY first_seen DESC, address LIMIT ?",
            (since_us, limit),
        )
        return [{**dict(zip(names, row, strict=True)), "address": shape.bytes_text(row[0]), "local": bool(row[3])}
                for row in rows]  # fmt: skip

    def messages(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Id (``CHANNEL/NOTICE``) -> (state, last error) of messages of the outbox; without those that it has forgotten."""
        rows = self._database.all(
            f"SELECT id, state, error FROM notice WHERE id IN ({','.join('?' * len(ids))})", list(ids)
        )
        return {number: (state, error) for number, state, error in rows}

    def report_sums(self, wanted: report_sums.Wanted) -> report_sums.Sums:
        """What a report says of traffic and monitoring, from raw rows of one snapshot; QueryError when it takes too long."""
        for _ in range(SNAPSHOTS_MAX):
            with self._database.snapshot() as connection:
                found = report_sums.snapshot(connection, wanted)
            try:
                return report_sums.sums(self._bulk.ask, self._bulk.paths, found, wanted)
            except FileVanishedError:
                continue
        raise self._vanishing()

    def resolve_host(self, name: str) -> list[str]:
        """The addresses of a host's name, as devices gave it; the name itself when it is an address."""
        if any(character in name for character in ":/") or name.replace(".", "").isdigit():
            return [name]
        rows = self._database.all("SELECT address FROM host WHERE name=? COLLATE NOCASE LIMIT 16", (name,))
        return [shape.bytes_text(row[0]) for row in rows]

    def _vanishing(self) -> StoreError:
        return StoreError(
            "files of the store vanish while they are read", where=str(self._directory), mend="nsm doctor"
        )

    def _answer(self, spec: QuerySpec, started: float) -> Result:
        found: list[shape.Row] = []
        tails: list[shape.Row] = []
        files: list[registry.Segment] = []
        with self._database.snapshot(spec.budget_ms) as connection:
            chosen = plan(spec, floors(connection))
            bulk = spec.table != "alert" and chosen.rollup is None
            if bulk:
                files = registry.between(connection, spec.table, spec.start_us, spec.stop_us)
            else:
                found, tails = _from_sqlite(connection, chosen)
        if bulk and spec.aggs:
            found = self._bulk.groups(chosen, files)
        elif bulk:
            found, tails = self._bulk.rows(chosen, files)
        if spec.aggs:
            found = shape.grouped(chosen, found)
            columns = shape.group_columns(chosen)
        else:
            columns = tuple(field.name for field in chosen.select)
        more = len(found) > spec.limit
        stats = Stats(
            engine="duckdb" if bulk else "sqlite", source="rollup" if chosen.rollup else "raw", files=len(files),
            ms=round((time.perf_counter() - started) * 1e3, 1), exact=all(agg.fn != "distinct~" for agg in spec.aggs),
            truncated=more, start_us=spec.start_us, stop_us=spec.stop_us,
        )  # fmt: skip
        cursor = cursor_of(tails[spec.limit - 1]) if more and tails else None
        return Result(columns, found[: spec.limit], cursor, stats)


def sql_of(spec: QuerySpec) -> tuple[str, list[Any]]:
    """The SQL and the parameters that answer a question from raw rows; ``FILES`` stands for the list of files."""
    chosen = plan(spec)
    if spec.table == "alert":
        return engine.compile_groups(chosen) if spec.aggs else engine.compile_rows(chosen, spec.limit)
    if spec.aggs:
        return duckdb_engine.compile_groups(chosen, ["FILES"])
    return duckdb_engine.compile_rows(chosen, ["FILES"], spec.limit)


def _from_sqlite(connection: sqlite3.Connection, chosen: Plan) -> tuple[list[shape.Row], list[shape.Row]]:
    if chosen.spec.aggs:
        text, params = engine.compile_groups(chosen)
        found = connection.execute(text, params).fetchmany(shape.GROUPS_MAX + 1)
        if chosen.rollup and chosen.group and chosen.group[0].kind == "int":
            at = int(bool(chosen.spec.bucket_s))
            return [(*row[:at], int(row[at]), *row[at + 1 :]) for row in found], []
        step = [(row[:1], row[1:]) if chosen.spec.bucket_s else ((), row) for row in found]
        rest = shape.with_addresses(chosen.group, [row for _, row in step], split=False)
        return [(*head, *tail) for (head, _), tail in zip(step, rest, strict=True)], []
    text, params = engine.compile_rows(chosen, chosen.spec.limit + 1)
    rows = connection.execute(text, params).fetchall()
    extra = len(chosen.order)
    return shape.with_addresses(chosen.select, [row[:-extra] for row in rows], split=False), [
        row[-extra:] for row in rows
    ]


def _alert(connection: sqlite3.Connection, alert_id: str) -> dict[str, Any] | None:
    row = connection.execute("SELECT json, state, notes FROM alert WHERE id=?", (alert_id,)).fetchone()
    if row is None:
        return None
    return {**json.loads(row[0]), "state": row[1], "notes": row[2]}


def _counted(connection: sqlite3.Connection, chosen: Plan, column: str) -> dict[Any, int]:
    text, params = engine.compile_counts(chosen, column)
    return dict(connection.execute(text, params).fetchall())
