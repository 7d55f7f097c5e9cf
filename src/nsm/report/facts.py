"""Facts: everything that a report says, as plain values. Made once by ``gather``; every format is written from it alone.

None means "not measured", which is never the same as 0. Times are us UTC.
"""

from __future__ import annotations

import msgspec

from nsm.model.finding import Explain
from nsm.report.period import Period
from nsm.report.scope import Place
from nsm.store.records import Gap
from nsm.store.report_sums import HostStep, HostSum, Minute, NearMisses, ServiceSum, Slice


class Totals(msgspec.Struct, frozen=True):
    """Sums of a period. From raw rows for the period itself and for any scope, else from sums by the minute for the one before."""

    flows: int
    pkts: int
    bytes: int
    out_bytes: int
    in_bytes: int


class AlertGroup(msgspec.Struct, frozen=True):
    """Alerts of one signature between one pair, folded; explained by the gravest of them."""

    signature: str
    kind: str
    severity: str
    confidence: float
    src: str
    dst: str
    ids: tuple[str, ...]
    findings: int
    first_us: int
    last_us: int
    states: tuple[str, ...]
    techniques: tuple[str, ...]
    flow_ids: tuple[int, ...]
    explain: Explain
    measured: str


class AlertFacts(msgspec.Struct, frozen=True):
    """Alerts last seen in the period. ``total`` counts all; ``groups`` and ``times`` are of the newest 10,000 at most.

    ``times``: (last seen, severity) of each.
    """

    total: int
    listed: int
    by_severity: dict[str, int]
    by_kind: dict[str, int]
    by_technique: dict[str, int]
    open_grave: int
    groups: tuple[AlertGroup, ...]
    times: tuple[tuple[int, str], ...] = ()


class ScoreFacts(msgspec.Struct, frozen=True):
    """The score at the end of the period. ``trend``: (time, score) at the end of each step that was watched."""

    score: int | None
    reason: str
    deductions: tuple[tuple[str, float, int, str], ...]
    trend: tuple[tuple[int, int | None], ...]


class HostFirst(msgspec.Struct, frozen=True):
    """A host first seen in the period."""

    address: str
    name: str
    mac: str
    local: bool
    first_us: int


class ScanFacts(msgspec.Struct, frozen=True):
    """A scan that began in the period, and what it found changed: (what, address, sentence)."""

    id: str
    started_us: int
    state: str
    targets: str
    ports: str
    hosts: int
    open: int
    compared: bool
    changes: tuple[tuple[str, str, str], ...]


class Blind(msgspec.Struct, frozen=True):
    """A stretch of time that was not watched, or not completely. ``lost``: packets, None when nobody counted."""

    start_us: int
    stop_us: int
    why: str
    lost: int | None


class Quality(msgspec.Struct, frozen=True):
    """How well the period was watched. Shares are 0 to 1, None when not measured.

    ``by_step``: (step's start, share watched, packets, dropped).
    """

    watched: float | None
    seen: float | None
    pkts: int | None
    drops: int | None
    malformed: int | None
    by_step: tuple[tuple[int, float | None, int | None, int | None], ...]
    blind: tuple[Blind, ...]


class Traffic(msgspec.Struct, frozen=True):
    """Flows that ended in the period. ``hosts_exact`` is false when the hosts come from rollups; of a scope there are none then."""

    totals: Totals
    failed: int
    slices: tuple[Slice, ...]
    hosts: tuple[HostSum, ...]
    hosts_exact: bool
    hosts_local: int
    hosts_external: int
    host_steps: tuple[HostStep, ...]
    services: tuple[ServiceSum, ...]
    services_count: int
    minutes: tuple[Minute, ...]


class Before(msgspec.Struct, frozen=True):
    """The period before; None where nothing was kept of it. ``apps``: application -> bytes."""

    totals: Totals | None
    apps: dict[str, int] | None
    alerts: int | None
    by_severity: dict[str, int]
    hosts_new: int | None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A report's content. ``subject``: what it is about, when not this network: a capture.

    With a ``scope``: of what has one side in it; score, quality and near misses are always of it all.
    """

    version: str
    made_us: int
    period: Period
    scope: tuple[Place, ...] = ()
    names: dict[str, str]
    alerts: AlertFacts
    score: ScoreFacts
    near_misses: tuple[NearMisses, ...]
    hosts_new: tuple[HostFirst, ...]
    traffic: Traffic | None
    scans: tuple[ScanFacts, ...]
    scans_seen: tuple[str, ...]
    gaps: tuple[Gap, ...]
    quality: Quality
    before: Before
    settings: tuple[tuple[str, int], ...]
    seconds: float = 0.0
    short: bool = False
    redacted: bool = False
    subject: str = ""
