"""Jobs and schedules: what runs, what ran, what is to run."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from nsm.serve.auth import check_bold_scan
from nsm.serve.depends import Analyst, Limit, Reads, Uses
from nsm.store.jobs import Job, Schedule

SPEC: Final = APIRouter(prefix="/api/v1", tags=["jobs"])

Kind = Literal["scan", "report"]


class NewSchedule(BaseModel):
    """``trigger``: "every 6h", or five fields of cron in local time; ``task`` is that of the kind."""

    kind: Kind
    name: Annotated[str, Field(min_length=1, max_length=200)]
    trigger: Annotated[str, Field(min_length=1, max_length=100)]
    task: dict[str, Any] = {}


class Switch(BaseModel):
    """On or off."""

    enabled: bool


@SPEC.get("/jobs")
async def jobs(use: Uses, _session: Reads, limit: Limit = 50, kind: Kind | None = None) -> dict[str, Any]:
    """Jobs that run or wait, and those that ended, the newest first."""
    running = await use.control.jobs()
    ended = await asyncio.to_thread(use.jobs.jobs, limit, kind)
    open_now = {job["id"] for job in running}
    return {
        "running": [job for job in running if kind in (None, job["kind"])],
        "items": [_job(job) for job in ended if job.id not in open_now],
    }


@SPEC.post("/jobs/{number}/cancel")
async def cancel(number: int, use: Uses, session: Analyst) -> dict[str, bool]:
    """End a job; what it found so far is kept."""
    await use.control.cancel_job(number)
    await asyncio.to_thread(use.accounts.audit, session.name, "job cancelled", str(number))
    return {"ok": True}


@SPEC.get("/schedules")
def schedules(use: Uses, _session: Reads) -> dict[str, Any]:
    """What is to run, and how it went last."""
    last: dict[int, Job] = {}
    for job in use.jobs.jobs(1_000):
        last.setdefault(job.schedule, job)
    return {
        "items": [
            {**_schedule(one), "last": _job(last[one.id]) if one.id in last else None} for one in use.jobs.schedules()
        ]
    }


@SPEC.post("/schedules")
async def add(body: NewSchedule, use: Uses, session: Analyst) -> dict[str, int]:
    """Keep a schedule; it counts from now."""
    if body.kind == "scan":
        check_bold_scan(session, body.task)
    number = await use.control.add_schedule(body.kind, body.name, body.trigger, body.task, session.name)
    await asyncio.to_thread(use.accounts.audit, session.name, "schedule added", f"{number} {body.kind} {body.name}")
    return {"id": number}


@SPEC.patch("/schedules/{number}")
async def switch(number: int, body: Switch, use: Uses, session: Analyst) -> dict[str, bool]:
    """Switch a schedule on or off."""
    await use.control.switch_schedule(number, body.enabled)
    await asyncio.to_thread(use.accounts.audit, session.name, "schedule switched", f"{number} {body.enabled}")
    return {"ok": True}


@SPEC.delete("/schedules/{number}")
async def remove(number: int, use: Uses, session: Analyst) -> dict[str, bool]:
    """Remove a schedule."""
    await use.control.remove_schedule(number)
    await asyncio.to_thread(use.accounts.audit, session.name, "schedule removed", str(number))
    return {"ok": True}


def _job(job: Job) -> dict[str, Any]:
    return {
        "id": job.id, "kind": job.kind, "name": job.name, "schedule": job.schedule or None, "who": job.who,
        "started": job.started_us / 1e6, "ended": job.ended_us / 1e6 or None, "state": job.state, "text": job.text,
        "result": job.result,
    }  # fmt: skip


def _schedule(one: Schedule) -> dict[str, Any]:
    return {
        "id": one.id, "kind": one.kind, "name": one.name, "trigger": one.trigger, "task": one.task, "enabled": one.enabled,
        "who": one.who, "created": one.created_us / 1e6, "due": one.due_us / 1e6 or None,
    }  # fmt: skip
