"""Log in and out, the one-time link of the first visit, and who is logged in."""

from __future__ import annotations

from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from nsm._version import __version__
from nsm.errors import AuthError
from nsm.serve.answers import Answer, Ok, Role
from nsm.serve.auth import COOKIE, check_csrf, token_of
from nsm.serve.depends import Body, Uses, logged_in
from nsm.serve.problems import documented
from nsm.store.accounts import PASSWORD_CHARS, Session

SPEC: Final = APIRouter(prefix="/api/v1", tags=["account"])


class LogIn(Body):
    """A name and its password."""

    name: str = Field(default="admin", max_length=64)
    password: str = Field(max_length=PASSWORD_CHARS[1])


class Link(Body):
    """The token of a one-time link, and the password to set through it (empty: only look whether it is valid)."""

    token: str = Field(max_length=200)
    password: str = Field(default="", max_length=PASSWORD_CHARS[1])


class Me(Answer):
    """Who is logged in, until when (s UTC), and the CSRF token of the session; ``name`` is None and ``role`` "" for nobody."""

    name: str | None
    role: Role | Literal[""]
    csrf: str
    until: float
    version: str


class LinkName(Answer):
    """The user that a one-time link is for."""

    name: str


@SPEC.post("/login", responses=documented(401, 429))
def log_in(body: LogIn, request: Request, response: Response, use: Uses) -> Me:
    """Log in; sets the session cookie."""
    return _opened(use.gate.log_in(body.name, body.password, _address(request)), response, use)


@SPEC.post("/link", responses=documented(401, 429))
def take_link(body: Link, request: Request, response: Response, use: Uses) -> Me | LinkName:
    """Set the first password through a one-time link and log in; without a password, the name that it is for."""
    if not body.password:
        return {"name": use.gate.link_name(body.token, _address(request))}
    return _opened(use.gate.take_link(body.token, body.password, _address(request)), response, use)


@SPEC.post("/logout")
async def log_out(
    request: Request, response: Response, use: Uses, session: Annotated[Session, Depends(logged_in)]
) -> Ok:
    """End the session, in all tabs."""
    check_csrf(session, request.headers.get("x-csrf-token"))
    token = token_of(request.headers.get("cookie"))
    use.gate.log_out(token)
    await use.live.end_session(token)
    response.delete_cookie(COOKIE)
    return {"ok": True}


@SPEC.get("/me")
def me(request: Request, use: Uses) -> Me:
    """Who is logged in, with the CSRF token of the session; ``name`` is None for nobody: to ask is no error."""
    try:
        return _me(use.gate.session(request.headers.get("cookie"))[0])
    except AuthError:
        return {"name": None, "role": "", "csrf": "", "until": 0, "version": __version__}


def _me(session: Session) -> Me:
    return {"name": session.name, "role": cast("Role", session.role), "csrf": session.csrf, "until": session.until_us / 1e6,
            "version": __version__}  # fmt: skip


def _opened(session: Session, response: Response, use: Uses) -> Me:
    response.set_cookie(
        COOKIE, session.token, max_age=int(use.settings.session_hours * 3600), path="/", secure=use.settings.secure,
        httponly=True, samesite="strict",
    )  # fmt: skip
    return _me(session)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
