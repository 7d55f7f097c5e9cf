"""Shapes of answers that several routes share, for the document of the routes and for mypy; the others stand beside their route.

They are ``TypedDict``s: an answer stays the plain dict that it was made as, and pydantic writes it as JSON. A shape lets keys
through that it does not name, so that what another process adds reaches the page; a test refuses what is not documented.
Pydantic itself is not imported here: processes without a web server make rows of the same shapes.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

Severity = Literal["info", "low", "medium", "high", "critical"]
PlannedKind = Literal["scan", "report"]
JobKind = Literal["scan", "report", "record", "read"]
JobState = Literal["waiting", "running", "done", "failed", "cancelled", "lost"]
Role = Literal["viewer", "analyst", "admin"]


class Answer(TypedDict):
    """What the shapes have in common."""


Answer.__pydantic_config__ = {"extra": "allow"}  # type: ignore[attr-defined]  # inside, mypy takes it for a key


class Ok(Answer):
    """It was done."""

    ok: bool


class JobNumber(Answer):
    """The job that was started, or waits for its turn."""

    job: int


Span = TypedDict("Span", {"from": str, "to": str})
"""The time that was asked, RFC 3339 UTC."""

Gap = TypedDict("Gap", {"what": str, "from": float, "to": float, "process": str, "packets": NotRequired[int | None]})
"""Monitoring was interrupted; s UTC. ``packets``: lost in it, where that is known."""


class Fix(Answer):
    """One way to mend a problem: words, or a command."""

    text: str
    cmd: str


class Problem(Answer):
    """What failed, where, and how to mend it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    where: str
    fix: list[Fix]
    request_id: str


class Interface(Answer):
    """A network interface of the machine; rates of now."""

    name: str
    state: str
    up: bool
    addresses: list[str]
    pps: float | None
    bps: float | None
    drops: int | None
    selected: bool


class CaptureFault(Answer):
    """Why the capture failed."""

    title: str
    detail: str
    where: str
    fix: list[Fix]
    type: NotRequired[str]


class Capture(Answer):
    """The state of the capture; ``since`` in s UTC."""

    state: Literal["running", "stopped", "failed", "demo"]
    interfaces: list[Interface]
    error: CaptureFault | None
    since: float | None
    demo: bool
    type: NotRequired[str]
    filter: NotRequired[str]
    snaplen: NotRequired[int]
    ring_mb: NotRequired[int]


class Deduction(Answer):
    """Points taken from the score for ``count`` rows, which the filter ``q`` lists."""

    id: str
    label: str
    points: float
    cap: float
    count: int
    q: str
    table: NotRequired[Literal["alerts", "events"]]


class Score(Answer):
    """The security score, 0 to 100; None with its reason while there is none."""

    score: float | None
    reason: str
    deductions: list[Deduction]
    window_s: NotRequired[float]


class Threats(Answer):
    """Numbers of alerts."""

    by_kind: dict[str, int]
    by_severity: dict[str, int]


class End(Answer):
    """One side of an alert; "" and 0 where there is none."""

    ip: str
    port: int
    name: str
    local: bool


class Evidence(Answer):
    """One measurement behind an alert, or the filter ``q`` of rows behind it."""

    label: str
    count: int | None
    measured: float | None
    threshold: float | None
    unit: str
    q: str


Sure = TypedDict("Sure", {"pct": int, "for": list[str], "against": list[str], "benign": list[str]})
"""How sure an alert is, in percent, and why."""


class NextStep(Answer):
    """What a person can do next."""

    text: str
    cmd: str
    href: str


class Explanation(Answer):
    """An alert in five parts."""

    what: str
    why: str
    sure: Sure
    next: list[NextStep]
    evidence: list[Evidence]


class Note(Answer):
    """What a person wrote about an alert."""

    ts: str
    who: str
    state: str
    text: str


class AlertCard(Answer):
    """An alert as people see it; times RFC 3339 UTC; ``ended``: since when it is over, where somebody tells."""

    id: str
    rule: str
    kind: str
    title: str
    severity: Severity
    confidence: float
    risk: float
    state: str
    count: int
    rev: int
    first: str
    last: str
    ended: str | None
    src: End
    dst: End
    proto: str
    actors: list[str]
    victims: list[str]
    techniques: list[str]
    flow_ids: list[int]
    notes: list[Note]
    explain: Explanation


class Row(Answer):
    """A row of the event log; ``ts`` in s UTC."""

    ts: float
    event_type: str
    severity: Severity
    src_ip: str
    src_port: int | None
    dest_ip: str
    dest_port: int | None
    proto: str
    details: str
    flow_id: int | None
    alert_id: str | None


class Without(Answer):
    """How many rows there would be without one piece of the filter, and the rest of it."""

    piece: str
    rest: str
    total: int


class SeedLog(Answer):
    """A log row of the seed contract."""

    timestamp: str
    source_ip: str
    source_port: int | None
    destination_ip: str
    destination_port: int | None
    protocol: str
    event_type: str
    details: str
    severity: Literal["low", "medium", "high"]


class SeedStats(Answer):
    """The numbers of the seed contract."""

    packets_analyzed: int
    threats_detected: int
    active_ips: int
    scan_status: str
    uptime_seconds: int


class Job(Answer):
    """A job that ended, or runs without being known to the service any more; s UTC."""

    id: int
    kind: JobKind
    name: str
    schedule: int | None
    who: str
    started: float
    ended: float | None
    state: JobState
    text: str
    result: dict[str, Any]
