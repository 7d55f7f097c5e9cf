"""Health: can I trust what I see? And the same figures for Prometheus."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from nsm.errors import NsmError
from nsm.serve.depends import Reads, Times, Uses
from nsm.serve.metrics import TYPE, exposition
from nsm.store.accounts import ROLES

SPEC: Final = APIRouter(tags=["health"])
LOG_LINES_MAX: Final = 200
LOG_BYTES_MAX: Final = 256 * 1024
LOG: Final = "nsm.log"


@SPEC.get("/api/v1/health")
async def health(use: Uses, session: Reads) -> dict[str, Any]:
    """Judgements, processes, queues, store, machine, interfaces, probes; for admins the end of the log.

    While the service does not answer, ``fault`` says so and the rest is empty: this page must show most when least works.
    """
    found: dict[str, Any] = {"processes": [], "queues": {}, "store": {}, "workers": {}, "figures": {}, "fault": None}
    try:
        found |= await use.control.health()
    except NsmError as error:
        found["fault"] = {"title": str(error), "where": error.where, "mend": error.mend}
    figures = found.pop("figures") or {}
    admin = session.role == ROLES[-1]
    log = await asyncio.to_thread(tail, use.data_dir / LOG) if admin else None
    keys = ("ts", "machine", "forecast", "resolver")
    lists = ("verdicts", "interfaces", "probes")
    return {
        **{key: found[key] for key in ("processes", "queues", "store", "workers", "fault")},
        **{key: figures.get(key) for key in keys}, **{key: figures.get(key) or [] for key in lists}, "log": log,
        "gaps": list(use.state.gaps), "last_second": use.state.last_ts,
    }  # fmt: skip


@SPEC.get("/api/v1/health/history")
async def history(
    use: Uses, _session: Reads, times: Times, series: Annotated[str, Query(max_length=100)] = "probe.",
    step: Annotated[int, Query(ge=60, le=86_400)] = 300,
) -> dict[str, Any]:  # fmt: skip
    """Kept values of the series whose names begin with ``series``: {name: [[s UTC, mean of the step]]}."""
    start, stop = (moment // 1_000_000 for moment in times)
    return {"items": await asyncio.to_thread(use.health.series, series, start, stop, step)}


@SPEC.get("/metrics", response_class=Response)
async def metrics(use: Uses, _session: Reads) -> Response:
    """The figures in the text format of Prometheus; scrape it with a token of scope viewer."""
    return Response(
        exposition(await use.control.health(), {"score": use.state.score, "threats": use.state.threats}),
        media_type=TYPE,
    )


def tail(path: Path) -> list[dict[str, Any]]:
    """The last lines of the log, the newest last; what is no JSON is a line of its own."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES_MAX))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    if size > LOG_BYTES_MAX:
        lines = lines[1:]
    return [_line(line) for line in lines[-LOG_LINES_MAX:]]


def _line(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        return {key: str(found.get(key, "")) for key in ("ts", "level", "part", "message")}
    except (ValueError, AttributeError):
        return {"ts": "", "level": "", "part": "", "message": text[:4_000]}
