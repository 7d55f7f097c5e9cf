"""Captures that are kept: record, upload, analyse, look at, download, remove. Apart from the live history."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import Field

from nsm.errors import QueryError
from nsm.serve import sandbox
from nsm.serve.answers import Answer, JobNumber, Ok, Severity
from nsm.serve.depends import Admin, Analyst, Body, Limit, Reads, Services, Uses
from nsm.serve.problems import NotFoundError, documented
from nsm.store.captures import EVENTS, REPORT, Found, Kept, file_name, label
from nsm.store.folders import free_bytes

SPEC: Final = APIRouter(prefix="/api/v1", tags=["captures"])

PACKED: Final = "application/gzip"
PCAP: Final = "application/vnd.tcpdump.pcap"  # IANA, media types; pcapng has none of its own

PACKETS: Final[dict[str, Any]] = {"content": {PCAP: {"schema": {}}, PACKED: {"schema": {}}}}
PACKED_ONLY: Final[dict[str, Any]] = {"content": {PACKED: {"schema": {}}}}
PAGE: Final[dict[str, Any]] = {"content": {"text/html": {"schema": {}}}}
RAW: Final = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


class NewRecording(Body):
    """What to record; the settings ``captures`` bound time and size."""

    iface: str = Field(min_length=1, max_length=64)
    seconds: int = Field(default=60, ge=1, le=86_400)
    bytes_max: int = Field(default=100_000_000, ge=1_000, le=1 << 40)
    filter: str = Field(default="", max_length=4_000)
    snaplen: int = Field(default=262_144, ge=64, le=262_144)
    form: Literal["pcap", "pcapng"] = "pcapng"
    name: str = Field(default="", max_length=200)


class CaptureResult(Answer):
    """What was found, for a list."""

    flows: int
    alerts_count: int
    by_severity: dict[str, int]
    products: dict[str, int]
    problem: str


class KeptCapture(Answer):
    """A capture that is kept, as ``nsm.store.captures.Kept``; ``made`` in s UTC, ``result`` None until it was analysed."""

    id: str
    name: str
    who: str
    made: float
    form: str
    bytes: int
    interface: str
    filter: str
    packets: int | None
    drops: int
    note: str
    result: CaptureResult | None


class CaptureLimits(Answer):
    """The settings ``captures``."""

    files_max: int
    total_bytes_max: int
    record_bytes_max: int
    record_seconds_max: int
    upload_bytes_max: int
    free_min_bytes: int
    events_bytes_max: int
    analysis_seconds_max: int


class CaptureList(Answer):
    """Captures, the newest first, of ``total``; the bounds, and what is used of the disk."""

    items: list[KeptCapture]
    total: int
    limits: CaptureLimits
    used_bytes: int
    free_bytes: int


class Share(Answer):
    """Flows, packets and bytes of one application or host."""

    name: str
    flows: int
    packets: int
    bytes: int


class FoundAlert(Answer):
    """An alert of a capture; times in us UTC."""

    severity: Severity
    detector: str
    title: str
    what: str
    count: int
    first: int
    last: int
    src: str | None
    dest: str | None


class CaptureFound(Answer):
    """What is in a capture, as ``nsm.store.captures.Found``; ``made``, ``first`` and ``last`` in s UTC."""

    made: float
    seconds: float
    packets: int
    bytes: int
    flows: int
    first: float
    last: float
    applications: list[Share]
    hosts: list[Share]
    alerts: list[FoundAlert]
    alerts_count: int
    by_severity: dict[str, int]
    events: int
    events_left_out: int
    products: dict[str, int]
    problem: str
    report_problem: str


class AnalysedCapture(KeptCapture):
    """A capture with what was found in it."""

    found: CaptureFound | None


class Uploaded(Answer):
    """The capture now kept, and the job that reads it."""

    id: str
    job: int


@SPEC.get("/captures")
def captures(use: Uses, _session: Reads, limit: Limit = 200) -> CaptureList:
    """Captures that are kept, the newest first, with the numbers of what is in them; and the bounds."""
    shelf = use.captures
    limits: CaptureLimits = msgspec.to_builtins(shelf.settings)
    return {
        "items": [_row(one, shelf.found(one.id)) for one in shelf.captures(limit)],
        "total": shelf.count(), "limits": limits, "used_bytes": shelf.used(), "free_bytes": free_bytes(use.data_dir),
    }  # fmt: skip


@SPEC.post("/captures:record", responses=documented(409, 507))
async def record(body: NewRecording, use: Uses, session: Admin) -> JobNumber:
    """Record packets of an interface, or let it wait for its turn; the number of its job."""
    limits = use.captures.settings
    for value, most, where in (
        (body.seconds, limits.record_seconds_max, "seconds"), (body.bytes_max, limits.record_bytes_max, "bytes_max"),
    ):  # fmt: skip
        if value > most:
            raise QueryError(f"a recording has {most:,} {where.partition('_')[0]} at most", where=where,
                             mend=f"captures.record_{where.removesuffix('_max')}_max is the setting")  # fmt: skip
    await asyncio.to_thread(use.captures.room)
    name = label(body.name, body.iface)
    number = await use.control.job("record", name, body.model_dump(), session.name)
    detail = f"job {number} {body.iface} {body.seconds} s filter {body.filter or 'none'}"
    await asyncio.to_thread(use.accounts.audit, session.name, "recording started", detail)
    return {"job": number}


@SPEC.post("/captures:upload", responses=documented(409, 413, 507), openapi_extra={"requestBody": RAW})
async def upload(
    request: Request, use: Uses, session: Analyst, name: Annotated[str, Query(max_length=1_000)] = ""
) -> Uploaded:
    """Keep the capture that is the body, and read it; its id and the number of the job that reads it."""
    length = request.headers.get("content-length", "")
    kept = await use.uploads.take(request.stream(), int(length) if length.isdecimal() else None, name, session.name)
    detail = f"{kept.id} {kept.name} {kept.bytes} bytes"
    await asyncio.to_thread(use.accounts.audit, session.name, "capture uploaded", detail)
    return {"id": kept.id, "job": await use.control.job("read", kept.name, {"capture": kept.id}, session.name)}


@SPEC.get("/captures/{capture_id}", responses=documented(404))
def capture(capture_id: str, use: Uses, _session: Reads) -> AnalysedCapture:
    """One capture and what was found in it."""
    kept = _kept(use, capture_id)
    found = use.captures.found(capture_id)
    whole = _times(found, "made", "first", "last") if found is not None else None
    return cast("AnalysedCapture", {**_row(kept, found), "found": whole})


@SPEC.post("/captures/{capture_id}/analyse", responses=documented(404, 409, 507))
async def analyse(capture_id: str, use: Uses, session: Analyst) -> JobNumber:
    """Read a capture, again too; the number of the job."""
    kept = await asyncio.to_thread(_kept, use, capture_id)
    await asyncio.to_thread(use.captures.room)
    number = await use.control.job("read", kept.name, {"capture": kept.id}, session.name)
    await asyncio.to_thread(use.accounts.audit, session.name, "capture analysed", f"job {number} {kept.id} {kept.name}")
    return {"job": number}


@SPEC.get("/captures/{capture_id}/file", response_class=FileResponse, responses={**documented(404), 200: PACKETS})
def file(capture_id: str, use: Uses, session: Analyst) -> FileResponse:
    """The packets."""
    kept, path = _kept(use, capture_id), use.captures.path(capture_id)
    if path is None:
        raise NotFoundError(f"the file of the capture {capture_id[:32]} is gone", mend="remove the capture")
    use.accounts.audit(session.name, "capture downloaded", f"{kept.id} {kept.name}")
    return sandbox.download(path, PACKED if kept.form.endswith(".gz") else PCAP, file_name(kept))


@SPEC.get("/captures/{capture_id}/events", response_class=FileResponse, responses={**documented(404), 200: PACKED_ONLY})
def events(capture_id: str, use: Uses, session: Analyst) -> FileResponse:
    """What was found as EVE JSON, one event a line, packed with gzip."""
    kept, path = _kept(use, capture_id), use.captures.product(capture_id, EVENTS)
    if path is None:
        raise NotFoundError(f"there are no events of the capture {capture_id[:32]}", mend="analyse it")
    use.accounts.audit(session.name, "capture events downloaded", f"{kept.id} {kept.name}")
    return sandbox.download(path, PACKED, file_name(kept, EVENTS))


@SPEC.get("/captures/{capture_id}/report", response_class=FileResponse, responses={**documented(404), 200: PAGE})
def report(capture_id: str, use: Uses, _session: Reads, download: bool = False) -> FileResponse:
    """The report on it, to look at in a sandbox; with ``download`` to keep."""
    kept, path = _kept(use, capture_id), use.captures.product(capture_id, REPORT)
    if path is None:
        raise NotFoundError(f"there is no report of the capture {capture_id[:32]}", mend="analyse it")
    name = file_name(kept, "html")
    return sandbox.download(path, "text/html; charset=utf-8", name) if download else sandbox.document(path, name)


@SPEC.delete("/captures/{capture_id}", responses=documented(404))
def remove(capture_id: str, use: Uses, session: Admin) -> Ok:
    """Remove a capture and all that was found in it."""
    kept = use.captures.about(capture_id)
    if not use.captures.remove(capture_id):
        raise NotFoundError(f"there is no capture {capture_id[:32]}", mend="it may have been removed")
    use.accounts.audit(session.name, "capture removed", f"{capture_id} {kept.name if kept else ''}")
    return {"ok": True}


def _kept(use: Services, capture_id: str) -> Kept:
    found = use.captures.about(capture_id)
    if found is None:
        raise NotFoundError(f"there is no capture {capture_id[:32]}", mend="it may have been removed")
    return found


def _row(kept: Kept, found: Found | None) -> KeptCapture:
    row = _times(kept, "made")
    if found is not None:
        names = ("flows", "alerts_count", "by_severity", "products", "problem")
        row |= {"packets": found.packets, "result": {name: getattr(found, name) for name in names}}
    return cast("KeptCapture", {"result": None, **row})


def _times(struct: msgspec.Struct, *names: str) -> dict[str, Any]:
    """As a dictionary, with times in seconds."""
    plain: dict[str, Any] = msgspec.to_builtins(struct)
    times = {name: plain.pop(f"{name}_us") / 1e6 for name in names}
    return {**plain, **times}
