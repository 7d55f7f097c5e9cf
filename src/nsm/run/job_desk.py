"""What may be asked of the service about jobs and schedules; holds runner, timetable and store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from nsm.errors import QueryError
from nsm.model.discovery import modules_with_spec
from nsm.run.job_runner import JobRunner, News
from nsm.run.timetable import Timetable
from nsm.store.jobs import JobStore

JOB_KINDS: Final = frozenset({"jobs", "job_start", "job_cancel", "schedule_add", "schedule_switch", "schedule_remove"})


class Jobs:
    """Lives in the supervisor."""

    def __init__(self, data: Path, common: dict[str, Any], tell: News) -> None:
        self._store, self._common = JobStore(data), common
        specs = {spec.kind: spec for _, spec in modules_with_spec("nsm.run.jobs")}
        self._runner = JobRunner(specs, self._store, self._common, tell)
        self._timetable = Timetable(self._store, self._runner)

    def use(self, values: dict[str, Any]) -> None:
        """Give these settings to jobs that start from now on."""
        self._common["values"] = values

    def begin(self) -> None:
        """Note what was lost with the last service, and take up the schedules."""
        self._store.lose()
        self._timetable.begin()

    async def close(self) -> None:
        """Run nothing more, end what runs."""
        self._timetable.end()
        await self._runner.end_all()
        self._store.close()

    def answer(self, kind: str, header: dict[str, Any]) -> dict[str, Any]:
        """The answer to a question of one of ``JOB_KINDS``; NsmError when it cannot be done."""
        match kind:
            case "job_start":
                self._asked(header)
                number = self._runner.start(header["job"], header["name"], header["task"], header["who"])
                return {"id": number}
            case "job_cancel":
                return _found(self._runner.cancel(header["id"]), "job that runs", header["id"])
            case "schedule_add":
                self._asked(header)
                number = self._timetable.add(
                    header["job"], header["name"], header["trigger"], header["task"], header["who"]
                )
                return {"id": number}
            case "schedule_switch":
                return _found(self._timetable.switch(header["id"], header["enabled"]), "schedule", header["id"])
            case "schedule_remove":
                return _found(self._timetable.remove(header["id"]), "schedule", header["id"])
            case _:
                return {"running": self._runner.shapes()}

    def _asked(self, header: dict[str, Any]) -> None:
        """NsmError when a person asks for what cannot be done."""
        spec = self._runner.spec(header["job"])
        if spec.asked is not None:
            spec.asked(header["task"], self._common)


def _found(found: bool, what: str, number: int) -> dict[str, Any]:
    if not found:
        raise QueryError(f"there is no {what} {number}")
    return {"ok": True}
