"""The sums that a report is made of: one snapshot, each flow of the period read once for each kind of sum.

The flows of a period are folded by DuckDB into steps of time by application, protocol and direction; into hosts, of which
the largest are also folded by step and application; and into services. Only these sums leave the engine, so a report of ten
million flows holds some thousand rows. Everything is exact and counted from raw rows; times are us UTC, start <= ts < stop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.model import address
from nsm.model.address import Networks
from nsm.store import registry
from nsm.store.plan import US
from nsm.store.records import Gap
from nsm.store.rollup import DIMS

BUDGET_MS: Final = 60_000  # ours: of one statement; ten million flows take about a second each
SLICES_MAX: Final = 300_000  # ours: steps x applications x protocols x directions; a month by the hour has about 30,000
MINUTES_MAX: Final = 150_000  # 92 days, the longest period, has 132,480
GAPS_MAX: Final = 10_000
SOURCE: Final = "read_parquet(?, union_by_name=true) WHERE ts >= ? AND ts < ?"
LARGEST: Final = "CAST(arg_max(flow_id, bytes_s + bytes_c) AS UBIGINT)"

Ask = Callable[[str, list[Any], int, int], list[tuple[Any, ...]]]
"""The engine: statement, parameters, budget in ms, most rows."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which sums. ``home``: local networks; ``hosts``, ``services``: how many of the largest, 0 is not asked for.

    ``strips``: how many local hosts by step. ``scope``: networks one of which a side of a flow has to be in; empty: every flow.
    """

    start_us: int
    stop_us: int
    step_s: int
    home: tuple[str, ...]
    hosts: int = 200
    services: int = 100
    strips: int = 10
    scope: tuple[str, ...] = ()


class Slice(msgspec.Struct, frozen=True):
    """Flows that ended in one step. ``direction``: a place in ``rollup.DIRECTIONS``; ``flow_id``: the largest of them."""

    t_us: int
    app: str
    proto: int
    direction: int
    flows: int
    failed: int
    pkts: int
    bytes_s: int
    bytes_c: int
    flow_id: int


class HostSum(msgspec.Struct, frozen=True):
    """One address over the period, on either side of its flows; ``flow_id``: its largest flow."""

    address: str
    local: bool
    flows: int
    sent: int
    received: int
    flow_id: int


class HostStep(msgspec.Struct, frozen=True):
    """What one of the largest local hosts moved in one step, by application."""

    address: str
    t_us: int
    app: str
    flows: int
    bytes: int


class ServiceSum(msgspec.Struct, frozen=True):
    """One server port over the period."""

    proto: int
    port: int
    flows: int
    bytes: int
    flow_id: int


class Minute(msgspec.Struct, frozen=True):
    """What was on the wire in a minute, and what the kernel could not hand over."""

    t_us: int
    pkts: int
    bytes: int
    drops: int
    malformed: int


class NearMisses(msgspec.Struct, frozen=True):
    """Measurements of one detector below its threshold; ``ratio_max``: the closest, 1 is the threshold."""

    detector: str
    count: int
    ratio_max: float


class Sums(msgspec.Struct, frozen=True):
    """Everything of one snapshot. ``hosts`` is None when they need more memory than a question may have.

    ``first_us``: the oldest row that is kept, ``flow_us``: the oldest flow; ``summed_us``: from there sums by the hour are
    whole, which are kept longer. ``kept``: any flow of the period is kept, in the scope or not. A scope restricts what is
    made of flows; seconds, gaps and near misses are always those of the whole network.
    """

    kept: bool
    slices: tuple[Slice, ...]
    hosts: tuple[HostSum, ...] | None
    hosts_local: int
    hosts_external: int
    host_steps: tuple[HostStep, ...]
    services: tuple[ServiceSum, ...]
    services_count: int
    minutes: tuple[Minute, ...]
    near_misses: tuple[NearMisses, ...]
    gaps: tuple[Gap, ...]
    first_us: int | None
    flow_us: int | None
    summed_us: int | None


class Snapshot(msgspec.Struct, frozen=True):
    """What of SQLite belongs to the sums, as of one commit: the files to read among it."""

    flow: list[registry.Segment]
    second: list[registry.Segment]
    near_misses: tuple[NearMisses, ...]
    gaps: tuple[Gap, ...]
    first_us: int | None
    flow_us: int | None
    summed_us: int | None


def snapshot(connection: sqlite3.Connection, wanted: Wanted) -> Snapshot:
    """The SQLite part, inside a read transaction."""
    ends = (wanted.start_us, wanted.stop_us)
    near = connection.execute(
        "SELECT detector, count(*), max(measured / threshold) FROM near_miss WHERE ts>=? AND ts<? AND threshold>0"
        " GROUP BY detector ORDER BY 2 DESC, 1", ends,
    ).fetchall()  # fmt: skip
    gaps = connection.execute(
        "SELECT start_us, stop_us, process, what, packets FROM gap WHERE stop_us>? AND start_us<?"
        " ORDER BY start_us, id LIMIT ?", (*ends, GAPS_MAX),
    ).fetchall()  # fmt: skip
    oldest = dict(
        connection.execute("SELECT tab, min(t_min) FROM segment WHERE tab IN ('flow', 'second') GROUP BY tab")
    )
    hour = connection.execute("SELECT min(t) FROM rollup WHERE res=3600 AND dim=?", (DIMS.index("total"),)).fetchone()[
        0
    ]
    return Snapshot(
        registry.between(connection, "flow", *ends), registry.between(connection, "second", *ends),
        tuple(NearMisses(*row) for row in near), tuple(Gap(*row) for row in gaps), min(oldest.values(), default=None),
        oldest.get("flow"),
        None if hour is None else (hour + 3_600) * US,
    )  # fmt: skip


def sums(ask: Ask, paths: Callable[[Sequence[registry.Segment]], list[str]], found: Snapshot, wanted: Wanted) -> Sums:
    """The whole answer; QueryError when a statement takes longer than its budget."""
    ends = [wanted.start_us, wanted.stop_us]
    scope, within = _scoped(wanted.scope)
    flow, second = [paths(found.flow), *ends, *within], [paths(found.second), *ends]
    hosts: tuple[HostSum, ...] | None = ()
    local = external = 0
    slices: tuple[Slice, ...] = ()
    steps: tuple[HostStep, ...] = ()
    services, count = list[ServiceSum](), 0
    if found.flow:
        slices = _slices(ask, scope, flow, wanted)
        if wanted.services:
            services, count = _services(ask, scope, flow, wanted)
        if wanted.hosts:
            hosts, local, external = _hosts(ask, scope, flow, wanted)
            strips = [host.address for host in hosts or () if host.local][: wanted.strips]
            steps = _host_steps(ask, scope, flow, wanted, strips)
    kept = bool(slices) or (bool(within and found.flow) and _any(ask, [paths(found.flow), *ends]))
    minutes = _minutes(ask, second) if found.second else ()
    return Sums(kept, slices, hosts, local, external, steps, tuple(services), count, minutes, found.near_misses, found.gaps,
                found.first_us, found.flow_us, found.summed_us)  # fmt: skip


def _scoped(networks: tuple[str, ...]) -> tuple[str, list[int]]:
    """The source of flows with one side in these networks, and the parameters after those of ``SOURCE``; all without any."""
    if not networks:
        return SOURCE, []
    (src, src_values), (dst, dst_values) = (_inside(side, Networks(networks)) for side in ("src", "dst"))
    return f"{SOURCE} AND ({src} OR {dst})", [*src_values, *dst_values]


def _any(ask: Ask, flow: list[Any]) -> bool:
    return bool(ask(f"SELECT 1 FROM {SOURCE} LIMIT 1", flow, BUDGET_MS, 1))


def _inside(side: str, home: Networks) -> tuple[str, list[int]]:
    """The condition "this address is local", and its parameters."""
    parts, values = ["false"], list[int]()
    for low_hi, low_lo, high_hi, high_lo in home.ranges:
        if low_hi == high_hi:
            parts.append(f"({side}_hi = ? AND {side}_lo BETWEEN ? AND ?)")
            values += [low_hi, low_lo, high_lo]
        else:  # a network wider than a half: whole upper halves
            parts.append(f"({side}_hi BETWEEN ? AND ?)")
            values += [low_hi, high_hi]
    return f"({' OR '.join(parts)})", values


def _slices(ask: Ask, source: str, flow: list[Any], wanted: Wanted) -> tuple[Slice, ...]:
    home = Networks(wanted.home)
    (src, src_values), (dst, dst_values) = _inside("src", home), _inside("dst", home)
    step_us = wanted.step_s * US
    direction = f"CASE WHEN {src} THEN CASE WHEN {dst} THEN 0 ELSE 1 END ELSE CASE WHEN {dst} THEN 2 ELSE 3 END END"
    text = (
        f"SELECT (ts // {step_us}) * {step_us}, app, proto, {direction} AS way, count(*),"
        " count(*) FILTER (outcome IN (1, 2)), sum(pkts_s + pkts_c), sum(bytes_s), sum(bytes_c),"
        f" {LARGEST} FROM {source} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
    rows = ask(text, [*src_values, *dst_values, *dst_values, *flow], BUDGET_MS, SLICES_MAX + 1)
    if len(rows) > SLICES_MAX:
        raise QueryError("the period has too many steps", mend="a shorter period")
    return tuple(Slice(*row) for row in rows)


def _services(ask: Ask, source: str, flow: list[Any], wanted: Wanted) -> tuple[list[ServiceSum], int]:
    text = (
        f"SELECT proto, dst_port, count(*), sum(bytes_s + bytes_c) AS b, {LARGEST}, count(*) OVER () FROM {source}"
        " AND proto IN (6, 17, 132) GROUP BY 1, 2 ORDER BY b DESC, 1, 2 LIMIT ?"
    )
    rows = ask(text, [*flow, wanted.services], BUDGET_MS, wanted.services)
    return [ServiceSum(*row[:5]) for row in rows], int(rows[0][5]) if rows else 0


def _hosts(ask: Ask, source: str, flow: list[Any], wanted: Wanted) -> tuple[tuple[HostSum, ...] | None, int, int]:
    near, values = _inside("h", Networks(wanted.home))
    one = f"flow_id FROM {source}"
    text = (
        "WITH sides AS ("
        f"SELECT src_hi AS h_hi, src_lo AS h_lo, bytes_s AS sent, bytes_c AS got, {one} UNION ALL"
        f" SELECT dst_hi, dst_lo, bytes_c, bytes_s, {one}),"
        " summed AS (SELECT h_hi, h_lo, count(*) AS flows, sum(sent) AS sent, sum(got) AS got,"
        " arg_max(flow_id, sent + got) AS largest FROM sides GROUP BY 1, 2),"
        f" placed AS (SELECT *, {near} AS near FROM summed)"
        " SELECT h_hi, h_lo, near, flows, sent, got, largest, count(*) OVER (PARTITION BY near) FROM placed"
        " QUALIFY row_number() OVER (PARTITION BY near ORDER BY sent + got DESC, h_hi, h_lo) <= ?"
        " ORDER BY near DESC, sent + got DESC, h_hi, h_lo"
    )
    try:
        rows = ask(text, [*flow, *flow, *values, wanted.hosts], BUDGET_MS, 2 * wanted.hosts)
    except QueryError:
        return None, 0, 0  # a flood of made-up addresses; the report then says so and takes the rollups
    counts = {bool(row[2]): int(row[7]) for row in rows}
    hosts = tuple(HostSum(address.text(row[0], row[1]), bool(row[2]), *row[3:7]) for row in rows)
    return hosts, counts.get(True, 0), counts.get(False, 0)


def _host_steps(ask: Ask, source: str, flow: list[Any], wanted: Wanted, hosts: list[str]) -> tuple[HostStep, ...]:
    if not hosts:
        return ()
    pairs = [address.halves(host) for host in hosts]
    values = [half for pair in pairs for half in pair]
    step_us = wanted.step_s * US
    parts = [
        f"SELECT {side}_hi AS hi, {side}_lo AS lo, ts, app, bytes_s + bytes_c AS b FROM {source}"
        f" AND ({' OR '.join([f'({side}_hi = ? AND {side}_lo = ?)'] * len(pairs))})"
        for side in ("src", "dst")
    ]
    text = (
        f"SELECT hi, lo, (ts // {step_us}) * {step_us}, app, count(*), sum(b) FROM ({' UNION ALL '.join(parts)})"
        " GROUP BY 1, 2, 3, 4 ORDER BY 3, 1, 2, 4"
    )
    rows = ask(text, [*flow, *values, *flow, *values], BUDGET_MS, SLICES_MAX)
    return tuple(HostStep(address.text(row[0], row[1]), *row[2:]) for row in rows)


def _minutes(ask: Ask, second: list[Any]) -> tuple[Minute, ...]:
    step_us = 60 * US
    text = (
        f"SELECT (ts // {step_us}) * {step_us}, sum(pkts), sum(bytes), sum(drops), sum(malformed) FROM {SOURCE}"
        " GROUP BY 1 ORDER BY 1"
    )
    return tuple(Minute(*row) for row in ask(text, second, BUDGET_MS, MINUTES_MAX))
