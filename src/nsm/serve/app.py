"""The web server as one ASGI application: routes, page, sockets, behind one guard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import socketio
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp

from nsm.errors import NsmError
from nsm.serve import problems
from nsm.serve.auth import Gate
from nsm.serve.backend import Control, LiveFeed
from nsm.serve.depends import Reads, Services
from nsm.serve.document import document, with_routes
from nsm.serve.eventlog import EventLog, now_us
from nsm.serve.guard import Guard
from nsm.serve.history import SECONDS_MAX, Number
from nsm.serve.live import Live
from nsm.serve.page import STATIC, Page
from nsm.serve.settings import ServeSettings
from nsm.serve.state import LiveState
from nsm.serve.uploads import Uploads
from nsm.store.accounts import Accounts
from nsm.store.captures import CaptureShelf, CapturesSettings
from nsm.store.health import HealthStore
from nsm.store.jobs import JobStore
from nsm.store.reader import Reader
from nsm.store.scans import ScanStore

log = logging.getLogger(__name__)

GZIP_BYTES_MIN: Final = 2_048  # ours: below, it saves no packet
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
CAPTURE_TYPE: Final = "application/vnd.tcpdump.pcap"  # gigabytes, which would cost this process a core
CAPTURES: Final = CapturesSettings()
PREFILL: Final = (("pps", "pkts", 1), ("bps_in", "bytes_c", 8), ("bps_out", "bytes_s", 8))
"""Number of a second, measure of the store's sums by interface, factor."""


def create_app(
    feed: LiveFeed, control: Control, reader: Reader, accounts: Accounts, settings: ServeSettings, data_dir: Path,
    static: Path = STATIC, captures: CapturesSettings = CAPTURES,
) -> ASGIApp:  # fmt: skip
    """The application, for uvicorn. It reads the feed for as long as it lives (ASGI lifespan).

    The caller makes and closes reader and accounts, and binds the socket (``nsm.serve.settings.bind``).
    """
    state, gate = LiveState(), Gate(accounts, settings)
    jobs, scans, health = JobStore(data_dir), ScanStore(data_dir), HealthStore(data_dir)
    shelf = CaptureShelf(data_dir, captures)
    shelf.forget_uploads()
    live = Live(state, control, gate, accounts, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with contextlib.suppress(NsmError):  # a store that is not there yet gives an empty chart
            state.history.prefill(*await asyncio.to_thread(_seconds_before, reader))
        task = asyncio.create_task(live.run(feed))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for store in (jobs, scans, health):
            store.close()

    api, routes = with_routes(lifespan)
    api.state.services = Services(
        state=state, live=live, control=control, reader=reader, accounts=accounts, gate=gate, events=EventLog(reader),
        settings=settings, data_dir=data_dir, jobs=jobs, scans=scans, health=health,
        captures=shelf, uploads=Uploads(shelf),
    )  # fmt: skip
    problems.install(api)
    # Answers hold no secret beside what a stranger chose (BREACH): the CSRF token comes alone, and below this size.
    api.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES_MIN, compresslevel=5,
                       exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, CAPTURE_TYPE))  # fmt: skip
    page = Page(static)

    @api.get("/api/v1/openapi.json", include_in_schema=False)
    def openapi(_session: Reads) -> dict[str, Any]:
        return document(api)

    @api.api_route("/{path:path}", methods=list(METHODS), include_in_schema=False)
    async def otherwise(request: Request) -> Response:
        path = request.scope["path"]
        allowed = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
        if path.startswith("/api/") and not allowed:
            raise problems.NotFoundError(f"there is no route {path[:100]}", mend="GET /api/v1/openapi.json lists them")
        if request.method != "GET" or allowed:
            raise HTTPException(405, "this is not done here", {"Allow": ", ".join(sorted(allowed or {"GET"}))})
        return page.respond(request)

    return Guard(socketio.ASGIApp(live.sio, api), settings)


def _seconds_before(reader: Reader) -> tuple[int, dict[str, list[Number]]]:
    """(time of the first, numbers by name) of the seconds before this process began, as far as the store has them."""
    stop = now_us() // 1_000_000
    start = stop - SECONDS_MAX
    out: dict[str, list[Number]] = {}
    for name, measure, factor in PREFILL:
        sums = reader.series("wire", None, measure, start * 1_000_000, stop * 1_000_000, 1)
        if not sums["keys"]:
            return start, {}
        columns = zip(*sums["values"], strict=True)
        out[name] = [
            None if all(one is None for one in row) else factor * sum(one or 0 for one in row) for row in columns
        ]
    return start, out
