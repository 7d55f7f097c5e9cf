"""Who is asking: log-in, session cookie, CSRF header, and slowing down those who guess."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, Protocol

from nsm.errors import AccountError, AuthError
from nsm.serve.problems import ForbiddenError, TooManyError
from nsm.serve.settings import ServeSettings
from nsm.store.accounts import PASSWORD_CHARS, ROLES, Accounts, Session

COOKIE: Final = "nsm_session"
CSRF_HEADER: Final = "X-CSRF-Token"
ADDRESSES_MAX: Final = 4_096  # ours: addresses whose wrong tries are remembered; the oldest is forgotten
HASHES_MAX: Final = 2  # a password check takes 64 MB (Argon2id): strangers must not ask for many at once
FORGET_S: Final = 900  # ours: after this long without a wrong try, an address starts anew


class HasRole(Protocol):
    """A session, or an open page."""

    @property
    def role(self) -> str:
        """The user's role."""
        ...


class Throttle:
    """Remembers wrong tries by address; bounded."""

    def __init__(self, settings: ServeSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._free, self._wait_max, self._clock = settings.tries_free, settings.wait_max_s, clock
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Return when a try is allowed now; TooManyError otherwise."""
        count, last = self._wrong.get(address, (0, 0.0))
        wait = self._wait(count) - (self._clock() - last)
        if wait > 0:
            raise TooManyError("too many wrong passwords", int(wait) + 1)

    def wrong(self, address: str) -> None:
        """Count a wrong try."""
        count, last = self._wrong.pop(address, (0, 0.0))
        now = self._clock()
        self._wrong[address] = (1 if now - last > FORGET_S else count + 1, now)
        if len(self._wrong) > ADDRESSES_MAX:
            self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Forget the wrong tries."""
        self._wrong.pop(address, None)

    def _wait(self, count: int) -> float:
        over = count - self._free
        return 0.0 if over < 0 else min(float(self._wait_max), float(2 ** min(over, 16)))


class Gate:
    """Checks log-ins and requests against the accounts. Its methods block on the store: call them in a thread."""

    def __init__(self, accounts: Accounts, settings: ServeSettings, throttle: Throttle | None = None) -> None:
        self._accounts, self._settings = accounts, settings
        self._throttle = throttle or Throttle(settings)
        self._hashing = threading.BoundedSemaphore(HASHES_MAX)

    def log_in(self, name: str, password: str, address: str) -> Session:
        """A new session; AuthError for a wrong name or password, TooManyError when it has to wait first."""
        if not self._hashing.acquire(blocking=False):
            raise TooManyError("too many log-ins at once", 1)
        try:
            self._throttle.check(address)
            user = self._accounts.verify(name, password)
        except TooManyError:
            raise
        except AuthError:
            self._throttle.wrong(address)
            self._accounts.audit(name[:64], "login refused", address)
            raise
        finally:
            self._hashing.release()
        self._throttle.right(address)
        self._accounts.audit(user.name, "login", address)
        return self._accounts.open_session(user.name, self._settings.session_hours)

    def link_name(self, token: str, address: str) -> str:
        """The user name that a one-time link is for; AuthError when it is not valid."""
        self._throttle.check(address)
        try:
            return self._accounts.login_link(token)
        except AuthError:
            self._throttle.wrong(address)
            raise

    def take_link(self, token: str, password: str, address: str) -> Session:
        """Set the first password through a one-time link and log in; of two who try at once, one gets in."""
        self.link_name(token, address)
        least, most = PASSWORD_CHARS
        if not least <= len(password) <= most:  # before the link is used up: a short password does not cost it
            raise AccountError(f"a password has at least {least} characters", mend="choose a longer one")
        name = self._accounts.take_login_link(token)
        if self._accounts.users():
            self._accounts.set_password(name, password)
        else:  # the first visit
            self._accounts.add_user(name, password)
        self._accounts.audit(name, "password set by link", address)
        return self._accounts.open_session(name, self._settings.session_hours)

    def log_out(self, token: str) -> None:
        """End the session of that token."""
        self._accounts.close_session(token)

    def session(self, cookie_header: str | None) -> tuple[Session, str]:
        """(session, its token) of a Cookie header; AuthError when there is none that is open."""
        token = token_of(cookie_header)
        session = self._accounts.session(token) if token else None
        if session is None:
            raise AuthError("please log in")
        return session, token

    def bearer(self, header: str) -> Session:
        """The session of an Authorization header with a token; AuthError when it is none that is valid."""
        kind, _, token = header.partition(" ")
        session = self._accounts.token_session(token.strip()) if kind.lower() == "bearer" else None
        if session is None:
            raise AuthError("this token is not valid any more", where="Authorization", mend="nsm users token add NAME")
        return session

    def is_open(self, token: str) -> bool:
        """False once the session or the API token has ended, by log-out, new password, revocation or time."""
        return self._accounts.session(token) is not None or self._accounts.token_session(token) is not None


def check_csrf(session: Session, given: str | None) -> None:
    """Return when the given token is the session's; ForbiddenError otherwise."""
    if not given or not hmac.compare_digest(session.csrf.encode(), given.encode()):
        raise ForbiddenError("the request does not come from our page", where=CSRF_HEADER, mend="reload the page")


def check_role(session: HasRole, least: str) -> None:
    """Return when the user may do what ``least`` may; ForbiddenError otherwise."""
    if ROLES.index(session.role) < ROLES.index(least):
        raise ForbiddenError(f"this needs the role {least}", where=f"role {session.role}")


def check_bold_scan(session: HasRole, task: Mapping[str, Any]) -> None:
    """As ``check_role`` for an admin, when a scan leaves the private networks, is large, or says words like passwords."""
    if any(task.get(name) for name in ("permitted", "large", "checks")):
        check_role(session, "admin")


def token_of(cookie_header: str | None) -> str:
    """The session token of a Cookie header; empty when there is none."""
    try:
        morsel = SimpleCookie(cookie_header or "").get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
