"""The JSON form of a report, as types: what is written is one ``Document``, and ``report.schema.json`` is made of the same types.

Times are RFC 3339 in UTC, shares are 0 to 1; null means that nobody measured, which is never 0. Further keys may come;
``schema`` rises when one changes its meaning or goes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from nsm.report.scope import Place

SCHEMA: Final = 1
SCHEMA_FILE: Final = "report.schema.json"

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Severity = Literal["info", "low", "medium", "high", "critical"]
Cell = None | int | float | str | tuple[int | str, ...]


class Times(msgspec.Struct, frozen=True):
    """From <= t < to."""

    start: Time = msgspec.field(name="from")
    stop: Time = msgspec.field(name="to")


class ZonedTimes(Times, frozen=True):
    """From <= t < to; ``zone``: a name of the IANA database, in which the report counts its hours and days."""

    zone: str


class ScoreOf(msgspec.Struct, frozen=True):
    """The score of the whole network at the end of the period, whatever the scope; ``reason``: why there is none."""

    score: Annotated[int, msgspec.Meta(ge=0, le=100)] | None
    reason: str


class QualityOf(msgspec.Struct, frozen=True):
    """How well the whole network was watched, whatever the scope: shares of time and packets, numbers of packets."""

    watched: Share | None
    seen: Share | None
    packets: Count | None
    drops: Count | None
    malformed: Count | None


class Sure(msgspec.Struct, frozen=True):
    """How sure a detection is, what speaks for it and against it, and innocent causes."""

    confidence: Share
    speaks_for: tuple[str, ...] = msgspec.field(name="for")
    against: tuple[str, ...]
    benign: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True):
    """What was measured, against which threshold, and techniques of MITRE ATT&CK."""

    measured: str
    techniques: tuple[str, ...]


class Explained(msgspec.Struct, frozen=True):
    """The five parts of an explanation."""

    what: str
    why: str
    sure: Sure
    next: tuple[str, ...]
    evidence: Evidence


class Group(msgspec.Struct, frozen=True):
    """Alerts of one signature between one pair of addresses; ``findings``: how many were merged into them."""

    severity: Severity
    signature: str
    kind: str
    src: str
    dst: str
    alert_ids: tuple[str, ...]
    flow_ids: tuple[int, ...]
    states: tuple[str, ...]
    first_seen: Time
    last_seen: Time
    findings: Count
    explain: Explained


class TableOf(msgspec.Struct, frozen=True):
    """Rows in the order of ``columns``; ``note`` says what the figures are and what they are not."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A report. ``scope``: what it is restricted to, null for the whole network; ``subject``: a capture, "" for this network."""

    shape: str = msgspec.field(default=SCHEMA_FILE, name="$schema")
    schema: Literal[1] = SCHEMA
    kind: Literal["nsm.report"] = "nsm.report"
    version: str
    made: Time
    period: ZonedTimes
    previous: Times
    subject: str
    scope: tuple[Place, ...] | None
    redacted: bool
    summary: tuple[str, ...]
    score: ScoreOf
    quality: QualityOf
    alerts: tuple[Group, ...]
    tables: dict[str, TableOf]


def json_schema() -> bytes:
    """The text of ``report.schema.json`` (JSON Schema 2020-12)."""
    made: dict[str, Any] = msgspec.json.schema(Document)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report of nsm"}
    return msgspec.json.format(msgspec.json.encode({**head, **made}), indent=2) + b"\n"
