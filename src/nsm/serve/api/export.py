"""Downloads of exactly the rows that a filter matches, streamed from the store: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from nsm.serve.answers import Row
from nsm.serve.depends import Asked, Reads, Uses
from nsm.serve.problems import NotFoundError, documented
from nsm.serve.shapes import iso

SPEC: Final = APIRouter(prefix="/api/v1", tags=["export"])

HEADER: Final = (
    "Time", "Event Type", "Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol", "Severity", "Details", "Flow ID",
    "Alert ID",
)  # fmt: skip
"""The seed's columns (peers.md 0), then what identifies a row."""
FIELDS: Final = (
    "event_type", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "severity", "details", "flow_id", "alert_id",
)  # fmt: skip
KINDS: Final = {"events": None, "alerts": "alert", "flows": "flow"}
FILES: Final = {"text/csv": {"schema": {"type": "string"}}, "application/x-ndjson": {"schema": {"type": "string"}}}
CHUNK_ROWS: Final = 500


@SPEC.get(
    "/export/{kind}.{form}", response_class=StreamingResponse, responses={**documented(404), 200: {"content": FILES}}
)
def export(kind: str, form: str, use: Uses, session: Reads, asked: Asked) -> StreamingResponse:
    """The rows of the filter and time as a file; ``kind`` events, alerts or flows, ``form`` csv or jsonl."""
    if kind not in KINDS or form not in ("csv", "jsonl"):
        raise NotFoundError(f"there is no export {kind}.{form}", mend="events, alerts or flows as csv or jsonl")
    asked = msgspec.structs.replace(asked, type=KINDS[kind] or asked.type)
    rows = use.events.all(asked, use.settings.export_rows_max)
    lines = _csv(rows) if form == "csv" else _jsonl(rows)
    use.accounts.audit(session.name, "export", f"{kind}.{form} q={asked.filter.text[:500]}")
    span = "_".join(_stamp(us) for us in (asked.start_us, asked.stop_us))
    media = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
    return StreamingResponse(
        lines, media_type=media, headers={"Content-Disposition": f'attachment; filename="nsm-{kind}_{span}.{form}"'}
    )


def csv_cell(value: Any) -> str:
    """A cell that a spreadsheet shows and does not run: a leading ``= + - @``, tab or return gets an apostrophe."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _csv(rows: Iterable[Row]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(HEADER)
    rows = iter(rows)
    while True:
        chunk = list(islice(rows, CHUNK_ROWS))
        writer.writerows((iso(row["ts"] * 1e6), *(csv_cell(row[name]) for name in FIELDS)) for row in chunk)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        if len(chunk) < CHUNK_ROWS:
            return


def _jsonl(rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        yield msgspec.json.encode({**row, "ts": iso(row["ts"] * 1e6)}) + b"\n"


def _stamp(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y%m%dT%H%M%SZ")
