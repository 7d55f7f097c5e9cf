"""Jobs of the service: real processes, one of a kind at a time; schedules that miss nothing and never run twice at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nsm.errors import QueryError
from nsm.run.job_runner import JobRunner
from nsm.run.timetable import Timetable, trigger_of
from nsm.run.work import JobSpec
from nsm.store.jobs import CANCELLED, DONE, FAILED, RUNNING, JobStore


def checked(task: dict[str, Any]) -> dict[str, Any]:
    if "wrong" in task:
        raise QueryError("wrong task")
    return task


SLEEPER = JobSpec(kind="sleep", module="tests.run.sleeper", check=checked, limit_s=5.0)


class Desk:
    """Runner, timetable and store of one test."""

    def __init__(self, folder: Path) -> None:
        self.told: list[dict[str, Any]] = []
        self.store = JobStore(folder)
        self.runner = JobRunner({"sleep": SLEEPER}, self.store, {"data": str(folder)}, self._tell)
        self.timetable = Timetable(self.store, self.runner)

    async def _tell(self, kind: str, header: dict[str, Any]) -> None:
        assert kind == "job"
        self.told.append(header["job"])

    def states(self) -> list[str]:
        return [job.state for job in reversed(self.store.jobs())]

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.states()
            await asyncio.sleep(0.02)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_job_tells_its_progress_and_its_result(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        number = desk.runner.start("sleep", "nap", {"seconds": 0}, "ann")
        await desk.until(lambda: not desk.runner.shapes())
        (job,) = desk.store.jobs()
        assert (job.id, job.state, job.text, job.result) == (number, DONE, "slept", {"seconds": 0})
        assert {"share": 0.5} in [told["progress"] for told in desk.told]
        assert desk.told[-1]["state"] == DONE

    run(work())


def test_jobs_of_one_kind_take_turns_and_can_be_cancelled(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        first = desk.runner.start("sleep", "long", {"seconds": 60}, "ann")
        second = desk.runner.start("sleep", "waiting", {"seconds": 60}, "ann")
        await desk.until(lambda: any(told["progress"] for told in desk.told))
        assert [shape["state"] for shape in desk.runner.shapes()] == ["running", "waiting"]
        assert desk.runner.cancel(second)
        assert desk.runner.cancel(first)
        await desk.until(lambda: not desk.runner.shapes())
        assert desk.states() == [CANCELLED, CANCELLED]
        assert desk.store.jobs()[1].text == "stopped early"  # what it had is kept
        assert not desk.runner.cancel(first)

    run(work())


@pytest.mark.parametrize(
    ("task", "text"),
    [({"refuse": 1}, "not allowed"), ({"die": 1}, "its process went away"), ({"seconds": 60}, "ended after 5 s")],
)
def test_what_fails_says_why(tmp_path: Path, task: dict[str, Any], text: str) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        desk.runner.start("sleep", "bad", task, "ann")
        await desk.until(lambda: not desk.runner.shapes())
        (job,) = desk.store.jobs()
        assert job.state == FAILED
        assert text in job.text

    run(work())


def test_a_wrong_task_never_becomes_a_job(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        with pytest.raises(QueryError, match="wrong task"):
            desk.runner.start("sleep", "bad", {"wrong": 1}, "ann")
        with pytest.raises(QueryError, match="there is no job 'dance'"):
            desk.runner.start("dance", "bad", {}, "ann")
        assert desk.store.jobs() == []

    run(work())


def test_the_service_ends_what_runs(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        desk.runner.start("sleep", "long", {"seconds": 60}, "ann")
        await desk.until(lambda: any(told["progress"] for told in desk.told))
        await desk.runner.end_all()
        assert desk.states() == [CANCELLED]

    run(work())


def test_a_time_that_was_missed_is_made_up_for_once(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        number = desk.store.add_schedule("sleep", "hourly", "every 1h", {}, "ann")
        desk.store.set_due(number, int((time.time() - 5 * 3600) * 1e6))
        desk.timetable.begin()
        await desk.until(lambda: DONE in desk.states())
        await asyncio.sleep(0.3)
        assert desk.states() == [DONE]
        (kept,) = desk.store.schedules()
        assert kept.due_us > time.time() * 1e6 + 3_000e6
        desk.timetable.end()

    run(work())


def test_a_schedule_that_is_not_due_waits_even_over_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        desk.timetable.begin()
        number = desk.timetable.add("sleep", "hourly", "every 1h", {}, "ann")
        due = desk.store.schedules()[0].due_us
        desk.timetable.end()
        again = Desk(tmp_path)
        again.timetable.begin()
        assert abs(again.store.schedules()[0].due_us - due) < 2_000_000
        assert again.timetable.switch(number, enabled=False)
        assert again.timetable.remove(number)
        assert not again.timetable.remove(number)
        assert again.states() == []
        again.timetable.end()

    run(work())


def test_a_schedule_never_runs_twice_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk(tmp_path)
        desk.timetable.begin()
        number = desk.timetable.add("sleep", "slow", "every 1h", {"seconds": 3}, "ann")
        await desk.timetable._run(number)
        await desk.timetable._run(number)
        await desk.until(lambda: desk.states() == [RUNNING])
        await desk.runner.end_all()
        desk.timetable.end()

    run(work())


@pytest.mark.parametrize("text", ["", "every 0m", "every 1y", "61 * * * *", "* * * *", "soon", "every -1h"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        trigger_of(text)


def test_times_are_those_of_cron() -> None:
    monday = trigger_of("30 6 * * mon").get_next_fire_time(None, datetime(2026, 3, 4, tzinfo=UTC))
    assert (monday.weekday(), monday.hour, monday.minute) == (0, 6, 30)
