"""A JSON POST to an address, signed.

Headers: ``X-Nsm-Notice`` (the id: the same for every try, so that a receiver can tell a repetition), ``X-Nsm-Timestamp``
(seconds since 1970) and, with a secret, ``X-Nsm-Signature: sha256=`` and the hexadecimal HMAC-SHA256 (RFC 2104) over the
time stamp, a dot and the body. A receiver refuses old time stamps: so nothing can be played again.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from nsm.bounded.deadline import deadline
from nsm.errors import DeliveryError
from nsm.model.interfaces import Channel, ChannelSpec
from nsm.model.notice import Notice
from nsm.settings.section import Secret


class WebhookSettings(msgspec.Struct, frozen=True):
    """A JSON POST for every message."""

    url: Secret = ""
    """The address, http or https; empty: none. A secret, since many services put a token into it."""
    secret: Secret = ""
    """Signs each message (header X-Nsm-Signature); empty: none does."""
    authorization: Secret = ""
    """Value of the header Authorization, such as "Bearer ..."; empty: none."""
    ca_file: str = ""
    """Certificates that are trusted besides the system's; empty: none."""
    severity_min: Literal["", "info", "low", "medium", "high", "critical"] = ""
    """Another least severity for this channel; empty: that of notify."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 10.0
    """The longest wait, from the connection to the answer."""

    def __post_init__(self) -> None:
        """ValueError for an address that is none; the address itself is not in the text."""
        if not self.url:
            return
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url: an address that begins with http:// or https:// is needed")
        _ = parts.port  # ValueError for a port that is none


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``X-Nsm-Signature``."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


class Webhook:
    """One address. Redirections are failures: they would carry the secrets elsewhere."""

    def __init__(self, settings: WebhookSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock

    def send(self, notice: Notice) -> None:
        """Deliver: an answer of 2xx; else DeliveryError with the status or what went wrong, never the address."""
        connection = self._connection()
        try:
            with deadline(self._settings.timeout_s, lambda: connection.sock):
                connection.request("POST", self._path(), *self._message(notice))
                status = connection.getresponse().status
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(f"webhook: the certificate is not trusted ({error.verify_message})") from None
        except TimeoutError:
            raise DeliveryError(f"webhook: no answer within {self._settings.timeout_s:g} s") from None
        except OSError as error:
            raise DeliveryError(f"webhook: {(error.strerror or type(error).__name__).lower()}") from None
        except (http.client.HTTPException, ValueError) as error:
            raise DeliveryError(f"webhook: not an answer of HTTP ({type(error).__name__})") from None
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise DeliveryError(f"webhook: the receiver answered {status}")

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._settings.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=self._settings.timeout_s)
        try:
            context = ssl.create_default_context()
            if self._settings.ca_file:
                context.load_verify_locations(self._settings.ca_file)
        except OSError as error:
            raise DeliveryError(
                f"cannot read {self._settings.ca_file}: {error.strerror}", where="notify.webhook.ca_file"
            ) from None
        return http.client.HTTPSConnection(host, parts.port, timeout=self._settings.timeout_s, context=context)

    def _path(self) -> str:
        parts = urlsplit(self._settings.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _message(self, notice: Notice) -> tuple[bytes, dict[str, str]]:
        body = json.dumps(notice.as_dict()).encode()
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json", "User-Agent": "netsecmonitor", "X-Nsm-Notice": notice.id,
            "X-Nsm-Timestamp": timestamp,
        }  # fmt: skip
        if self._settings.secret:
            headers["X-Nsm-Signature"] = signature(self._settings.secret, timestamp, body)
        if self._settings.authorization:
            headers["Authorization"] = self._settings.authorization
        return body, headers


def channels(settings: WebhookSettings) -> Mapping[str, Callable[[], Channel]]:
    """The one address, when it is set."""
    return {"webhook": lambda: Webhook(settings)} if settings.url else {}


SPEC: Final = ChannelSpec(name="webhook", settings=WebhookSettings, channels=channels)
