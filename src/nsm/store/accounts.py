"""Who may use the page, and what the page keeps: users, log-in links, sessions, audit, saved sessions.

Plain rows of ``nsm.db``. Passwords are Argon2id hashes; tokens are random, and only their SHA-256 is kept, so
that a copy of the file opens no session. Every table has a bound, and the oldest rows leave first.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from nsm.errors import AccountError, AuthError, FullError
from nsm.store.database import open_database, transaction

ROLES: Final = ("viewer", "analyst", "admin")  # DESIGN 7; each may do what those before it may
PASSWORD_CHARS: Final = (8, 1024)  # at least, at most: NIST SP 800-63B, 5.1.1.2; the upper bound is ours
SESSIONS_MAX: Final = 1_000  # ours: a browser holds one
AUDIT_ROWS_MAX: Final = 100_000
SAVED_SESSIONS_MAX: Final = 1_000
SAVED_BYTES_MAX: Final = 16 << 20
NO_PASSWORD: Final = ""  # no Argon2id hash, so none fits
TOKENS_MAX: Final = 1_000
TOKEN_PREFIX: Final = "nsm_"  # noqa: S105  no secret: so that scanners for secrets in repositories know one
TOKEN_DAYS_MAX: Final = 3_660
USED_EVERY_US: Final = 60_000_000  # "last used" is written at most so often
LINK_S: Final = 24 * 3600


class User(msgspec.Struct, frozen=True):
    """A person who may log in."""

    name: str
    role: str
    created_us: int


class Session(msgspec.Struct, frozen=True):
    """An open log-in. ``token`` belongs into the cookie and is known only when it is made; ``csrf`` into the page."""

    name: str
    role: str
    csrf: str
    until_us: int
    token: str = ""


class ApiToken(msgspec.Struct, frozen=True):
    """A token for programs. ``scope``: the most it may do, whatever its user may; ``token`` is known only when it is made."""

    id: int
    name: str
    label: str
    scope: str
    created_us: int
    until_us: int
    used_us: int
    token: str = ""


class SavedSession(msgspec.Struct, frozen=True):
    """A list of log rows that a person kept; ``logs`` is empty in listings."""

    id: int
    title: str
    timestamp: str
    logs: tuple[dict[str, Any], ...] = ()


class Accounts:
    """The accounts of one store; any process may hold one. ``clock`` gives seconds since 1970."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._connection = open_database(directory)
        self._lock = threading.RLock()
        self._clock = clock
        self._hasher = PasswordHasher()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    # Users

    def users(self) -> list[User]:
        """All users by name; empty before the first visit."""
        return [User(*row) for row in self._all("SELECT name, role, created_us FROM user ORDER BY name")]

    def add_user(self, name: str, password: str, role: str = "admin") -> User:
        """The user made; AuthError when the name is taken or empty, the role unknown, or the password too short."""
        return self._insert_user(name, self._hash(password), role)

    def invite(self, name: str, role: str) -> User:
        """As ``add_user`` for a user who sets the password through a one-time link; until then nobody can log in as them."""
        return self._insert_user(name, NO_PASSWORD, role)

    def _insert_user(self, name: str, hashed: str, role: str) -> User:
        _check_role(role)
        if not name or len(name) > 64 or not name.isprintable():
            raise AccountError("a user name has 1 to 64 printable characters")
        user = User(name, role, self._now())
        row = (name, hashed, role, user.created_us)
        if not self._change("INSERT OR IGNORE INTO user VALUES (?,?,?,?)", row):
            raise AccountError(f"there is already a user {name}", mend="choose another name")
        return user

    def set_password(self, name: str, password: str) -> None:
        """Give a user a new password and end all their sessions; AuthError when there is no such user."""
        hashed = self._hash(password)
        with self._lock, transaction(self._connection):
            if not self._connection.execute("UPDATE user SET hash=? WHERE name=?", (hashed, name)).rowcount:
                raise AccountError(f"there is no user {name}")
            self._connection.execute("DELETE FROM session WHERE name=?", (name,))

    def set_role(self, name: str, role: str) -> None:
        """Give a user another role, at once in open sessions too; AuthError when it is the last admin or not there."""
        _check_role(role)
        with self._lock, transaction(self._connection):
            if role != "admin":
                self._keep_an_admin(name)
            if not self._connection.execute("UPDATE user SET role=? WHERE name=?", (role, name)).rowcount:
                raise AccountError(f"there is no user {name}", mend="nsm users")

    def _keep_an_admin(self, leaving: str) -> None:
        sql = "SELECT count(*) FROM user WHERE role='admin' AND name<>?"
        if not self._connection.execute(sql, (leaving,)).fetchone()[0]:
            raise AccountError(f"{leaving} is the last admin", mend="make another user admin first")

    def remove_user(self, name: str) -> None:
        """Remove a user with their sessions, links and tokens; AuthError when it is the last admin or not there."""
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            if not execute("SELECT 1 FROM user WHERE name=?", (name,)).fetchone():
                raise AccountError(f"there is no user {name}", mend="nsm users")
            self._keep_an_admin(name)
            for table in ("user", "session", "login_link", "api_token"):
                execute(f"DELETE FROM {table} WHERE name=?", (name,))

    def verify(self, name: str, password: str) -> User:
        """The user whose password this is; AuthError otherwise. Takes as long for a name that does not exist."""
        rows = self._all("SELECT name, role, created_us, hash FROM user WHERE name=?", (name,))
        hashed = rows[0][3] if rows else ""
        if not rows or hashed == NO_PASSWORD or len(password) > PASSWORD_CHARS[1]:
            self._hasher.hash("as slow as a real one")
            raise AuthError("wrong name or password")
        try:
            self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError) as error:
            raise AuthError("wrong name or password") from error
        if self._hasher.check_needs_rehash(hashed):
            self._change("UPDATE user SET hash=? WHERE name=?", (self._hasher.hash(password), name))
        return User(*rows[0][:3])

    # One-time links

    def make_login_link(self, name: str = "admin", seconds: int = LINK_S) -> str:
        """A new one-time token that lets its holder set the password of ``name``; older ones of that name end."""
        token = secrets.token_urlsafe(32)
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM login_link WHERE name=? OR until_us<?", (name, self._now()))
            row = (_digest(token), name, self._now() + seconds * 1_000_000)
            self._connection.execute("INSERT INTO login_link VALUES (?,?,?)", row)
        return token

    def login_link(self, token: str) -> str:
        """The name a link is for, without using it up; AuthError when it is unknown, used or too old."""
        rows = self._all("SELECT name FROM login_link WHERE digest=? AND until_us>=?", (_digest(token), self._now()))
        if not rows:
            raise AuthError("this link is not valid any more", mend="nsm users link   prints a new one")
        return str(rows[0][0])

    def take_login_link(self, token: str) -> str:
        """As ``login_link``, and the link is used up: of two callers one gets the name, the other AuthError."""
        name = self.login_link(token)
        if not self._change("DELETE FROM login_link WHERE digest=?", (_digest(token),)):
            raise AuthError("this link is not valid any more", mend="nsm users link   prints a new one")
        return name

    # Sessions

    def open_session(self, name: str, hours: float = 12) -> Session:
        """A new session of that user, with its token; AuthError when there is no such user."""
        user = next((user for user in self.users() if user.name == name), None)
        if user is None:
            raise AccountError(f"there is no user {name}")
        now = self._now()
        session = Session(
            name, user.role, secrets.token_urlsafe(24), now + int(hours * 3.6e9), secrets.token_urlsafe(32)
        )
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM session WHERE until_us<?", (now,))
            row = (_digest(session.token), name, session.csrf, now, session.until_us)
            self._connection.execute("INSERT INTO session VALUES (?,?,?,?,?)", row)
            self._trim("session", "opened_us", SESSIONS_MAX)
        return session

    def session(self, token: str) -> Session | None:
        """The open session of that token, with the user's role of now; None when there is none."""
        rows = self._all(
            "SELECT s.name, u.role, s.csrf, s.until_us FROM session s JOIN user u USING(name)"
            " WHERE s.digest=? AND s.until_us>=?",
            (_digest(token), self._now()),
        )
        return Session(*rows[0]) if rows else None

    def close_session(self, token: str) -> None:
        """End one session; nothing happens when it has ended already."""
        self._change("DELETE FROM session WHERE digest=?", (_digest(token),))

    def close_sessions(self, name: str) -> int:
        """End all sessions of a user; how many there were."""
        return self._change("DELETE FROM session WHERE name=?", (name,))

    # Tokens for programs

    def make_token(self, name: str, label: str, scope: str, days: int) -> ApiToken:
        """A new token of that user, with its text, which is shown once; AuthError when the scope is above the user's role."""
        _check_role(scope)
        user = next((user for user in self.users() if user.name == name), None)
        if user is None:
            raise AccountError(f"there is no user {name}", mend="nsm users")
        if ROLES.index(scope) > ROLES.index(user.role):
            raise AccountError(f"{name} is {user.role}: a token cannot do more", mend=f"--scope {user.role}")
        if not 1 <= days <= TOKEN_DAYS_MAX:
            raise AccountError(f"a token lasts 1 to {TOKEN_DAYS_MAX} days")
        token, now = TOKEN_PREFIX + secrets.token_urlsafe(32), self._now()
        row = (_digest(token), name, label[:100], scope, now, now + days * 86_400_000_000, 0)
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            execute("DELETE FROM api_token WHERE until_us<?", (now,))
            if execute("SELECT count(*) FROM api_token").fetchone()[0] >= TOKENS_MAX:
                raise AccountError("there are too many tokens", mend="nsm users token revoke ID")
            columns = "digest, name, label, scope, created_us, until_us, used_us"
            number = execute(f"INSERT INTO api_token({columns}) VALUES (?,?,?,?,?,?,?)", row).lastrowid
        return ApiToken(int(number or 0), *row[1:], token)

    def tokens(self, name: str | None = None) -> list[ApiToken]:
        """The tokens of a user, or of all, that have not ended; without their texts."""
        columns = "id, name, label, scope, created_us, until_us, used_us"
        sql = f"SELECT {columns} FROM api_token WHERE until_us>=? AND (? IS NULL OR name=?) ORDER BY id"
        return [ApiToken(*row) for row in self._all(sql, (self._now(), name, name))]

    def token_session(self, token: str) -> Session | None:
        """Who a token stands for, as a session without CSRF text; None when it is unknown or has ended."""
        now = self._now()
        rows = self._all(
            "SELECT t.id, t.name, t.scope, u.role, t.until_us, t.used_us FROM api_token t JOIN user u USING(name)"
            " WHERE t.digest=? AND t.until_us>=?",
            (_digest(token), now),
        )
        if not rows:
            return None
        number, name, scope, role, until, used = rows[0]
        if now - used > USED_EVERY_US:
            self._change("UPDATE api_token SET used_us=? WHERE id=?", (now, number))
        return Session(name, min(scope, role, key=ROLES.index), "", until)

    def revoke_token(self, number: int, name: str | None = None) -> bool:
        """End a token (of that user); False when there is none."""
        return bool(self._change("DELETE FROM api_token WHERE id=? AND (? IS NULL OR name=?)", (number, name, name)))

    # Audit

    def audit(self, who: str, action: str, detail: str = "") -> None:
        """Note who did what; the oldest of ``AUDIT_ROWS_MAX`` rows leave."""
        with self._lock, transaction(self._connection):
            row = (self._now(), who, action, detail[:2000])
            self._connection.execute("INSERT INTO audit(ts, who, action, detail) VALUES (?,?,?,?)", row)
            self._trim("audit", "id", AUDIT_ROWS_MAX)

    def audit_log(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest entries first: id, ts (us), who, action, detail."""
        rows = self._all("SELECT id, ts, who, action, detail FROM audit ORDER BY id DESC LIMIT ?", (limit,))
        return [dict(zip(("id", "ts", "who", "action", "detail"), row, strict=True)) for row in rows]

    # Saved sessions: lists of log rows, as the seed contract has them

    def save_session(self, title: str, timestamp: str, logs: list[dict[str, Any]]) -> int:
        """The id of the list now kept; StoreError when it or the whole is too large."""
        text = json.dumps(logs, separators=(",", ":"))
        if len(text) > SAVED_BYTES_MAX:
            raise FullError("the session is too large to be saved", mend="filter the rows, or export them as CSV")
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            if execute("SELECT count(*) FROM saved_session").fetchone()[0] >= SAVED_SESSIONS_MAX:
                raise FullError("there are too many saved sessions", mend="delete some first")
            row = (title[:500], timestamp[:64], text)
            made = execute("INSERT INTO saved_session(title, timestamp, logs) VALUES (?,?,?)", row).lastrowid
        return int(made or 0)

    def saved_sessions(self) -> list[SavedSession]:
        """All saved sessions without their rows, newest first."""
        rows = self._all("SELECT id, title, timestamp FROM saved_session ORDER BY id DESC")
        return [SavedSession(*row) for row in rows]

    def saved_session(self, session_id: int) -> SavedSession | None:
        """One saved session with its rows; None when there is none."""
        rows = self._all("SELECT id, title, timestamp, logs FROM saved_session WHERE id=?", (session_id,))
        if not rows:
            return None
        number, title, timestamp, logs = rows[0]
        return SavedSession(number, title, timestamp, tuple(json.loads(logs)))

    def delete_saved_session(self, session_id: int) -> bool:
        """True when there was one."""
        return bool(self._change("DELETE FROM saved_session WHERE id=?", (session_id,)))

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)

    def _hash(self, password: str) -> str:
        least, most = PASSWORD_CHARS
        if not least <= len(password) <= most:
            raise AccountError(f"a password has at least {least} characters", mend="choose a longer one")
        return self._hasher.hash(password)

    def _all(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def _change(self, sql: str, values: tuple[Any, ...]) -> int:
        with self._lock, transaction(self._connection):
            return self._connection.execute(sql, values).rowcount

    def _trim(self, table: str, order: str, most: int) -> None:
        # Table and column names are ours, never a caller's.
        cut = f"SELECT {order} FROM {table} ORDER BY {order} DESC LIMIT 1 OFFSET {most}"
        self._connection.execute(f"DELETE FROM {table} WHERE {order} <= ({cut})")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(f"unknown role: {role[:32]}", mend=f"one of {', '.join(ROLES)}")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
