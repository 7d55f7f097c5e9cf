"""Errors as problem documents (RFC 9457): what failed, where, and how to mend it; never a traceback."""

from __future__ import annotations

import logging
import secrets
import traceback
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nsm.errors import (
    AccountError,
    AuthError,
    CaptureError,
    CapturePermissionError,
    DeliveryError,
    FullError,
    NsmError,
    QueryError,
    ScanError,
    ServiceError,
    SettingsError,
    SinkError,
    StoreError,
)

log = logging.getLogger(__name__)

KINDS: Final[tuple[tuple[type[NsmError], str, int], ...]] = (
    (CapturePermissionError, "capture/permission", 409),
    (CaptureError, "capture/failed", 409),
    (QueryError, "query/malformed", 400),
    (AccountError, "account/refused", 400),
    (AuthError, "login/refused", 401),
    (ScanError, "scan/refused", 400),
    (SettingsError, "settings/invalid", 400),
    (DeliveryError, "notify/failed", 502),
    (FullError, "store/full", 409),
    (StoreError, "store/failed", 503),
    (SinkError, "disk/no-room", 507),
    (ServiceError, "service/unreachable", 503),
)
"""Error class, type of the problem, HTTP status; the first that fits."""


MEANINGS: Final = {
    400: "A parameter or the body is wrong, or asks for what cannot be done",
    401: "Nobody is logged in, or the log-in is not valid any more",
    403: "The log-in may not do this, or the request does not come from the page",
    404: "There is no such thing",
    409: "It cannot be done as things stand",
    413: "The body is too large",
    415: "The body is no JSON by its Content-Type",
    429: "Too many tries; Retry-After says how many seconds to wait",
    502: "The message did not arrive",
    503: "The store or the service does not answer",
    507: "There is no room for it",
}
"""What each status of a problem means, for the document of the routes."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for its ``responses``: those that do not follow from its form (``document.py``)."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    wait = {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}}
    return {
        status: {"description": MEANINGS[status], "content": content, **(wait if status == 429 else {})}
        for status in statuses
    }


class ForbiddenError(AuthError):
    """The log-in is good but may not do this, or the request did not come from our page."""


class NotFoundError(NsmError):
    """There is no such thing."""


class TooLargeError(NsmError):
    """The body is larger than any that is taken."""


class TooManyError(AuthError):
    """Too many tries; ``wait_s`` says how long to wait."""

    def __init__(self, message: str, wait_s: int) -> None:
        super().__init__(message, mend=f"try again in {wait_s} s")
        self.wait_s = wait_s


def problem(error: NsmError) -> dict[str, Any]:
    """The problem document of an error that a person can meet; has ``status`` too."""
    kind, status = next(((kind, status) for cls, kind, status in KINDS if isinstance(error, cls)), ("error", 500))
    if isinstance(error, ForbiddenError):
        kind, status = "login/forbidden", 403
    elif isinstance(error, TooManyError):
        kind, status = "login/wait", 429
    elif isinstance(error, NotFoundError):
        kind, status = "not-found", 404
    elif isinstance(error, TooLargeError):
        kind, status = "too-large", 413
    return {
        "type": kind,
        "title": str(error),
        "status": status,
        "detail": error.where,
        "where": error.where,
        "fix": [{"text": error.mend, "cmd": ""}] if error.mend else [],
        "request_id": secrets.token_hex(6),
    }


def internal(where: str, error: BaseException) -> dict[str, Any]:
    """The problem document of a fault of ours; the traceback goes to the log under the same number."""
    request_id = secrets.token_hex(6)
    text = "".join(traceback.format_exception(error))
    log.error("fault where=%s request_id=%s traceback=%s", where, request_id, text)
    fix = [{"text": f"The log has the cause, under {request_id}", "cmd": ""}]
    title = "The server made a mistake"
    return {"type": "internal", "title": title, "status": 500, "detail": "", "where": where, "fix": fix,
            "request_id": request_id}  # fmt: skip


def response(document: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """The HTTP answer of a problem document."""
    return JSONResponse(document, document["status"], headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""

    async def known(_request: Request, error: NsmError) -> JSONResponse:
        headers = {"Retry-After": str(error.wait_s)} if isinstance(error, TooManyError) else None
        return response(problem(error), headers)

    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first.get("loc", ()))
        if isinstance(error.body, bytes):  # it was not even read as JSON
            document = problem(QueryError("the body is no JSON", where="Content-Type", mend="send application/json"))
            return response({**document, "type": "content-type", "status": 415})
        return response(problem(QueryError(f"{where}: {first.get('msg', 'not valid')}", where=where)))

    async def plain(_request: Request, error: HTTPException) -> JSONResponse:
        document = problem(NotFoundError(str(error.detail)))
        headers = dict(error.headers) if error.headers else None
        return response({**document, "status": error.status_code, "type": "http"}, headers)

    async def undocumented(request: Request, error: ResponseValidationError) -> JSONResponse:
        first = error.errors()[0]
        log.error("answer not as documented path=%s where=%s message=%s", request.url.path, first["loc"], first["msg"])
        return JSONResponse(jsonable_encoder(error.body))  # better than none: the page shows what it can

    async def fault(request: Request, error: Exception) -> JSONResponse:
        return response(internal(f"{request.method} {request.url.path}", error))

    # Starlette looks handlers up by class, which its types cannot say.
    handlers: dict[type[Exception], Any] = {
        NsmError: known, RequestValidationError: invalid, HTTPException: plain, Exception: fault,
        ResponseValidationError: undocumented,
    }  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
