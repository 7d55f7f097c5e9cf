"""Schedules: when what runs. APScheduler knows the times; what is kept, and what was missed, is in the store.

A time that passed while nothing ran is made up for once, at the start. The same schedule never runs twice at once.
"""

from __future__ import annotations

import logging
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from nsm.errors import NsmError, QueryError
from nsm.run.job_runner import JobRunner
from nsm.store.jobs import JobStore, Schedule

log = logging.getLogger(__name__)

EVERY: Final = re.compile(r"every (\d{1,4}) ?(m|h|d)")
UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
SHORTEST: Final = timedelta(minutes=1)


def trigger_of(text: str) -> CronTrigger | IntervalTrigger:
    """The trigger of "every 6h" or five fields of cron in local time; QueryError when it is neither."""
    every = EVERY.fullmatch(text.strip())
    if every is not None:
        span = timedelta(**{UNITS[every.group(2)]: int(every.group(1))})
        if span < SHORTEST:
            raise QueryError("the shortest interval is a minute", where="trigger")
        return IntervalTrigger(seconds=int(span.total_seconds()))
    try:
        return CronTrigger.from_crontab(text)
    except ValueError as error:
        raise QueryError(
            f"not a time to run at: {text[:60]!r}", where="trigger",
            mend='"every 6h", or five fields as of cron: "30 6 * * mon"',
        ) from error  # fmt: skip


class Timetable:
    """Lives in the supervisor."""

    def __init__(self, store: JobStore, runner: JobRunner) -> None:
        self._store, self._runner = store, runner
        self._scheduler = AsyncIOScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )

    def begin(self) -> None:
        """Take up all schedules; those whose time passed meanwhile run now, once."""
        self._scheduler.start()
        for schedule in self._store.schedules():
            if schedule.enabled:
                try:
                    self._take_up(schedule, missed=0 < schedule.due_us < time.time() * 1e6)
                except NsmError as error:
                    log.warning("schedule id=%d is left out: %s", schedule.id, error)

    def end(self) -> None:
        """Run nothing more."""
        self._scheduler.shutdown(wait=False)

    def add(self, kind: str, name: str, trigger: str, task: dict[str, Any], who: str) -> int:
        """The number of a schedule that is kept and counts from now; NsmError when it can never run."""
        checked = self._runner.spec(kind).check(task)
        trigger_of(trigger)
        number = self._store.add_schedule(kind, name, trigger, checked, who)
        self._again(number)
        return number

    def switch(self, number: int, enabled: bool) -> bool:
        """Switch on or off; False when there is none."""
        found = self._store.enable_schedule(number, enabled)
        self._again(number)
        return found

    def remove(self, number: int) -> bool:
        """False when there is none."""
        found = self._store.remove_schedule(number)
        self._again(number)
        return found

    def _again(self, number: int) -> None:
        """Bring the scheduler in line with what the store has of one schedule."""
        if self._scheduler.get_job(str(number)) is not None:
            self._scheduler.remove_job(str(number))
        for schedule in self._store.schedules():
            if schedule.id == number and schedule.enabled:
                self._take_up(schedule)

    def _take_up(self, schedule: Schedule, *, missed: bool = False) -> None:
        trigger = trigger_of(schedule.trigger)
        first = trigger.get_next_fire_time(None, datetime.now(UTC))
        if schedule.due_us and not missed and isinstance(trigger, IntervalTrigger):
            first = datetime.fromtimestamp(schedule.due_us / 1e6, UTC)  # an interval goes on from where it was
        if missed:
            first = datetime.now(UTC)
        self._scheduler.add_job(self._run, trigger, args=(schedule.id,), id=str(schedule.id), next_run_time=first)
        self._note_due(schedule.id)

    def _note_due(self, number: int) -> None:
        job = self._scheduler.get_job(str(number))
        if job is not None and job.next_run_time is not None:
            self._store.set_due(number, int(job.next_run_time.timestamp() * 1e6))

    async def _run(self, number: int) -> None:
        for schedule in self._store.schedules():
            if schedule.id == number and schedule.enabled and not self._runner.busy(schedule.kind, schedule.name):
                try:
                    self._runner.start(schedule.kind, schedule.name, schedule.task, schedule.who, number)
                except NsmError as error:
                    log.warning("schedule id=%d cannot run: %s", number, error)
                    self._store.end(
                        self._store.begin(schedule.kind, schedule.name, schedule.who, number), "failed", str(error)
                    )
        self._note_due(number)
