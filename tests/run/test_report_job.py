"""The job "report": a real process that leaves files in the store's folder, or says why not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nsm.errors import QueryError
from nsm.report import pdf as of_pdf
from nsm.report.shelf import Shelf
from nsm.run.job_runner import JobRunner
from nsm.run.jobs import report as job
from nsm.run.work import Teller
from nsm.store.jobs import DONE, JobStore
from tests.report.kit import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("store"))


def task(folder: Path, values: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    return {"task": job.check({"zone": "UTC", **asked}), "data": str(folder), "who": "ann", "values": values or {}}


def test_a_report_is_made_by_a_process_and_kept(folder: Path) -> None:
    async def work() -> None:
        store = JobStore(folder)
        told: list[dict[str, Any]] = []

        async def tell(_kind: str, header: dict[str, Any]) -> None:
            told.append(header["job"])

        runner = JobRunner({"report": job.SPEC}, store, {"data": str(folder), "values": {}}, tell)
        runner.start("report", "daily", {"formats": ["html", "csv"], "zone": "UTC", "name": "daily"}, "ann")
        async with asyncio.timeout(60):
            await asyncio.gather(*runner._tasks)
        (kept,) = store.jobs()
        assert kept.state == DONE
        made = Shelf(folder).about(kept.result["report"])
        assert made is not None
        assert (made.name, made.who, set(made.files)) == ("daily", "ann", {"html", "zip"})
        assert kept.result["files"] == [f"{made.id}.html", f"{made.id}.zip"]
        assert "writing csv" in [one["progress"].get("stage") for one in told]
        store.close()

    asyncio.run(work())


def test_a_pdf_that_cannot_be_made_leaves_the_page_and_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_pdf, "missing", lambda: True)
    text, result = job.work(task(folder, formats=["pdf"], redact=True), Teller(lambda _kind, _header: None))
    assert "WeasyPrint is not installed" in text
    assert [name.rpartition(".")[2] for name in result["files"]] == ["html"]
    made = Shelf(folder).about(result["report"])
    assert made is not None
    assert "netsecmonitor[pdf]" in made.problem


def test_only_so_many_are_kept(folder: Path) -> None:
    for _ in range(3):
        job.work(task(folder, values={"report.files_max": 2}, formats=["json"]), Teller(lambda _kind, _header: None))
    assert len(Shelf(folder).reports()) == 2


def test_the_supervisor_checks_a_task_without_loading_the_store() -> None:
    program = (
        "import sys; from nsm.run.jobs.report import check; check({'formats': ['pdf'], 'zone': 'Europe/Berlin'});"
        "sys.exit(bool({'duckdb', 'pyarrow', 'numba'} & set(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(of_pdf.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", program], env=environ, check=False).returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [{"last": "soon"}, {"last": "9999d"}, {"formats": ["docx"]}, {"formats": []}, {"zone": "Mars"}, {"more": 1}],
)
def test_what_is_no_report_is_refused_before_it_begins(wrong: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        job.check(wrong)
