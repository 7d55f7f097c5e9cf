"""The job "report": a report of the last hours or days, kept with the others in the folder of the store."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.run.work import Done, JobSpec, Teller, run_job, settings_of

DAYS_MAX: Final = 92  # as report/period.py has it


class ReportTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person asks for, as of ``nsm report``. Empty ``zone``: that of the machine; empty ``scope``: the whole network.

    ``mail``: send it through the mail channel when it is made.
    """

    last: str = "24h"
    formats: tuple[str, ...] = ("html",)
    name: str = ""
    zone: str = ""
    short: bool = False
    redact: bool = False
    scope: str = ""
    mail: bool = False


def check(task: dict[str, Any]) -> dict[str, Any]:
    """The task with its defaults; NsmError for a period, format or zone that there is not.

    The supervisor asks, which must stay small: nothing that reads the store is imported here.
    """
    from zoneinfo import ZoneInfo

    from nsm.report.scope import words
    from nsm.report.shelf import formats_of
    from nsm.store.queryspec import duration_s

    try:
        asked = msgspec.convert(task, ReportTask)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a report: {error}", where="task") from error
    formats_of(asked.formats)
    words(asked.scope)
    if not 60 <= duration_s(asked.last) <= DAYS_MAX * 86_400:
        raise QueryError(f"a report is of a minute to {DAYS_MAX} days", where="last")
    try:
        ZoneInfo(asked.zone or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise QueryError(f"there is no time zone {asked.zone[:40]!r}", mend="for example Europe/Berlin") from error
    checked: dict[str, Any] = msgspec.to_builtins(asked)
    return checked


def asked_by_person(task: dict[str, Any], common: Mapping[str, Any]) -> None:
    """QueryError for a mail that no channel would ever send."""
    if task.get("mail") is True:
        from nsm.run.notice_control import refuse_without_mail

        refuse_without_mail(common["values"], demo=bool(common.get("demo")))


SPEC: Final = JobSpec(kind="report", module="nsm.run.jobs.report", check=check, asked=asked_by_person, limit_s=900.0)
STOPPING: Final = threading.Event()


def work(task: dict[str, Any], tell: Teller) -> Done:
    """Gather, write every format, keep them, have them mailed. Without a PDF the report is kept as HTML, and says why."""
    from nsm.report.gather import gather, us_now
    from nsm.report.keeping import keep, written
    from nsm.report.period import period
    from nsm.report.redact import key_of, redacted
    from nsm.report.scope import words
    from nsm.report.settings import SETTINGS as REPORT
    from nsm.report.shelf import Shelf, formats_of
    from nsm.run.notice_control import refuse_without_mail
    from nsm.run.report_mail import post
    from nsm.store.settings import SETTINGS as STORE

    asked = msgspec.convert(task["task"], ReportTask)
    settings = settings_of(task, (REPORT, STORE))
    limits = settings.section("report")
    now = us_now()
    tell.progress({"stage": "reading the store", "done": 0, "total": 1})
    data = Path(task["data"])
    facts = gather(data, period(asked.last, None, None, now, asked.zone), settings.section("store").home_net, now,
                   short=asked.short, scope=words(asked.scope))  # fmt: skip
    shelf = Shelf(data)
    shelf.make_folder()
    if asked.redact:
        facts = redacted(facts, key_of(shelf.folder))
    wanted = formats_of(asked.formats)

    def writes(form: str) -> None:
        _stop_if_asked()
        tell.progress({"stage": f"writing {form}", "done": wanted.index(form), "total": len(wanted)})

    files, problem = written(facts, wanted, limits.pdf_seconds_max, writes, readable=asked.mail)
    _stop_if_asked()
    mailed = asked.mail
    try:
        if mailed:
            refuse_without_mail(task["values"], demo=bool(task.get("demo")))
    except (
        QueryError
    ) as error:  # the channel may have gone since the schedule was made: the report is made all the same
        mailed, problem = False, "; ".join(part for part in (problem, f"not mailed: {error}") if part)
    kept = keep(shelf, facts, files, name=asked.name, who=task["who"], problem=problem, most=limits.files_max,
                mailed=mailed)  # fmt: skip
    text = f"report of {asked.last}: {', '.join(kept.files)}" + (f"; {problem}" if problem else "")
    mail = post(data, kept, facts, task["values"], task.get("page", ""))[0] if mailed else ""
    text += f"; {mail}" if mail else ""
    result = {"report": kept.id, "files": [f"{kept.id}.{ending}" for ending in kept.files], "problem": problem}
    return text, {**result, "mail": mail} if mail else result


def _stop_if_asked() -> None:
    if STOPPING.is_set():
        raise QueryError("cancelled")


if __name__ == "__main__":
    run_job("report", work, STOPPING.set)
