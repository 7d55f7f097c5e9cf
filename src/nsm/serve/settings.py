"""What a person can set about the web server."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from typing import Final

import msgspec

from nsm.errors import ServiceError, SettingsError
from nsm.settings.section import Count, Duration, SettingsSection


class ServeSettings(msgspec.Struct, frozen=True):
    """Where the page is served, and the bounds of what one client may cost."""

    listen: str = "127.0.0.1:8052"
    """Address and port; ``[::]:8052`` or ``0.0.0.0:8052`` for all addresses of the machine."""

    allowed_hosts: tuple[str, ...] = ()
    """Names under which the page may be reached besides localhost, this machine's name and any IP address."""

    session_hours: Duration = 12
    """Hours a log-in lasts."""

    https: bool = False
    """A proxy in front speaks HTTPS: cookies are then sent over HTTPS alone."""

    tls_certificate: str = ""
    """A PEM file with the certificate and its chain: the page is then served over HTTPS by nsm itself."""

    tls_key: str = ""
    """A PEM file with the private key; empty: it is in the file of the certificate."""

    proxies: tuple[str, ...] = ()
    """Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; nobody else's are."""

    clients_max: Count = 100
    """Open pages at once; more are refused."""

    rows_per_second_max: Count = 200
    """Rows of the event log that one page gets live in a second; above it a fair sample."""

    loud_rows_per_second_max: Count = 50
    """Rows of medium severity or worse that are sent beside the sample."""

    export_rows_max: Count = 5_000_000
    """Rows of one export; the file ends there, and the log says so."""

    tries_free: Count = 5
    """Wrong passwords from one address before each further one has to wait."""

    wait_max_s: Count = 60
    """The longest such wait."""

    @property
    def secure(self) -> bool:
        """Do browsers reach the page over HTTPS?"""
        return self.https or bool(self.tls_certificate)


SETTINGS: Final = SettingsSection(name="serve", struct=ServeSettings)


def listen_address(settings: ServeSettings) -> tuple[str, int]:
    """(host, port) of the setting ``listen``; SettingsError when it is none."""
    host, _, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65_535:
        raise SettingsError(
            f"not an address to listen on: {settings.listen!r}",
            where="serve.listen",
            mend='for example "127.0.0.1:8052"',
        )
    return host, number


def tls_context(settings: ServeSettings) -> ssl.SSLContext | None:
    """What HTTPS is spoken with, None for plain HTTP; SettingsError when a file is missing or no certificate."""
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)  # TLS 1.2 and later
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SettingsError(
            f"cannot serve HTTPS: {settings.tls_certificate}: {getattr(error, 'strerror', None) or error}",
            where="serve.tls_certificate, serve.tls_key",
            mend="PEM files that the service's user can read, the key without a password",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the private key has a password")


def bind(settings: ServeSettings) -> socket.socket:
    """A listening socket for uvicorn; ServiceError when the port is in use or not allowed."""
    host, port = listen_address(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY on no other socket, and an answer would then wait 40 ms for a
    # delayed acknowledgement between its head and its body.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        raise ServiceError(
            f"cannot serve the page on {settings.listen}: {error.strerror}",
            where=f"TCP {settings.listen}",
            mend=f"is nsm running already (nsm status)? otherwise: nsm run --listen {host}:{port + 1}",
        ) from error
    made.setblocking(False)
    return made


def page_address(settings: ServeSettings, path: str = "/", port: int | None = None) -> str:
    """The address of the page for a browser on this machine; an unspecified host becomes loopback.

    ``port``: the one that was bound, where the settings leave it to the system.
    """
    host, named = listen_address(settings)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{'https' if settings.secure else 'http'}://{host}:{port or named}{path}"


def login_address(settings: ServeSettings, token: str, port: int | None = None) -> str:
    """The one-time link of the first visit. The token is in the fragment, which browsers send to nobody."""
    return page_address(settings, f"/login#link={token}", port)
