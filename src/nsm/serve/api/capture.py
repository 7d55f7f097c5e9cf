"""The capture: interfaces, start, stop; and clearing the logs."""

from __future__ import annotations

import asyncio
from typing import Final, cast

from fastapi import APIRouter
from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from nsm.errors import QueryError
from nsm.serve.answers import Answer, Capture, Interface
from nsm.serve.depends import Admin, Body, Reads, Uses
from nsm.serve.problems import documented

SPEC: Final = APIRouter(prefix="/api/v1", tags=["capture"])


class Start(Body):
    """What to capture; nothing said: the interface of the default route."""

    iface: str | None = Field(default=None, max_length=64)
    bpf: str | None = Field(default=None, max_length=4_000)
    snaplen: int | None = Field(default=None, ge=64, le=262_144)
    ring: int | None = Field(default=None, ge=1 << 20, le=1 << 32)


class Clear(Body):
    """``confirm`` is the typed word; alerts with notes are kept unless asked otherwise."""

    confirm: str = Field(max_length=16, examples=["clear"])
    keep_noted: bool = True


class Interfaces(Answer):
    """Interfaces, busiest first."""

    items: list[Interface]


class TableCounts(Answer):
    """What is stored of one table; times in us UTC."""

    rows: int
    bytes: int
    files: int
    start_us: int
    stop_us: int


LogCounts = TypedDict(
    "LogCounts",
    {"tables": dict[str, TableCounts], "rows": int, "flows": int, "alerts": int, "from": float, "to": float},
)
"""What the store holds, alerts counted beside the rows; times in s UTC, 0 while it is empty."""


class Cleared(Answer):
    """Numbers deleted."""

    cleared: dict[str, int]


class Entry(Answer):
    """Who did what; ``ts`` in us UTC."""

    id: int
    ts: int
    who: str
    action: str
    detail: str


class Entries(Answer):
    """The newest entries first."""

    items: list[Entry]


@SPEC.get("/interfaces")
async def interfaces(use: Uses, _session: Reads) -> Interfaces:
    """Interfaces of the machine, busiest first."""
    return {"items": cast("list[Interface]", await use.control.interfaces())}


@SPEC.get("/capture")
async def state(use: Uses, _session: Reads) -> Capture:
    """The state of the capture."""
    return cast("Capture", await use.control.state())


@SPEC.post("/capture:start", responses=documented(409))
async def start(body: Start, use: Uses, session: Admin) -> Capture:
    """Start the capture."""
    made = await use.control.start(body.iface, body.bpf, body.snaplen, body.ring)
    await use.live.capture_changed(made)
    await asyncio.to_thread(use.accounts.audit, session.name, "capture started", body.iface or "")
    return cast("Capture", made)


@SPEC.post("/capture:stop", responses=documented(409))
async def stop(use: Uses, session: Admin) -> Capture:
    """Stop the capture."""
    made = await use.control.stop()
    await use.live.capture_changed(made)
    await asyncio.to_thread(use.accounts.audit, session.name, "capture stopped", "")
    return cast("Capture", made)


@SPEC.get("/logs")
def logs(use: Uses, _session: Reads) -> LogCounts:
    """What the store holds, for the question before clearing it: numbers and times by table."""
    counts = use.reader.counts()
    spans = [count for count in counts.values() if count["rows"]]
    return {
        "tables": cast("dict[str, TableCounts]", counts),
        "rows": sum(count["rows"] for name, count in counts.items() if name != "alert"),
        "flows": counts.get("flow", {}).get("rows", 0),
        "alerts": counts.get("alert", {}).get("rows", 0),
        "from": min((count["start_us"] for count in spans), default=0) / 1e6,
        "to": max((count["stop_us"] for count in spans), default=0) / 1e6,
    }


@SPEC.post("/logs:clear")
async def clear(body: Clear, use: Uses, session: Admin) -> Cleared:
    """Delete the logs; the word ``clear`` has to be typed."""
    if body.confirm != "clear":
        raise QueryError("the word clear was not typed", where="confirm", mend='send {"confirm": "clear"}')
    gone = await use.control.clear_logs(body.keep_noted)
    detail = " ".join(f"{name}={count}" for name, count in gone.items())
    await asyncio.to_thread(use.accounts.audit, session.name, "logs cleared", f"keep_noted={body.keep_noted} {detail}")
    return {"cleared": gone}


@SPEC.get("/audit")
def audit(use: Uses, _session: Reads) -> Entries:
    """Who did what, newest first."""
    return {"items": cast("list[Entry]", use.accounts.audit_log(100))}
