"""The job "report": a report of the last hours or days, kept with the others in the folder of the store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.run.work import Done, JobSpec, Teller, run_job, settings_of

DAYS_MAX: Final = 92  # as report/period.py has it


class ReportTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person asks for, as of ``nsm report``. Empty ``zone``: that of the machine."""

    last: str = "24h"
    formats: tuple[str, ...] = ("html",)
    name: str = ""
    zone: str = ""
    short: bool = False
    redact: bool = False


def check(task: dict[str, Any]) -> dict[str, Any]:
    """The task with its defaults; NsmError for a period, format or zone that there is not.

    The supervisor asks, which must stay small: nothing that reads the store is imported here.
    """
    from zoneinfo import ZoneInfo

    from nsm.report.shelf import formats_of
    from nsm.store.queryspec import duration_s

    try:
        asked = msgspec.convert(task, ReportTask)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a report: {error}", where="task") from error
    formats_of(asked.formats)
    if not 60 <= duration_s(asked.last) <= DAYS_MAX * 86_400:
        raise QueryError(f"a report is of a minute to {DAYS_MAX} days", where="last")
    try:
        ZoneInfo(asked.zone or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise QueryError(f"there is no time zone {asked.zone[:40]!r}", mend="for example Europe/Berlin") from error
    checked: dict[str, Any] = msgspec.to_builtins(asked)
    return checked


SPEC: Final = JobSpec(kind="report", module="nsm.run.jobs.report", check=check, limit_s=900.0)
STOPPING: Final = threading.Event()


def work(task: dict[str, Any], tell: Teller) -> Done:
    """Gather, write every format, keep them. Without a PDF the report is kept as HTML, and says why."""
    from nsm.errors import SinkError
    from nsm.report.gather import gather, us_now
    from nsm.report.pdf import PdfMissingError
    from nsm.report.period import period
    from nsm.report.redact import key_of, redacted
    from nsm.report.render import render
    from nsm.report.settings import SETTINGS as REPORT
    from nsm.report.shelf import FORMATS, About, Shelf, formats_of
    from nsm.report.summary import summary
    from nsm.store.settings import SETTINGS as STORE

    asked = msgspec.convert(task["task"], ReportTask)
    settings = settings_of(task, (REPORT, STORE))
    limits = settings.section("report")
    now = us_now()
    tell.progress({"stage": "reading the store", "done": 0, "total": 1})
    data = Path(task["data"])
    facts = gather(data, period(asked.last, None, None, now, asked.zone), settings.section("store").home_net, now,
                   short=asked.short)  # fmt: skip
    shelf = Shelf(data)
    shelf.make_folder()
    if asked.redact:
        facts = redacted(facts, key_of(shelf.folder))
    files, problem = dict[str, bytes](), ""
    wanted = formats_of(asked.formats)
    for place, form in enumerate(wanted):
        _stop_if_asked()
        tell.progress({"stage": f"writing {form}", "done": place, "total": len(wanted)})
        try:
            files[FORMATS[form]] = render(facts, form, limits.pdf_seconds_max)
        except PdfMissingError as error:
            problem = f"{error}. {error.mend}"
        except SinkError as error:
            problem = str(error)
    if not files:
        files["html"] = render(facts, "html")
    _stop_if_asked()
    about = About(
        id=shelf.new_id(), name=asked.name[:200], who=task["who"], made_us=now, start_us=facts.period.start_us,
        stop_us=facts.period.stop_us, zone=facts.period.zone, summary=" ".join(summary(facts)), score=facts.score.score,
        files={}, problem=problem,
    )  # fmt: skip
    kept = shelf.keep(about, files, limits.files_max)
    text = f"report of {asked.last}: {', '.join(kept.files)}" + (f"; {problem}" if problem else "")
    return text, {"report": kept.id, "files": [f"{kept.id}.{ending}" for ending in kept.files], "problem": problem}


def _stop_if_asked() -> None:
    if STOPPING.is_set():
        raise QueryError("cancelled")


if __name__ == "__main__":
    run_job("report", work, STOPPING.set)
