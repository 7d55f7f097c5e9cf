"""The capture: interfaces, start, stop; and clearing the logs."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from nsm.errors import QueryError
from nsm.serve.depends import Admin, Reads, Uses

SPEC: Final = APIRouter(prefix="/api/v1", tags=["capture"])


class Start(BaseModel):
    """What to capture; nothing said: the interface of the default route."""

    iface: str | None = Field(default=None, max_length=64)
    bpf: str | None = Field(default=None, max_length=4_000)
    snaplen: int | None = Field(default=None, ge=64, le=262_144)
    ring: int | None = Field(default=None, ge=1 << 20, le=1 << 32)


class Clear(BaseModel):
    """``confirm`` is the typed word; alerts with notes are kept unless asked otherwise."""

    confirm: str = Field(max_length=16)
    keep_noted: bool = True


@SPEC.get("/interfaces")
async def interfaces(use: Uses, _session: Reads) -> dict[str, Any]:
    """Interfaces of the machine, busiest first."""
    return {"items": await use.control.interfaces()}


@SPEC.get("/capture")
async def state(use: Uses, _session: Reads) -> dict[str, Any]:
    """The state of the capture."""
    return await use.control.state()


@SPEC.post("/capture:start")
async def start(body: Start, use: Uses, session: Admin) -> dict[str, Any]:
    """Start the capture."""
    made = await use.control.start(body.iface, body.bpf, body.snaplen, body.ring)
    await use.live.capture_changed(made)
    await asyncio.to_thread(use.accounts.audit, session.name, "capture started", body.iface or "")
    return made


@SPEC.post("/capture:stop")
async def stop(use: Uses, session: Admin) -> dict[str, Any]:
    """Stop the capture."""
    made = await use.control.stop()
    await use.live.capture_changed(made)
    await asyncio.to_thread(use.accounts.audit, session.name, "capture stopped", "")
    return made


@SPEC.get("/logs")
def logs(use: Uses, _session: Reads) -> dict[str, Any]:
    """What the store holds, for the question before clearing it: numbers and times by table."""
    counts = use.reader.counts()
    spans = [count for count in counts.values() if count["rows"]]
    return {
        "tables": counts,
        "rows": sum(count["rows"] for name, count in counts.items() if name != "alert"),
        "flows": counts.get("flow", {}).get("rows", 0),
        "alerts": counts.get("alert", {}).get("rows", 0),
        "from": min((count["start_us"] for count in spans), default=0) / 1e6,
        "to": max((count["stop_us"] for count in spans), default=0) / 1e6,
    }


@SPEC.post("/logs:clear")
async def clear(body: Clear, use: Uses, session: Admin) -> dict[str, Any]:
    """Delete the logs; the word ``clear`` has to be typed."""
    if body.confirm != "clear":
        raise QueryError("the word clear was not typed", where="confirm", mend='send {"confirm": "clear"}')
    gone = await use.control.clear_logs(body.keep_noted)
    detail = " ".join(f"{name}={count}" for name, count in gone.items())
    await asyncio.to_thread(use.accounts.audit, session.name, "logs cleared", f"keep_noted={body.keep_noted} {detail}")
    return {"cleared": gone}


@SPEC.get("/audit")
def audit(use: Uses, _session: Reads) -> dict[str, Any]:
    """Who did what, newest first."""
    return {"items": use.accounts.audit_log(100)}
