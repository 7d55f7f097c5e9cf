"""Health: can I trust what I see? And the same figures for Prometheus."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NotRequired, cast

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from nsm.errors import NsmError
from nsm.serve.answers import Answer, Gap
from nsm.serve.depends import Reads, Times, Uses
from nsm.serve.metrics import TYPE, exposition
from nsm.store.accounts import ROLES

SPEC: Final = APIRouter(tags=["health"])
LOG_LINES_MAX: Final = 200
LOG_BYTES_MAX: Final = 256 * 1024
LOG: Final = "nsm.log"


class Exposition(PlainTextResponse):
    """Figures for Prometheus."""

    media_type = TYPE


class ProcessHealth(Answer):
    """One process of the service."""

    name: str
    pid: int | None
    alive: bool
    restarts: int
    rss_bytes: int
    cpu_pct: float | None


class QueueHealth(Answer):
    """Messages that wait, and those thrown away."""

    waiting: int
    shed: int


class StoreHealth(Answer):
    """How the writer of the store is, as ``nsm.store.records.Health``; nothing while it does not say."""

    state: NotRequired[str]
    reason: NotRequired[str]
    free_bytes: NotRequired[int]
    bulk_bytes: NotRequired[int]
    open_files: NotRequired[int]
    batches_stored: NotRequired[int]
    batches_known: NotRequired[int]
    batches_refused: NotRequired[int]
    rows_stored: NotRequired[int]
    rows_refused: NotRequired[int]
    capsules_dropped: NotRequired[int]
    near_misses_dropped: NotRequired[int]
    segments_made: NotRequired[int]
    files_damaged: NotRequired[int]
    errors: NotRequired[int]
    bytes_dropped: NotRequired[int]


class Fault(Answer):
    """Why the service does not answer."""

    title: str
    where: str
    mend: str


class MachineHealth(Answer):
    """Processor, memory, disk and clock."""

    cpu_ratio: float | None
    load_1min: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_free_bytes: int
    disk_total_bytes: int
    temperature_c: float | None
    clock_synchronised: bool | None
    clock_offset_s: float | None
    clock_stepped_s: NotRequired[float]


class Counters(Answer):
    """Sums since the interface came up."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    errors_in: int
    errors_out: int
    drops_in: int
    drops_out: int


class Rates(Answer):
    """The same, each second of the last minute."""

    bytes_in: float
    bytes_out: float
    packets_in: float
    packets_out: float
    errors: float
    drops: float


class InterfaceHealth(Answer):
    """One interface as the system sees it; no rates before the second look."""

    name: str
    up: bool
    enabled: bool
    mtu: int
    speed_mbit: int
    counters: Counters
    rates: Rates | None


class ProbeWindow(Answer):
    """Probes of some minutes."""

    sent: int
    lost: int
    late: int
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None
    loss: float | None


class Probe(Answer):
    """One address that is probed."""

    name: str
    address: str
    role: str
    method: str
    answered: bool
    only_echoes: bool
    jitter_ms: float | None
    duplicates: int
    raised: list[str]
    minute: ProbeWindow
    quarter: ProbeWindow


class Resolver(Answer):
    """The last question to the resolver."""

    address: NotRequired[str]
    time_ms: NotRequired[float | None]
    rcode: NotRequired[int | None]


class Forecast(Answer):
    """When the disk is full."""

    days_left: float | None
    bytes_a_day: float | None
    level: str
    reason: str


class Verdict(Answer):
    """One judgement, and what to do about it."""

    id: str
    state: Literal["ok", "note", "warn", "fail", "unknown"]
    text: str
    mend: str


class LogLine(Answer):
    """One line of the service's log."""

    ts: str
    level: str
    part: str
    message: str


class Health(Answer):
    """Everything that is known of how the monitor itself is; ``log`` is None for those who may not see it."""

    processes: list[ProcessHealth]
    queues: dict[str, QueueHealth]
    store: StoreHealth
    workers: dict[str, dict[str, Any]]
    fault: Fault | None
    ts: float | None
    machine: MachineHealth | None
    forecast: Forecast | None
    resolver: Resolver | None
    verdicts: list[Verdict]
    interfaces: list[InterfaceHealth]
    probes: list[Probe]
    log: list[LogLine] | None
    gaps: list[Gap]
    last_second: float | None


class HealthHistory(Answer):
    """Name of a series -> its [s UTC, value], oldest first."""

    items: dict[str, list[list[float]]]


@SPEC.get("/api/v1/health")
async def health(use: Uses, session: Reads) -> Health:
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
    whole = {
        **{key: found[key] for key in ("processes", "queues", "store", "workers", "fault")},
        **{key: figures.get(key) for key in keys}, **{key: figures.get(key) or [] for key in lists}, "log": log,
        "gaps": list(use.state.gaps), "last_second": use.state.last_ts,
    }  # fmt: skip
    return cast("Health", whole)


@SPEC.get("/api/v1/health/history")
async def history(
    use: Uses, _session: Reads, times: Times, series: Annotated[str, Query(max_length=100)] = "probe.",
    step: Annotated[int, Query(ge=60, le=86_400)] = 300,
) -> HealthHistory:  # fmt: skip
    """Kept values of the series whose names begin with ``series``: {name: [[s UTC, mean of the step]]}."""
    start, stop = (moment // 1_000_000 for moment in times)
    found = await asyncio.to_thread(use.health.series, series, start, stop, step)
    return {"items": {name: [list(point) for point in points] for name, points in found.items()}}


@SPEC.get("/metrics", response_class=Exposition)
async def metrics(use: Uses, _session: Reads) -> Exposition:
    """The figures in the text format of Prometheus; scrape it with a token of scope viewer."""
    now = {"score": use.state.score, "threats": use.state.threats}
    return Exposition(exposition(await use.control.health(), now))


def tail(path: Path) -> list[LogLine]:
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


def _line(text: str) -> LogLine:
    try:
        found = json.loads(text)
        return {
            "ts": str(found.get("ts", "")), "level": str(found.get("level", "")), "part": str(found.get("part", "")),
            "message": str(found.get("message", "")),
        }  # fmt: skip
    except (ValueError, AttributeError):
        return {"ts": "", "level": "", "part": "", "message": text[:4_000]}
