"""Reports of the service: list, make, look at, download, remove."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal, cast

import msgspec
from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import Field

from nsm.report.shelf import About, Shelf, notice_of_report
from nsm.serve import sandbox
from nsm.serve.answers import Answer, JobNumber, Ok
from nsm.serve.depends import Analyst, Body, Limit, Reads, Uses
from nsm.serve.problems import NotFoundError, documented

SPEC: Final = APIRouter(prefix="/api/v1", tags=["reports"])

Format = Literal["html", "pdf", "json", "csv"]
MEDIA: Final = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "json": "application/json",
                "zip": "application/zip"}  # fmt: skip
FILES: Final[dict[str, dict[str, dict[str, str]]]] = {kind.partition(";")[0]: {"schema": {}} for kind in MEDIA.values()}


class NewReport(Body):
    """Which report. ``last``: 24h, 7d; ``zone``: a name of the IANA database, empty for the server's.

    ``scope``: addresses, networks and known names with commas, empty for the whole network; ``mail``: send it by the mail
    channel when it is made.
    """

    last: Annotated[str, Field(min_length=2, max_length=10)] = "24h"
    formats: Annotated[list[Format], Field(min_length=1, max_length=4)] = Field(default=["html"])
    name: str = Field(default="", max_length=200)
    zone: str = Field(default="", max_length=60)
    short: bool = False
    redact: bool = False
    scope: str = Field(default="", max_length=2_000)
    mail: bool = False


class Report(Answer):
    """A report that is kept; times in s UTC. ``files``: ending -> bytes; ``problem``: a format that could not be made, and why.

    ``mail``: how its mail is, empty when none was asked for or it was long ago; ``mail_error``: the last failure of it.
    """

    id: str
    name: str
    who: str
    made: float
    start: float
    stop: float
    zone: str
    summary: str
    score: int | None
    files: dict[str, int]
    problem: str
    mail: Literal["", "waiting", "trying", "sent", "dead", "unsure", "dropped"]
    mail_error: str


class Reports(Answer):
    """Reports, the newest first."""

    items: list[Report]


@SPEC.get("/reports")
def reports(use: Uses, _session: Reads, limit: Limit = 200) -> Reports:
    """Reports that are kept, the newest first."""
    kept = Shelf(use.data_dir).reports(limit)
    mails = use.reader.messages([_mail(one) for one in kept if one.mailed])
    return {"items": [_shape(one, mails.get(_mail(one), ("", ""))) for one in kept]}


@SPEC.post("/reports")
async def make(body: NewReport, use: Uses, session: Analyst) -> JobNumber:
    """Make a report, or let it wait for its turn; the number of its job."""
    name = body.name or f"last {body.last}"
    number = await use.control.job("report", name, {**body.model_dump(), "name": name}, session.name)
    await asyncio.to_thread(use.accounts.audit, session.name, "report started", f"job {number} {name}")
    return {"job": number}


@SPEC.get(
    "/reports/{report_id}/{ending}", response_class=FileResponse, responses={**documented(404), 200: {"content": FILES}}
)
def file(report_id: str, ending: str, use: Uses, _session: Reads, download: bool = False) -> FileResponse:
    """A file of a report: html to look at in a sandbox, the others (and html with ``download``) to keep."""
    path = Shelf(use.data_dir).path(report_id, ending)
    if path is None:
        raise NotFoundError(f"there is no report {report_id[:32]}.{ending[:8]}", mend="it may have been removed")
    name = f"nsm-report-{path.name}"
    shown = ending == "html" and not download
    return sandbox.document(path, name) if shown else sandbox.download(path, MEDIA[ending], name)


@SPEC.delete("/reports/{report_id}", responses=documented(404))
def remove(report_id: str, use: Uses, session: Analyst) -> Ok:
    """Remove a report with all its files."""
    if not Shelf(use.data_dir).remove(report_id):
        raise NotFoundError(f"there is no report {report_id[:32]}", mend="it may have been removed")
    use.accounts.audit(session.name, "report removed", report_id)
    return {"ok": True}


def _mail(one: About) -> str:
    return f"mail/{notice_of_report(one.id)}"


def _shape(one: About, mail: tuple[str, str]) -> Report:
    plain = {**msgspec.to_builtins(one), "mail": mail[0], "mail_error": mail[1]}
    del plain["mailed"]
    times = {name: plain.pop(f"{name}_us") / 1e6 for name in ("made", "start", "stop")}
    return cast("Report", {**plain, **times})
