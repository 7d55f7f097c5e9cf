"""The event log, the flows, and what a filter means."""

from __future__ import annotations

import time
from typing import Final, Literal, NotRequired, cast

from fastapi import APIRouter

from nsm.errors import QueryError
from nsm.serve.answers import Answer, Row, Span, Without
from nsm.serve.depends import Asked, Limit, Reads, Times, Uses
from nsm.serve.eventlog import FLOW_COLUMNS
from nsm.serve.match import live_fields_missing, parse
from nsm.serve.sample import COLUMNS
from nsm.serve.shapes import iso
from nsm.store import grammar
from nsm.store.queryspec import QuerySpec

SPEC: Final = APIRouter(prefix="/api/v1", tags=["events"])


class Window(Answer, Span):
    """Some of the rows that match: ``next`` asks for the following ones, ``partial`` says that there are more."""

    next: str | None
    total: int | None
    total_is: Literal["exact", "unknown"]
    partial: bool
    took_ms: float


class EventPage(Window):
    """Rows of the event log."""

    items: list[Row]
    cols: list[str]
    watermark: str
    without: list[Without]


class Flow(Answer):
    """A flow as the store has it: ``ts`` and ``dur_us`` in us, _s of the server's side, _c of the client's."""

    ts: int
    flow_id: int
    src: str
    src_port: int
    dst: str
    dst_port: int
    proto: int
    app: str
    pkts_s: int
    pkts_c: int
    bytes_s: int
    bytes_c: int
    outcome: int
    dur_us: int
    state: int
    reason: int


class FlowPage(Window):
    """Flows."""

    items: list[Flow]


class Mistake(Answer):
    """What is wrong with a filter, and which characters of it."""

    message: str
    position: int
    length: int
    mend: str


class Parsed(Answer):
    """The pieces of a filter, or its mistake; ``live``: rows can be matched as they come."""

    ok: bool
    error: Mistake | None
    pieces: list[str]
    live: NotRequired[bool]


@SPEC.get("/events")
def events(use: Uses, _session: Reads, asked: Asked, limit: Limit = 200, after: str | None = None) -> EventPage:
    """Flows and alerts as one list, newest first. Without rows, ``without`` says which piece empties it."""
    started = time.perf_counter()
    page = use.events.page(asked, limit, after)
    total: int | None = None
    total_is: Literal["exact", "unknown"] = "unknown"
    without: list[Without] = []
    try:
        if after is None:
            total, total_is = use.events.total(asked), "exact"
            if total == 0:
                without = use.events.without_each(asked)
    except QueryError:  # counting took too long: the rows are there all the same, and the page says so
        total_is = "unknown"
    return {
        "items": page.items, "cols": list(COLUMNS), "next": page.next, "total": total, "total_is": total_is,
        "partial": page.next is not None, "took_ms": round((time.perf_counter() - started) * 1e3, 1),
        "from": iso(asked.start_us), "to": iso(asked.stop_us), "watermark": iso(asked.stop_us), "without": without,
    }  # fmt: skip


@SPEC.get("/flows")
def flows(
    use: Uses, _session: Reads, times: Times, q: str = "", limit: Limit = 100, after: str | None = None
) -> FlowPage:
    """Flows, newest first, as the store has them."""
    result = use.reader.query(QuerySpec(start_us=times[0], stop_us=times[1], where=grammar.where(q), limit=limit,
                                        cursor=after, select=(*FLOW_COLUMNS, "dur_us", "state", "reason")))  # fmt: skip
    return {
        "items": cast("list[Flow]", result.dicts()), "next": result.cursor, "total": None, "total_is": "unknown",
        "partial": result.stats.truncated, "took_ms": result.stats.ms, "from": iso(times[0]), "to": iso(times[1]),
    }  # fmt: skip


@SPEC.get("/parse")
def parsed(_session: Reads, q: str = "") -> Parsed:
    """The pieces of a filter, or what is wrong with it and where; the page has no parser of its own."""
    try:
        found = parse(q)
    except grammar.FilterError as error:
        problem: Mistake = {
            "message": str(error),
            "position": error.position,
            "length": error.length,
            "mend": error.mend,
        }
        return {"ok": False, "error": problem, "pieces": []}
    return {"ok": True, "error": None, "pieces": list(found.pieces), "live": not live_fields_missing(found)}
