"""The event log, the flows, and what a filter means."""

from __future__ import annotations

import time
from typing import Any, Final

from fastapi import APIRouter

from nsm.errors import QueryError
from nsm.serve.depends import Asked, Limit, Reads, Times, Uses
from nsm.serve.eventlog import FLOW_COLUMNS
from nsm.serve.match import live_fields_missing, parse
from nsm.serve.sample import COLUMNS
from nsm.serve.shapes import iso
from nsm.store import grammar
from nsm.store.queryspec import QuerySpec

SPEC: Final = APIRouter(prefix="/api/v1", tags=["events"])


@SPEC.get("/events")
def events(use: Uses, _session: Reads, asked: Asked, limit: Limit = 200, after: str | None = None) -> dict[str, Any]:
    """Flows and alerts as one list, newest first. Without rows, ``without`` says which piece empties it."""
    started = time.perf_counter()
    page = use.events.page(asked, limit, after)
    total, total_is, without = None, "unknown", []
    try:
        if after is None:
            total, total_is = use.events.total(asked), "exact"
            if total == 0:
                without = use.events.without_each(asked)
    except QueryError:  # counting took too long: the rows are there all the same, and the page says so
        total_is = "unknown"
    return {
        "items": page.items, "cols": COLUMNS, "next": page.next, "total": total, "total_is": total_is,
        "partial": page.next is not None, "took_ms": round((time.perf_counter() - started) * 1e3, 1),
        "from": iso(asked.start_us), "to": iso(asked.stop_us), "watermark": iso(asked.stop_us), "without": without,
    }  # fmt: skip


@SPEC.get("/flows")
def flows(
    use: Uses, _session: Reads, times: Times, q: str = "", limit: Limit = 100, after: str | None = None
) -> dict[str, Any]:
    """Flows, newest first, as the store has them."""
    result = use.reader.query(QuerySpec(start_us=times[0], stop_us=times[1], where=grammar.where(q), limit=limit,
                                        cursor=after, select=(*FLOW_COLUMNS, "dur_us", "state", "reason")))  # fmt: skip
    return {
        "items": result.dicts(), "next": result.cursor, "total": None, "total_is": "unknown",
        "partial": result.stats.truncated, "took_ms": result.stats.ms, "from": iso(times[0]), "to": iso(times[1]),
    }  # fmt: skip


@SPEC.get("/parse")
def parsed(_session: Reads, q: str = "") -> dict[str, Any]:
    """The pieces of a filter, or what is wrong with it and where; the page has no parser of its own."""
    try:
        found = parse(q)
    except grammar.FilterError as error:
        problem = {"message": str(error), "position": error.position, "length": error.length, "mend": error.mend}
        return {"ok": False, "error": problem, "pieces": []}
    return {"ok": True, "error": None, "pieces": found.pieces, "live": not live_fields_missing(found)}
