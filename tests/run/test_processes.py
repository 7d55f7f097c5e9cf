"""A process that cannot be started is a fault that is kept and told, and is tried again; it never ends the supervisor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nsm.errors import CaptureError
from nsm.run.processes import RESTART_S, Process, Processes


@pytest.mark.parametrize(
    "error", [CaptureError("interface eth9 is gone", mend="plug it in"), OverflowError("too large")]
)
def test_a_start_that_fails_is_told(error: Exception) -> None:
    def task() -> tuple[dict[str, Any], tuple[int, ...]]:
        raise error

    async def run() -> Process:
        changed = asyncio.Event()
        processes = Processes(-1, changed.set, lambda name, died: None)
        processes.add("capture-eth9-0", "nsm.run.capture_worker", task)
        await asyncio.wait_for(changed.wait(), 5.0)
        (process,) = processes.named("capture")
        assert [entry["alive"] for entry in processes.health()] == [True, False]
        await processes.end("capture")
        assert processes.named("capture") == []
        return process

    process = asyncio.run(run())
    assert process.fault is not None
    assert str(error) in str(process.fault)
    assert process.fault.mend


def test_the_more_often_it_died_lately_the_longer_it_waits() -> None:
    process = Process("web", "nsm.run.web", lambda: ({}, ()))
    assert [process.pause(1_000.0 + n) for n in range(7)] == [*RESTART_S, RESTART_S[-1], RESTART_S[-1]]
    assert process.pause(2_000.0) == RESTART_S[0]
