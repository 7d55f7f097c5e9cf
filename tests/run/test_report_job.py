"""The job "report": a real process that leaves files in the store's folder, or says why not."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nsm.errors import QueryError
from nsm.report import pdf as of_pdf
from nsm.report.shelf import Shelf, notice_of_report
from nsm.run.job_desk import Jobs
from nsm.run.job_runner import JobRunner
from nsm.run.jobs import report as job
from nsm.run.report_mail import notice
from nsm.run.work import Teller
from nsm.store.jobs import DONE, JobStore
from nsm.store.reader import Reader
from tests.notify.receivers import mail_receiver, until
from tests.report.kit import build, facts_of
from tests.run.test_notifier import running


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


def values_of(port: int, **more: Any) -> dict[str, Any]:
    """Settings with a mail server on that port, as the supervisor gives them to jobs."""
    return {"notify.mail.host": "127.0.0.1", "notify.mail.port": port, "notify.queue_max": 500, **more}


def mail_channel(port: int, **more: Any) -> dict[str, Any]:
    """The same for the notifier."""
    return {
        "mail": {
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "sender": "nsm@b.org",
            "to": ["c@d.org"],
            **more,
        }
    }


def made(folder: Path, values: dict[str, Any], **asked: Any) -> tuple[str, dict[str, Any]]:
    page = {"page": "http://127.0.0.1:8052/"}
    return job.work({**task(folder, values, mail=True, **asked), **page}, Teller(lambda _kind, _header: None))


def test_a_report_is_mailed_once_with_its_page(tmp_path: Path) -> None:
    folder = build(tmp_path)
    with mail_receiver() as box, running(folder, mail_channel(box.port)) as one:
        text, result = made(folder, values_of(box.port), name="daily", scope="192.168.1.20")
        assert "its mail waits to be sent" in text
        assert until(lambda: len(box.mails) == 1)
        assert until(lambda: one.state("mail")["counts"] == {"sent": 1})
        one.kill()
        one.start()
        assert until(lambda: one.state("mail")["counts"] == {"sent": 1})
        assert one.state("mail")["state"] == "works"
    (mail,) = box.mails
    about = Shelf(folder).about(result["report"])
    assert about is not None
    assert re.search(
        r"Report of 192.168.1.20, 20\d\d-.* to 20\d\d-.*: not known, nothing was recorded", mail["Subject"]
    )
    body = mail.get_body(("plain",))
    assert body is not None
    said = re.sub(r"\s+", " ", body.get_content())
    for sentence in (
        "This is about 192.168.1.20.",
        "On the page: http://127.0.0.1:8052/reports",
        f"/reports/{about.id}.html",
    ):
        assert sentence in said
    (attached,) = mail.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("text/html", f"nsm-report-{about.id}.html")
    path = Shelf(folder).path(about.id, "html")
    assert path is not None
    assert attached.get_content().splitlines() == path.read_text(encoding="utf-8").splitlines()
    reader = Reader(folder)
    assert reader.messages([f"mail/{notice_of_report(about.id)}"]) == {
        f"mail/{notice_of_report(about.id)}": ("sent", "")
    }
    reader.close()


def test_a_dead_mail_server_holds_up_nobody_and_is_seen(tmp_path: Path) -> None:
    folder = build(tmp_path)
    with mail_receiver() as box, running(folder, mail_channel(box.port, timeout_s=0.3)) as one:
        box.hang = True
        text, result = made(folder, values_of(box.port))
        assert "its mail waits to be sent" in text
        number = f"mail/{notice_of_report(result['report'])}"
        reader = Reader(folder)
        assert until(lambda: reader.messages([number])[number][1].startswith("mail: "))
        assert until(lambda: one.state("mail")["state"] == "failing")
        assert until(lambda: one.analyst.fails("mail").startswith("Messages do not reach mail"), 20)
        box.hang = False
        assert until(lambda: reader.messages([number])[number][0] == "sent", 20)
        reader.close()
    assert len(box.mails) == 1


def test_without_a_mail_channel_who_asks_is_told_and_a_schedule_goes_on(folder: Path) -> None:
    async def tell(_kind: str, _header: dict[str, Any]) -> None: ...

    without: dict[str, Any] = {"values": {}}
    for common in (without, {"values": values_of(25), "demo": True}):
        jobs = Jobs(folder, {"data": str(folder), **common}, tell)
        header = {"job": "report", "name": "x", "trigger": "every 1d", "task": {"mail": True}, "who": "ann"}
        for kind in ("job_start", "schedule_add"):
            with pytest.raises(QueryError, match=r"no mail") as raised:
                jobs.answer(kind, header)
            assert raised.value.mend
        jobs._store.close()
    text, result = made(folder, {})
    about = Shelf(folder).about(result["report"])
    assert about is not None
    assert "not mailed: no mail channel is set" in about.problem
    assert "not mailed: no mail channel is set" in text
    assert not about.mailed


def test_a_mail_always_has_something_to_read_and_a_pdf_goes_first(folder: Path) -> None:
    _, result = made(folder, values_of(25), formats=["json"])
    about = Shelf(folder).about(result["report"])
    assert about is not None
    assert set(about.files) == {"json", "html"}
    sent = notice(folder, msgspec.structs.replace(about, files={"html": 5, "pdf": 7}), facts_of(folder))
    assert [(one.media, one.size_bytes) for one in sent.attachments] == [("application/pdf", 7)]
    assert "2 grave alert groups" in sent.title or "1 grave alert group open" in sent.title


def test_only_so_many_are_kept(folder: Path) -> None:
    for _ in range(3):
        job.work(task(folder, values={"report.files_max": 2}, formats=["json"]), Teller(lambda _kind, _header: None))
    assert len(Shelf(folder).reports()) == 2


def test_a_name_of_the_scope_that_nobody_has_fails_the_job(folder: Path) -> None:
    with pytest.raises(QueryError, match="no host is called 'nas'"):
        job.work(task(folder, scope="nas"), Teller(lambda _kind, _header: None))


def test_the_supervisor_checks_a_task_without_loading_the_store() -> None:
    program = (
        "import sys; from nsm.run.jobs.report import SPEC;"
        "task = SPEC.check({'formats': ['pdf'], 'zone': 'Europe/Berlin', 'scope': '10.0.0.0/8', 'mail': True});"
        "SPEC.asked(task, {'values': {'notify.mail.host': 'mail.lan'}});"
        "sys.exit(bool({'duckdb', 'pyarrow', 'numba'} & set(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(of_pdf.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", program], env=environ, check=False).returncode == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "300.1.1.1"},
        {"scope": " , "},
        {"scope": "x" * 999},
        {"last": "soon"},
        {"last": "9999d"},
        {"formats": ["docx"]},
        {"formats": []},
        {"zone": "Mars"},
        {"more": 1},
    ],
)
def test_what_is_no_report_is_refused_before_it_begins(wrong: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        job.check(wrong)
