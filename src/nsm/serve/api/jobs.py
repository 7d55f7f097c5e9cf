"""Jobs and schedules: what runs, what ran, what is to run."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, NotRequired, cast

from fastapi import APIRouter
from pydantic import Field

from nsm.serve.answers import Answer, JobKind, JobState, Ok, PlannedKind
from nsm.serve.answers import Job as JobShape
from nsm.serve.auth import check_bold_scan, check_role
from nsm.serve.depends import Analyst, Body, Json, Limit, Number, Reads, Uses
from nsm.store.jobs import Job, Schedule

SPEC: Final = APIRouter(prefix="/api/v1", tags=["jobs"])

ADMINS: Final = ("record",)
"""Kinds that an admin alone starts and ends."""


class NewSchedule(Body):
    """``trigger``: "every 6h", or five fields of cron in local time; ``task`` is that of the kind."""

    kind: PlannedKind
    name: Annotated[str, Field(min_length=1, max_length=200)]
    trigger: Annotated[str, Field(min_length=1, max_length=100)]
    task: Json = Field(default={})


class Switch(Body):
    """On or off."""

    enabled: bool


class Progress(Answer):
    """How far a job is, in what its kind counts."""

    stage: NotRequired[str]
    done: NotRequired[int]
    total: NotRequired[int]
    hosts: NotRequired[int]
    open: NotRequired[int]
    packets: NotRequired[int]
    bytes: NotRequired[int]


class OpenJob(Answer):
    """A job that runs or waits: since when (s UTC) and how far it is."""

    id: int
    kind: JobKind
    name: str
    since: float
    progress: Progress
    state: JobState


class Jobs(Answer):
    """Jobs by whether they have ended."""

    running: list[OpenJob]
    items: list[JobShape]


class ScheduleShape(Answer):
    """A schedule; ``due``: when it is to run next, s UTC, None not known yet. ``last``: the job that it last ran."""

    id: int
    kind: PlannedKind
    name: str
    trigger: str
    task: dict[str, Any]
    enabled: bool
    who: str
    created: float
    due: float | None
    last: JobShape | None


class Schedules(Answer):
    """All schedules."""

    items: list[ScheduleShape]


class ScheduleNumber(Answer):
    """The schedule that was made."""

    id: int


@SPEC.get("/jobs")
async def jobs(use: Uses, _session: Reads, limit: Limit = 50, kind: JobKind | None = None) -> Jobs:
    """Jobs that run or wait, and those that ended, the newest first."""
    running = cast("list[OpenJob]", await use.control.jobs())
    ended = await asyncio.to_thread(use.jobs.jobs, limit, kind)
    open_now = {job["id"] for job in running}
    return {
        "running": [job for job in running if kind in (None, job["kind"])],
        "items": [_job(job) for job in ended if job.id not in open_now],
    }


@SPEC.post("/jobs/{number}/cancel")
async def cancel(number: Number, use: Uses, session: Analyst) -> Ok:
    """End a job; what it found so far is kept."""
    kinds = {job["id"]: job["kind"] for job in await use.control.jobs()}
    if kinds.get(number) in ADMINS:
        check_role(session, "admin")
    await use.control.cancel_job(number)
    await asyncio.to_thread(use.accounts.audit, session.name, "job cancelled", str(number))
    return {"ok": True}


@SPEC.get("/schedules")
def schedules(use: Uses, _session: Reads) -> Schedules:
    """What is to run, and how it went last."""
    last: dict[int, Job] = {}
    for job in use.jobs.jobs(1_000):
        last.setdefault(job.schedule, job)
    return {"items": [_schedule(one, _job(last[one.id]) if one.id in last else None) for one in use.jobs.schedules()]}


@SPEC.post("/schedules")
async def add(body: NewSchedule, use: Uses, session: Analyst) -> ScheduleNumber:
    """Keep a schedule; it counts from now."""
    if body.kind == "scan":
        check_bold_scan(session, body.task)
    number = await use.control.add_schedule(body.kind, body.name, body.trigger, body.task, session.name)
    await asyncio.to_thread(use.accounts.audit, session.name, "schedule added", f"{number} {body.kind} {body.name}")
    return {"id": number}


@SPEC.patch("/schedules/{number}")
async def switch(number: Number, body: Switch, use: Uses, session: Analyst) -> Ok:
    """Switch a schedule on or off."""
    await use.control.switch_schedule(number, body.enabled)
    await asyncio.to_thread(use.accounts.audit, session.name, "schedule switched", f"{number} {body.enabled}")
    return {"ok": True}


@SPEC.delete("/schedules/{number}")
async def remove(number: Number, use: Uses, session: Analyst) -> Ok:
    """Remove a schedule."""
    await use.control.remove_schedule(number)
    await asyncio.to_thread(use.accounts.audit, session.name, "schedule removed", str(number))
    return {"ok": True}


def _job(job: Job) -> JobShape:
    return {
        "id": job.id, "kind": cast("JobKind", job.kind), "name": job.name, "schedule": job.schedule or None,
        "who": job.who, "started": job.started_us / 1e6, "ended": job.ended_us / 1e6 or None,
        "state": cast("JobState", job.state), "text": job.text, "result": job.result,
    }  # fmt: skip


def _schedule(one: Schedule, last: JobShape | None) -> ScheduleShape:
    return {
        "id": one.id, "kind": cast("PlannedKind", one.kind), "name": one.name, "trigger": one.trigger, "task": one.task,
        "enabled": one.enabled, "who": one.who, "created": one.created_us / 1e6, "due": one.due_us / 1e6 or None,
        "last": last,
    }  # fmt: skip
