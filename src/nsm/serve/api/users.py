"""Users, their roles, and tokens for programs."""

from __future__ import annotations

from typing import Annotated, Final, cast

from fastapi import APIRouter
from pydantic import Field

from nsm.errors import AccountError
from nsm.serve.answers import Answer, Ok, Role
from nsm.serve.depends import Admin, Body, FromPage, Number, Reads, Uses
from nsm.serve.problems import NotFoundError, documented
from nsm.store.accounts import PASSWORD_CHARS, TOKEN_DAYS_MAX, ApiToken, User

SPEC: Final = APIRouter(prefix="/api/v1", tags=["users"])

Name = Annotated[str, Field(min_length=1, max_length=64)]
Password = Annotated[str, Field(min_length=PASSWORD_CHARS[0], max_length=PASSWORD_CHARS[1])]


class NewUser(Body):
    """A user to add; without a password they get a one-time link."""

    name: Name
    role: Role = "viewer"
    password: Password | None = None


class Change(Body):
    """What to change of a user."""

    role: Role | None = None
    password: Password | None = None


class NewToken(Body):
    """A token of the one who asks."""

    label: str = Field(default="", max_length=100)
    scope: Role = "viewer"
    days: int = Field(default=90, ge=1, le=TOKEN_DAYS_MAX)


class Person(Answer):
    """A user; made when, s UTC."""

    name: str
    role: Role
    created: float


class UserShape(Person):
    """A user, with their open tokens counted."""

    tokens: int


class Users(Answer):
    """All users."""

    items: list[UserShape]


class Invited(Person):
    """A user who was added, and the path of their one-time link; None when a password was said."""

    link: str | None


class LinkPath(Answer):
    """The path of a one-time link."""

    link: str


class Token(Answer):
    """A token without its text; times in s UTC, ``used`` None for never."""

    id: int
    name: str
    label: str
    scope: Role
    created: float
    until: float
    used: float | None


class Tokens(Answer):
    """Tokens."""

    items: list[Token]


class MadeToken(Token):
    """A token with its text."""

    token: str


@SPEC.get("/users")
def users(use: Uses, _session: Admin) -> Users:
    """All users, with their open tokens counted."""
    tokens = use.accounts.tokens()
    return {
        "items": [
            {**_shown(user), "tokens": sum(token.name == user.name for token in tokens)}
            for user in use.accounts.users()
        ]
    }


@SPEC.post("/users")
def add(body: NewUser, use: Uses, session: Admin) -> Invited:
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
def change(name: Name, body: Change, use: Uses, session: Admin) -> Person:
    """Change a user's role, or set a password, which ends their sessions."""
    if body.role is not None:
        use.accounts.set_role(name, body.role)
        use.accounts.audit(session.name, "role changed", f"{name} {body.role}")
    if body.password is not None:
        use.accounts.set_password(name, body.password)
        use.accounts.audit(session.name, "password set", name)
    return _shown(_found(use, name))


@SPEC.delete("/users/{name}")
def remove(name: Name, use: Uses, session: Admin) -> Ok:
    """Remove a user, with sessions and tokens."""
    use.accounts.remove_user(name)
    use.accounts.audit(session.name, "user removed", name)
    return {"ok": True}


@SPEC.post("/users/{name}/link")
def link(name: Name, use: Uses, session: Admin) -> LinkPath:
    """A new one-time link through which the user sets a password."""
    made = use.accounts.make_login_link(_found(use, name).name)
    use.accounts.audit(session.name, "link made", name)
    return {"link": f"/login#link={made}"}


@SPEC.get("/tokens")
def tokens(use: Uses, session: Reads) -> Tokens:
    """One's own tokens; an admin's answer has those of all users."""
    found = use.accounts.tokens(None if session.role == "admin" else session.name)
    return {"items": [_token(token) for token in found]}


@SPEC.post("/tokens")
def make_token(body: NewToken, use: Uses, session: FromPage) -> MadeToken:
    """A new token of one's own; its text is in this answer and nowhere else."""
    made = use.accounts.make_token(session.name, body.label, body.scope, body.days)
    use.accounts.audit(session.name, "token made", f"{made.id} {body.scope} {body.days} d {body.label}")
    return {**_token(made), "token": made.token}


@SPEC.delete("/tokens/{number}", responses=documented(404))
def revoke(number: Number, use: Uses, session: FromPage) -> Ok:
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


def _shown(user: User) -> Person:
    return {"name": user.name, "role": cast("Role", user.role), "created": user.created_us / 1e6}


def _token(token: ApiToken) -> Token:
    return {
        "id": token.id, "name": token.name, "label": token.label, "scope": cast("Role", token.scope),
        "created": token.created_us / 1e6, "until": token.until_us / 1e6, "used": token.used_us / 1e6 or None,
    }  # fmt: skip
