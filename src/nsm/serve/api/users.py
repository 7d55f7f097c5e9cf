"""Users, their roles, and tokens for programs."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from nsm.errors import AccountError
from nsm.serve.depends import Admin, FromPage, Reads, Uses
from nsm.serve.problems import NotFoundError
from nsm.store.accounts import PASSWORD_CHARS, TOKEN_DAYS_MAX, ApiToken, User

SPEC: Final = APIRouter(prefix="/api/v1", tags=["users"])

Name = Annotated[str, Field(min_length=1, max_length=64)]
Password = Annotated[str, Field(min_length=PASSWORD_CHARS[0], max_length=PASSWORD_CHARS[1])]
Role = Literal["viewer", "analyst", "admin"]


class NewUser(BaseModel):
    """A user to add; without a password they get a one-time link."""

    name: Name
    role: Role = "viewer"
    password: Password | None = None


class Change(BaseModel):
    """What to change of a user."""

    role: Role | None = None
    password: Password | None = None


class NewToken(BaseModel):
    """A token of the one who asks."""

    label: str = Field(default="", max_length=100)
    scope: Role = "viewer"
    days: int = Field(default=90, ge=1, le=TOKEN_DAYS_MAX)


@SPEC.get("/users")
def users(use: Uses, _session: Admin) -> dict[str, Any]:
    """All users, with their open tokens counted."""
    tokens = use.accounts.tokens()
    return {
        "items": [
            {**_shown(user), "tokens": sum(token.name == user.name for token in tokens)}
            for user in use.accounts.users()
        ]
    }


@SPEC.post("/users")
def add(body: NewUser, use: Uses, session: Admin) -> dict[str, Any]:
    """Add a user; ``link`` is what to give them when no password was said."""
    link = None
    if body.password is None:
        user = use.accounts.invite(body.name, body.role)
        link = f"/login#link={use.accounts.make_login_link(user.name)}"
    else:
        user = use.accounts.add_user(body.name, body.password, body.role)
    use.accounts.audit(session.name, "user added", f"{body.name} {body.role}")
    return {**_shown(user), "link": link}


@SPEC.patch("/users/{name}")
def change(name: Name, body: Change, use: Uses, session: Admin) -> dict[str, Any]:
    """Change a user's role, or set a password, which ends their sessions."""
    if body.role is not None:
        use.accounts.set_role(name, body.role)
        use.accounts.audit(session.name, "role changed", f"{name} {body.role}")
    if body.password is not None:
        use.accounts.set_password(name, body.password)
        use.accounts.audit(session.name, "password set", name)
    return _shown(_found(use, name))


@SPEC.delete("/users/{name}")
def remove(name: Name, use: Uses, session: Admin) -> dict[str, bool]:
    """Remove a user, with sessions and tokens."""
    use.accounts.remove_user(name)
    use.accounts.audit(session.name, "user removed", name)
    return {"ok": True}


@SPEC.post("/users/{name}/link")
def link(name: Name, use: Uses, session: Admin) -> dict[str, Any]:
    """A new one-time link through which the user sets a password."""
    made = use.accounts.make_login_link(_found(use, name).name)
    use.accounts.audit(session.name, "link made", name)
    return {"link": f"/login#link={made}"}


@SPEC.get("/tokens")
def tokens(use: Uses, session: Reads) -> dict[str, Any]:
    """One's own tokens; an admin's answer has those of all users."""
    found = use.accounts.tokens(None if session.role == "admin" else session.name)
    return {"items": [_token(token) for token in found]}


@SPEC.post("/tokens")
def make_token(body: NewToken, use: Uses, session: FromPage) -> dict[str, Any]:
    """A new token of one's own; its text is in this answer and nowhere else."""
    made = use.accounts.make_token(session.name, body.label, body.scope, body.days)
    use.accounts.audit(session.name, "token made", f"{made.id} {body.scope} {body.days} d {body.label}")
    return {**_token(made), "token": made.token}


@SPEC.delete("/tokens/{number}")
def revoke(number: int, use: Uses, session: FromPage) -> dict[str, bool]:
    """End a token of one's own, an admin any."""
    if not use.accounts.revoke_token(number, None if session.role == "admin" else session.name):
        raise NotFoundError(f"there is no token {number}")
    use.accounts.audit(session.name, "token ended", str(number))
    return {"ok": True}


def _found(use: Uses, name: str) -> User:
    for user in use.accounts.users():
        if user.name == name:
            return user
    raise AccountError(f"there is no user {name}")


def _shown(user: User) -> dict[str, Any]:
    return {"name": user.name, "role": user.role, "created": user.created_us / 1e6}


def _token(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id, "name": token.name, "label": token.label, "scope": token.scope, "created": token.created_us / 1e6,
        "until": token.until_us / 1e6, "used": token.used_us / 1e6 or None,
    }  # fmt: skip
