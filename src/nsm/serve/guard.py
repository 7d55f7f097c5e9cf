"""What every request passes first: known Host, own Origin, bounded body; and the headers that every answer has.

Host: DNS rebinding needs a name of the attacker's, so any IP address is fine and of names only those allowed.
Origin: browsers send it with every write and every socket; a client that is no browser sends none, and has
no cookies that it was not given. Both are checked before any other code, for HTTP and WebSocket alike.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nsm.serve.problems import ForbiddenError, TooLargeError, problem, response
from nsm.serve.settings import ServeSettings

CSP: Final = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
BODY_BYTES_MAX: Final = 20 << 20  # ours: a saved session is the largest body
STREAMED: Final = ("/api/v1/captures:upload",)  # never held in memory: these routes count for themselves
POLICY_VIOLATION: Final = 1008  # RFC 6455, 7.4.1


class Guard:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app = app
        self._names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._https = settings.secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is not None:
                await receive()
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": str(refusal)})
                return
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if refusal is not None:
            await response(problem(refusal))(scope, receive, send_with_headers)
            return
        await self._app(scope, receive if scope["path"] in STREAMED else _bounded(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> ForbiddenError | TooLargeError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known_host(host):
            return ForbiddenError(f"this page is not served under the name {host[:100]!r}",
                             where="Host", mend="add the name to serve.allowed_hosts")  # fmt: skip
        origin = headers.get("origin")
        guarded = scope["type"] == "websocket" or scope.get("method") not in SAFE_METHODS
        if origin is not None and guarded and not self._own_origin(origin, host):
            return ForbiddenError("the request comes from another page", where="Origin")
        length = headers.get("content-length", "")
        if scope["path"] not in STREAMED and length.isdecimal() and int(length[:20]) > BODY_BYTES_MAX:
            return TooLargeError("the request is too large", where="Content-Length")
        return None

    def _known_host(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def _own_origin(self, origin: str, host: str) -> bool:
        return origin in {f"http://{host}", f"https://{host}"} if not self._https else origin == f"https://{host}"


def _bounded(receive: Receive) -> Receive:
    """The same stream of messages, cut off where a body grows beyond its bound without having said so."""
    got = 0

    async def bounded() -> dict[str, Any]:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if got > BODY_BYTES_MAX:
            raise HTTPException(413, "the request is too large")  # the one error that FastAPI lets pass while it reads
        return dict(message)

    return bounded
