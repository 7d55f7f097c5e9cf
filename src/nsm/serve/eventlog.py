"""The event log: flows and alerts of the store as one list, newest first; for the page, exports and seed clients."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.iana import proto_name
from nsm.model.finding import SEVERITY_WORDS
from nsm.serve.answers import Row, Without
from nsm.serve.match import Condition, Filter, parse
from nsm.serve.shapes import flow_row
from nsm.store.plan import cursor_of
from nsm.store.queryspec import Agg, QuerySpec
from nsm.store.reader import Reader

FLOW_COLUMNS: Final = (
    "ts", "flow_id", "src", "src_port", "dst", "dst_port", "proto", "app", "pkts_s", "pkts_c", "bytes_s", "bytes_c",
    "outcome",
)  # fmt: skip
ALERT_COLUMNS: Final = (
    "ts", "id", "kind", "signature", "severity", "src", "src_port", "dst", "dst_port", "proto", "count",
)  # fmt: skip
BUDGET_MS: Final = 5_000
COUNT_BUDGET_MS: Final = 1_500  # rows are worth waiting for, their number less
EXPORT_PAGE: Final = 5_000
PIECES_MAX: Final = 8  # pieces of a filter that are tried out when it leaves nothing
TYPES: Final = ("all", "flow", "alert")


class Window(msgspec.Struct, frozen=True):
    """Which rows: a filter, one kind of record or all, and the time start <= t < stop in us UTC."""

    filter: Filter
    type: str
    start_us: int
    stop_us: int

    def condition(self, table: str) -> Condition:
        """The condition for rows of a table; False when they are not asked for."""
        return self.filter.of(table) if self.type in ("all", table) else False


class Page(msgspec.Struct, frozen=True):
    """One page of the log; ``next`` asks for the one after it."""

    items: list[Row]
    next: str | None


class EventLog:
    """Reads the log from the store. Every call blocks: use a thread."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def page(self, window: Window, limit: int, after: str | None = None) -> Page:
        """The newest rows of the window, or those after a page's ``next``; QueryError for a bad cursor."""
        cursors = _cursors(after)
        found: dict[str, list[tuple[tuple[Any, ...], Row]]] = {}
        more = False
        for table in ("flow", "alert"):
            found[table], cut = self._rows(table, window, limit, cursors.get(table))
            more = more or cut
        merged = list(heapq.merge(*found.values(), key=lambda item: item[0][0], reverse=True))
        taken = merged[:limit]
        for key, row in taken:  # the last one taken of each table stays
            cursors["alert" if row["alert_id"] else "flow"] = cursor_of(key)
        following = json.dumps(cursors) if more or len(merged) > limit else None
        return Page([row for _, row in taken], following)

    def total(self, window: Window) -> int:
        """How many rows the window has; QueryError when counting takes too long."""
        return sum(self._count(table, window) for table in ("flow", "alert"))

    def without_each(self, window: Window) -> list[Without]:
        """For every piece of a filter that leaves nothing: how many rows there would be without it."""
        pieces = window.filter.pieces[:PIECES_MAX]
        out: list[Without] = []
        for index, piece in enumerate(pieces):
            rest = " ".join(pieces[:index] + pieces[index + 1 :])
            total = self.total(msgspec.structs.replace(window, filter=parse(rest)))
            out.append({"piece": piece, "rest": rest, "total": total})
        return out

    def all(self, window: Window, most: int) -> Iterator[Row]:
        """Every row of the window, newest first, at most ``most``; read in pages, so memory stays flat."""
        after: str | None = None
        while most > 0:
            page = self.page(window, min(EXPORT_PAGE, most), after)
            yield from page.items
            most -= len(page.items)
            if page.next is None:
                return
            after = page.next

    def _rows(
        self, table: str, window: Window, limit: int, cursor: str | None
    ) -> tuple[list[tuple[tuple[Any, ...], Row]], bool]:
        """((order values, row), newest first; whether there are more)."""
        condition = window.condition(table)
        if condition is False:
            return [], False
        columns = FLOW_COLUMNS if table == "flow" else ALERT_COLUMNS
        result = self._reader.query(QuerySpec(
            table=table, start_us=window.start_us, stop_us=window.stop_us, select=columns, limit=limit, cursor=cursor,
            where=None if isinstance(condition, bool) else condition, budget_ms=BUDGET_MS,
        ))  # fmt: skip
        make = flow_row if table == "flow" else _alert_row
        return [((row["ts"], row["flow_id" if table == "flow" else "id"]), make(row)) for row in result.dicts()], \
            result.stats.truncated  # fmt: skip

    def _count(self, table: str, window: Window) -> int:
        condition = window.condition(table)
        if condition is False:
            return 0
        result = self._reader.query(QuerySpec(
            table=table, start_us=window.start_us, stop_us=window.stop_us, aggs=(Agg("count", name="n"),),
            where=None if isinstance(condition, bool) else condition, budget_ms=COUNT_BUDGET_MS,
        ))  # fmt: skip
        return int(result.rows[0][0] or 0) if result.rows else 0


def _alert_row(row: dict[str, Any]) -> Row:
    times = f" ({row['count']:,} times)" if row["count"] > 1 else ""
    return {
        "ts": row["ts"] / 1e6,
        "event_type": row["kind"],
        "severity": SEVERITY_WORDS[row["severity"]],
        "src_ip": row["src"] or "",
        "src_port": row["src_port"] or None,
        "dest_ip": row["dst"] or "",
        "dest_port": row["dst_port"] or None,
        "proto": proto_name(row["proto"]) if row["proto"] else "",
        "details": f"{row['signature']}{times}",
        "flow_id": None,
        "alert_id": row["id"],
    }


def _cursors(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise QueryError("the cursor is not one of ours") from error


def now_us() -> int:
    """Microseconds since 1970, UTC, by the machine's clock: people ask for times relative to now."""
    return int(time.time() * 1e6)
