"""The routes of the seed contract (peers.md 0), in its very shapes, and ``security_data.json``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec
from fastapi import APIRouter, Response
from pydantic import Field

from nsm.errors import QueryError
from nsm.serve.answers import Answer, SeedLog, SeedStats
from nsm.serve.depends import Body, Json, Number, Reads, SeedWrites, Services, Uses
from nsm.serve.eventlog import TYPES, Window, now_us
from nsm.serve.match import parse
from nsm.serve.problems import NotFoundError, documented
from nsm.serve.shapes import SEED_KIND, seed_log
from nsm.store.queryspec import moment_us

SPEC: Final = APIRouter(tags=["seed"])
LOGS_MAX: Final = 1_000  # as many as the seed keeps in memory
RECENT_MAX: Final = 50


class SavedLogs(Body):
    """A list of log rows to keep."""

    title: str = Field(max_length=500)
    timestamp: str = Field(default="", max_length=64)
    logs: list[Json] = Field(max_length=100_000)


class SeedLogs(Answer):
    """Rows, and the numbers of now."""

    logs: list[SeedLog]
    stats: SeedStats


class Done(Answer):
    """It was done."""

    status: Literal["success"]


class ClearedLogs(Done):
    """The logs were deleted."""

    message: str


class SavedNumber(Done):
    """The list that was kept."""

    id: int


class SavedList(Answer):
    """A list of rows that somebody kept."""

    id: int
    title: str
    timestamp: str


class SavedRows(SavedList):
    """The same with its rows, as they were sent."""

    logs: list[dict[str, Any]]


class SecurityData(Answer):
    """The exchange file."""

    total_packets: int
    suspicious_count: int
    recent_threats: list[SeedLog]
    packet_history: list[Any]


@SPEC.get("/get_logs")
def get_logs(
    use: Uses,
    _session: Reads,
    start: str = "",
    end: str = "",
    type: str = "",  # noqa: A002  the seed's name
) -> SeedLogs:
    """The newest rows of a time (ISO 8601 or ``-24h``) and of one event type."""
    kinds = [type, *(ours for ours, seed in SEED_KIND.items() if seed == type)] if type else []
    wanted = parse(f"kind:{','.join(kinds)}" if kinds else "")
    window = Window(wanted, "all", _time(start, 0), _time(end, now_us()))
    rows = use.events.page(window, LOGS_MAX).items
    return {"logs": [seed_log(row) for row in rows], "stats": use.state.seed_stats()}


@SPEC.post("/clear_logs")
async def clear_logs(use: Uses, session: SeedWrites) -> ClearedLogs:
    """Delete the logs; alerts with notes stay."""
    await use.control.clear_logs(keep_noted=True)
    await asyncio.to_thread(use.accounts.audit, session.name, "logs cleared", "through /clear_logs")
    return {"status": "success", "message": "Logs cleared"}


@SPEC.post("/save_session", responses=documented(409))
def save_session(body: SavedLogs, use: Uses, _session: SeedWrites) -> SavedNumber:
    """Keep a list of rows."""
    made = use.accounts.save_session(body.title, body.timestamp or datetime.now(UTC).isoformat(), body.logs)
    return {"status": "success", "id": made}


@SPEC.get("/list_sessions")
def list_sessions(use: Uses, _session: Reads) -> list[SavedList]:
    """Kept lists, newest first."""
    return [{"id": kept.id, "title": kept.title, "timestamp": kept.timestamp} for kept in use.accounts.saved_sessions()]


@SPEC.get("/get_session_logs/{session_id}", responses=documented(404))
def get_session_logs(session_id: Number, use: Uses, _session: Reads) -> SavedRows:
    """The rows of one kept list."""
    kept = use.accounts.saved_session(session_id)
    if kept is None:
        raise NotFoundError(f"there is no session {session_id}")
    return {"id": kept.id, "title": kept.title, "timestamp": kept.timestamp, "logs": list(kept.logs)}


@SPEC.delete("/delete_session/{session_id}", responses=documented(404))
def delete_session(session_id: Number, use: Uses, _session: SeedWrites) -> Done:
    """Delete a kept list."""
    if not use.accounts.delete_saved_session(session_id):
        raise NotFoundError(f"there is no session {session_id}")
    return {"status": "success"}


@SPEC.get("/security_data.json", responses={200: {"model": SecurityData}})
def security_data(use: Uses, _session: Reads) -> Response:
    """The exchange file, as the service writes it; made from the store while there is none."""
    path = use.data_dir / "security_data.json"
    try:
        content = path.read_bytes()
    except OSError:
        content = msgspec.json.encode(_security_data(use))
    return Response(content, media_type="application/json")


def _security_data(use: Services) -> SecurityData:
    stats, now = use.state.seed_stats(), now_us()
    threats = use.events.page(Window(parse(""), TYPES[2], 0, now), RECENT_MAX).items
    return {
        "total_packets": stats["packets_analyzed"],
        "suspicious_count": stats["threats_detected"],
        "recent_threats": [seed_log(row) for row in threats],
        "packet_history": [],
    }


def _time(text: str, otherwise: int) -> int:
    if not text:
        return otherwise
    if text == "now" or text.startswith("-"):
        return moment_us(text, now_us())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise QueryError(f"not a time: {text[:40]!r}", mend="ISO 8601, for example 2026-01-31T14:00:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
