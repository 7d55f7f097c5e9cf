"""What the routes are given: the services of the application, the log-in of the request, the rows asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Query, Request, Security
from fastapi import Path as PathPart
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import to_json

from nsm.errors import QueryError
from nsm.serve.auth import COOKIE, CSRF_HEADER, Gate, check_csrf, check_role
from nsm.serve.backend import Control
from nsm.serve.eventlog import TYPES, EventLog, Window, now_us
from nsm.serve.guard import SAFE_METHODS
from nsm.serve.live import Live
from nsm.serve.match import parse
from nsm.serve.settings import ServeSettings
from nsm.serve.state import LiveState
from nsm.serve.uploads import Uploads
from nsm.store.accounts import Accounts, Session
from nsm.store.captures import CaptureShelf
from nsm.store.health import HealthStore
from nsm.store.jobs import JobStore
from nsm.store.queryspec import moment_us
from nsm.store.reader import Reader
from nsm.store.scans import ScanStore

LIMIT_MAX: Final = 1_000  # ux.md 4.3
MOMENT_MAX: Final = 253_402_300_799_000_000  # us UTC: the end of the year 9999, the last that is written as text
NUMBER_MAX: Final = (1 << 63) - 1  # of SQLite
SESSION: Final = APIKeyCookie(name=COOKIE, scheme_name="session", auto_error=False)
TOKEN: Final = HTTPBearer(scheme_name="token", auto_error=False)


class Services(msgspec.Struct, frozen=True):
    """Everything that routes use; made once in ``app.py``."""

    state: LiveState
    live: Live
    control: Control
    reader: Reader
    accounts: Accounts
    gate: Gate
    events: EventLog
    settings: ServeSettings
    data_dir: Path
    jobs: JobStore
    scans: ScanStore
    health: HealthStore
    captures: CaptureShelf
    uploads: Uploads


class Body(BaseModel):
    """A body of a request. It is taken as it is documented: ``"yes"`` is no truth value and ``"5"`` no number."""

    model_config = ConfigDict(strict=True)


def services(request: Request) -> Services:
    """The services of the application that serves this request."""
    found: Services = request.app.state.services
    return found


Uses = Annotated[Services, Depends(services)]


def credentials(_token: Annotated[Any, Security(TOKEN)], _session: Annotated[Any, Security(SESSION)]) -> None:
    """Nothing: it says in the document of the routes what ``logged_in`` reads."""


def logged_in(request: Request, use: Uses, _documented: Annotated[None, Depends(credentials)]) -> Session:
    """Who sends a request, by session cookie or by token; AuthError when it is nobody."""
    token = request.headers.get("authorization")
    if token is not None:
        return use.gate.bearer(token)
    return use.gate.session(request.headers.get("cookie"))[0]


def from_page(request: Request, session: Annotated[Session, Depends(logged_in)]) -> Session:
    """The same; a request with a cookie that changes something has to come from our page (CSRF header)."""
    if request.method not in SAFE_METHODS and "authorization" not in request.headers:
        check_csrf(session, request.headers.get(CSRF_HEADER))
    return session


def analyst(session: Annotated[Session, Depends(from_page)]) -> Session:
    """As ``from_page``; an analyst at least."""
    check_role(session, "analyst")
    return session


def admin(session: Annotated[Session, Depends(from_page)]) -> Session:
    """As ``from_page``; an admin."""
    check_role(session, "admin")
    return session


def seed_writes(session: Annotated[Session, Depends(logged_in)]) -> Session:
    """As ``admin`` for the routes of the seed contract; the Origin check of ``guard.py`` stands in for the header."""
    check_role(session, "admin")
    return session


def times(
    start: Annotated[str, Query(alias="from")] = "-24h", stop: Annotated[str, Query(alias="to")] = "now"
) -> Sequence[int]:
    """(start, stop) in us UTC of ``from`` and ``to``: ``now``, ``-24h``, or seconds since 1970."""
    now = now_us()
    begin, end = (_moment(text, now) for text in (start, stop))
    if begin >= end:
        raise QueryError("the time ends before it begins", where="from, to")
    return begin, end


def _moment(text: str, now: int) -> int:
    try:
        moment = int(float(text) * 1e6) if text[:1].isdigit() else moment_us(text, now)
    except (ValueError, OverflowError) as error:
        raise QueryError(f"not a time: {text[:40]!r}", mend='"now", "-24h", or seconds since 1970') from error
    if moment > MOMENT_MAX:
        raise QueryError(f"a time after the year 9999: {text[:40]!r}", mend="seconds since 1970, no smaller unit")
    return moment


Times = Annotated[Sequence[int], Depends(times)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]


def window(times: Times, q: str = "", type: str = "all") -> Window:  # noqa: A002  the name in the address
    """The rows of the event log that a request asks for."""
    if type not in TYPES:
        raise QueryError(f"there is no type {type!r}", where="type", mend=f"one of {', '.join(TYPES)}")
    return Window(parse(q), type, times[0], times[1])


def _encodable(value: dict[str, Any]) -> dict[str, Any]:
    """The same; ValueError when it cannot be answered again: half of a character of UTF-16, or hundreds of levels."""
    to_json(value)
    return value


Json = Annotated[dict[str, Any], AfterValidator(_encodable)]
"""An object of any form, in a body."""
Number = Annotated[int, PathPart(ge=0, le=NUMBER_MAX)]
"""A number in a path, under which the store keeps something."""
Asked = Annotated[Window, Depends(window)]
Reads = Annotated[Session, Depends(logged_in)]
FromPage = Annotated[Session, Depends(from_page)]
Analyst = Annotated[Session, Depends(analyst)]
Admin = Annotated[Session, Depends(admin)]
SeedWrites = Annotated[Session, Depends(seed_writes)]
