"""Mail, Slack, Teams, Telegram, ntfy, Matrix and a hundred more through the library apprise, each by an address."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from nsm.errors import DeliveryError
from nsm.model.finding import Severity
from nsm.model.interfaces import Channel, ChannelSpec
from nsm.model.notice import Notice, one_line
from nsm.settings.section import Secret

MAX: Final = 32  # ours: endpoints; each has a thread
KINDS: Final = {Severity.CRITICAL: "failure", Severity.HIGH: "warning", Severity.MEDIUM: "warning"}


class AppriseSettings(msgspec.Struct, frozen=True):
    """Services that apprise knows."""

    urls: Secret = ""
    """Addresses such as ntfy://host/topic or slack://..., separated by spaces or lines; better file:/path with one a line."""
    severity_min: Literal["", "info", "low", "medium", "high", "critical"] = ""
    """Another least severity for these channels; empty: that of notify."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 10.0
    """The longest wait for an answer."""


class AppriseUrl:
    """One address. What apprise and its HTTP library log holds addresses with their passwords: they are silenced."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s

    def send(self, notice: Notice) -> None:
        """Deliver, or raise DeliveryError; the reason is not told, since it may hold the address."""
        try:
            from apprise import Apprise, NotifyFormat, NotifyType  # late: it loads a hundred services
        except ImportError:
            raise DeliveryError(
                "the library apprise is not installed", where="notify.apprise_urls", mend="pip install apprise"
            ) from None
        for name in ("apprise", "urllib3"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        service = Apprise()
        if not service.add(_with_timeouts(self._url, self._timeout_s)):
            raise DeliveryError(
                f"apprise does not know an address like {scheme(self._url)}://...",
                where="notify.apprise_urls.urls", mend="https://github.com/caronc/apprise lists the forms",
            )  # fmt: skip
        kind = NotifyType(KINDS.get(notice.severity, "info"))
        try:
            done = service.notify(body=notice.text, title=notice.title, notify_type=kind, body_format=NotifyFormat.TEXT)
        except Exception as error:  # noqa: BLE001 - a service of the library may raise anything; its text may hold a secret
            raise DeliveryError(f"{scheme(self._url)}: {type(error).__name__}") from None
        if not done:
            raise DeliveryError(f"{scheme(self._url)}: the service did not take the message, or did not answer")


def _with_timeouts(url: str, timeout_s: float) -> str:
    """The address with apprise's time-outs (cto, rto), unless it says some itself."""
    if "cto=" in url or "rto=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}cto={timeout_s}&rto={timeout_s}"


def scheme(url: str) -> str:
    """What stands before ``://``: names the service, and is no secret."""
    name, colon, _ = url.partition("://")
    return one_line(name, 20).lower() if colon and name.isalnum() else "apprise"


def channels(settings: AppriseSettings) -> Mapping[str, Callable[[], Channel]]:
    """One for each address, named by its service: slack, ntfy, ntfy_2."""
    seen, found = Counter[str](), dict[str, Callable[[], Channel]]()
    for url in settings.urls.split()[:MAX]:
        name = scheme(url)
        seen[name] += 1
        label = name if seen[name] == 1 else f"{name}_{seen[name]}"
        found[f"apprise_{label}"] = lambda url=url: AppriseUrl(url, settings.timeout_s)  # type: ignore[misc]
    return found


SPEC: Final = ChannelSpec(name="apprise_urls", settings=AppriseSettings, channels=channels)
