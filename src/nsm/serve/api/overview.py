"""Numbers of now and of a time: overview, score, series, top lists."""

from __future__ import annotations

from typing import Annotated, Final, NotRequired, cast

from fastapi import APIRouter, Query

from nsm.serve.answers import Answer, Capture, Gap, Score, Span, Threats
from nsm.serve.depends import Limit, Reads, Times, Uses
from nsm.serve.shapes import iso

SPEC: Final = APIRouter(prefix="/api/v1", tags=["overview"])


class Talker(Answer):
    """A host of the live table."""

    ip: str
    name: str
    local: bool
    bytes_in: int
    bytes_out: int
    flows: int


class Protocol(Answer):
    """What one protocol carried."""

    key: str
    label: str
    bytes: int
    pkts: int | None


class Inbox(Answer):
    """Open alerts by severity, and what counts the changes of their list."""

    rev: int
    info: NotRequired[int]
    low: NotRequired[int]
    medium: NotRequired[int]
    high: NotRequired[int]
    critical: NotRequired[int]


class Limits(Answer):
    """What one page is sent at most."""

    acks: int
    rows: int


class Latest(Answer):
    """Everything of the last second but its numbers."""

    drops: dict[str, int]
    top: list[Talker]
    protocols: list[Protocol]
    score: Score
    threats: Threats
    inbox: Inbox
    packets_total: int | None


class Overview(Latest, Span):
    """Everything of now, and the threats and gaps of the time. ``boot`` names this life of the server; ``now`` in s UTC."""

    boot: str
    seq: int
    now: float
    capture: Capture
    gaps: list[Gap]
    limits: Limits


class Series(Answer):
    """Sums over time: from ``t0`` (us UTC), one list of values for each key."""

    t0: int
    step_s: int
    keys: list[str | int]
    values: list[list[float | None]]


class Sums(Answer):
    """What one key of a dimension carried."""

    key: str | int
    flows: int | None
    pkts: int | None
    bytes: int | None
    bytes_s: int | None
    bytes_c: int | None


class Top(Answer, Span):
    """The largest keys, "other" last."""

    items: list[Sums]


@SPEC.get("/overview")
def overview(use: Uses, _session: Reads, times: Times) -> Overview:
    """Everything of now, and the threats of the time."""
    snapshot = use.state.snapshot()
    snapshot.pop("series")
    gaps = [{"from": gap.start_us / 1e6, "to": gap.stop_us / 1e6, "process": gap.process, "what": gap.what,
             "packets": gap.packets} for gap in use.reader.gaps(times[0], times[1])[:100]]  # fmt: skip
    whole = {**snapshot, "threats": use.reader.threats(times[0], times[1]), "gaps": gaps, "from": iso(times[0]),
             "to": iso(times[1])}  # fmt: skip
    return cast("Overview", whole)


@SPEC.get("/score")
def score(use: Uses, _session: Reads) -> Score:
    """The security score with its deductions; no number while capture is stopped or too little is known."""
    return use.state.score


@SPEC.get("/series")
def series(
    use: Uses, _session: Reads, times: Times, key: Annotated[list[str], Query(default_factory=list)],
    dim: str = "total", measure: str = "bytes", step: Annotated[int, Query(ge=1, le=86_400)] = 60,
) -> Series:  # fmt: skip
    """Sums over time from the rollups: {t0, step_s, keys, values}."""
    return cast("Series", use.reader.series(dim, key or None, measure, times[0], times[1], step))


@SPEC.get("/top")
def top(use: Uses, _session: Reads, times: Times, dim: str = "host", measure: str = "bytes", limit: Limit = 10) -> Top:
    """The largest keys of a dimension; the rest is one row, "other"."""
    return {
        "items": cast("list[Sums]", use.reader.top(dim, measure, times[0], times[1], limit)),
        "from": iso(times[0]),
        "to": iso(times[1]),
    }
