"""What a person can set about messages, whatever the channel."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal

import msgspec

from nsm.settings.section import Seconds, SettingsSection

Word = Literal["info", "low", "medium", "high", "critical"]

_SPAN: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")


class NotifySettings(msgspec.Struct, frozen=True):
    """Messages about alerts; those that keep a log (syslog) get every alert at once, whatever stands under rate and quiet."""

    severity_min: Word = "high"
    """Alerts from this severity up are told."""
    kinds: tuple[str, ...] = ()
    """Kinds of alerts that are told, such as network_scan; empty: all."""
    hosts: tuple[str, ...] = ()
    """Addresses or networks one of which an alert has to be about; empty: any."""
    group_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 5.0
    """Alerts of one detector and one source within this time are one message."""
    again_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 300.0
    """The next message of the same detector and source comes no sooner, unless it is more severe."""
    per_hour: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 20
    """Messages an hour to one channel; the rest is summed up in one. Critical alerts may be twice as many. 0: no limit."""
    quiet: str = ""
    """Hours in which nothing is sent, local time, as in 22:00-07:00; what came is summed up afterwards. Empty: none."""
    quiet_passes_critical: bool = True
    """Critical alerts are told in quiet hours too."""
    daily_hour: Annotated[int, msgspec.Meta(ge=-1, le=23)] = -1
    """The hour, local time, of a daily message about what changed since yesterday; -1: none."""
    tries_max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 12
    """A message that failed so often is given up, and told as an outage: by default after two hours."""
    retry_s: Seconds = 5.0
    """The wait before the second try; it doubles with each, up to half an hour."""
    queue_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 500
    """Messages that wait for one channel; beyond, the oldest is given up and counted."""

    def __post_init__(self) -> None:
        """ValueError for hours or networks that are none."""
        quiet_span(self.quiet)
        for text in self.hosts:
            ipaddress.ip_network(text, strict=False)


def quiet_span(text: str) -> tuple[int, int] | None:
    """Begin and end in minutes of the day; None when there are no quiet hours, ValueError for what is no span."""
    if not text:
        return None
    found = _SPAN.fullmatch(text.replace(" ", ""))
    if found is None:
        raise ValueError(f"quiet: not a span of hours: {text[:40]!r}; write it as 22:00-07:00")
    hour, minute, end_hour, end_minute = map(int, found.groups())
    return hour * 60 + minute, end_hour * 60 + end_minute


SETTINGS: Final = SettingsSection(name="notify", struct=NotifySettings)
