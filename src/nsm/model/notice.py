"""Notice: one message for people or for other systems, before a channel gives it its form."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from nsm.model.finding import Alert, Severity

# C0 and C1 controls, line and paragraph separators, everything that turns the direction of text: a name from the wire
# must not forge lines, headers or colours at the other end.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def one_line(text: str, characters_max: int = 1_000) -> str:
    """The text on one line, control and direction characters escaped, cut with an ellipsis."""
    safe = _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", text[: characters_max + 1])
    return safe if len(safe) <= characters_max else safe[: characters_max - 1] + "…"


class Part(msgspec.Struct, frozen=True):
    """A paragraph with its heading; each line is one line, already made harmless."""

    heading: str
    lines: tuple[str, ...]


class Attachment(msgspec.Struct, frozen=True):
    """A file that goes with a message: its name for the receiver, its media type, where it lies, its size."""

    name: str
    media: str
    path: str
    size_bytes: int


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` names it for ever: an endpoint that gets it twice can tell. ``kind``: alert, summary, daily, report, unsure, test.

    ``alerts`` are those it is about, at most ``MAX`` of ``run.notice_words``; ``more`` how many were left out.
    ``attachments``: for channels that can carry files; they are read when it is sent.
    """

    id: str
    kind: str
    title: str
    severity: Severity
    ts: int
    sensor: str
    parts: tuple[Part, ...] = ()
    alerts: tuple[Alert, ...] = ()
    more: int = 0
    link: str = ""
    attachments: tuple[Attachment, ...] = ()

    @property
    def text(self) -> str:
        """The parts as plain text."""
        blocks = ["\n".join([part.heading, *(f"  {line}" for line in part.lines)]) for part in self.parts]
        return "\n\n".join([*blocks, f"{self.link or self.sensor}"])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "id": self.id, "kind": self.kind, "title": self.title, "severity": self.severity.word,
            "timestamp": stamp(self.ts), "sensor": self.sensor, "link": self.link, "text": self.text, "more": self.more,
            "alerts": [alert.as_dict() for alert in self.alerts],
        }  # fmt: skip


def stamp(us: int) -> str:
    """Microseconds UTC as RFC 3339."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert_of(value: dict[str, Any]) -> Alert:
    """The alert of ``Alert.as_dict()``, which names severities by their words."""
    finding = {**value["finding"], "impact": _number(value["finding"]["impact"])}
    return msgspec.convert({**value, "severity": _number(value["severity"]), "finding": finding}, Alert)


def _number(severity: str | int) -> int:
    return int(Severity[severity.upper()]) if isinstance(severity, str) else severity
