"""Jobs and schedules as rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nsm.errors import QueryError
from nsm.store import jobs as module
from nsm.store.jobs import CANCELLED, DONE, LOST, RUNNING, JobStore
from tests.store.conftest import Clock


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[JobStore]:
    made = JobStore(tmp_path, clock)
    yield made
    made.close()


def test_a_job_runs_and_ends_and_the_newest_comes_first(store: JobStore, clock: Clock) -> None:
    first = store.begin("scan", "lan", "ann")
    second = store.begin("report", "week", "ann", 7)
    clock.seconds += 5
    store.end(first, DONE, "3 ports", {"ports": 3})
    newest, oldest = store.jobs()
    assert (newest.id, newest.state, newest.schedule) == (second, RUNNING, 7)
    assert (oldest.state, oldest.text, oldest.result) == (DONE, "3 ports", {"ports": 3})
    assert oldest.ended_us - oldest.started_us == 5_000_000
    assert [job.kind for job in store.jobs(kind="scan")] == ["scan"]


def test_jobs_that_ran_when_the_service_ended_are_lost(store: JobStore) -> None:
    store.end(store.begin("scan", "a", "ann"), CANCELLED)
    store.begin("scan", "b", "ann")
    assert store.lose() == 1
    assert [job.state for job in store.jobs()] == [LOST, CANCELLED]


def test_history_is_bounded(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "JOBS_MAX", 3)
    for name in "abcde":
        store.begin("scan", name, "ann")
    assert [job.name for job in store.jobs()] == ["e", "d", "c"]


def test_schedules_are_kept_switched_and_removed(store: JobStore, tmp_path: Path) -> None:
    number = store.add_schedule("scan", "nightly", "0 3 * * *", {"targets": ["10.0.0.0/24"]}, "ann")
    store.set_due(number, 123)
    (kept,) = JobStore(tmp_path).schedules()
    assert (kept.task, kept.enabled, kept.due_us) == ({"targets": ["10.0.0.0/24"]}, True, 123)
    assert store.enable_schedule(number, enabled=False)
    (kept,) = store.schedules()
    assert (kept.enabled, kept.due_us) == (False, 0)
    assert store.remove_schedule(number)
    assert not store.remove_schedule(number)
    assert not store.enable_schedule(number, enabled=True)


def test_schedules_are_bounded(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEDULES_MAX", 1)
    store.add_schedule("scan", "a", "every 1h", {}, "ann")
    with pytest.raises(QueryError, match="too many"):
        store.add_schedule("scan", "b", "every 1h", {}, "ann")
    with pytest.raises(QueryError, match="too large"):
        store.add_schedule("scan", "c", "every 1h", {"x": "y" * 70_000}, "ann")
