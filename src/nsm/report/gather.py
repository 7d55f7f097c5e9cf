"""From the store to the facts of a report: asked once, in a handful of questions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from nsm._version import __version__
from nsm.errors import StoreError
from nsm.report import alerts as of_alerts
from nsm.report.facts import Before, Facts, HostFirst, ScanFacts, Totals, Traffic
from nsm.report.period import US, Period
from nsm.report.quality import quality
from nsm.scan.difference import difference
from nsm.store.reader import AlertFilter, Reader
from nsm.store.report_sums import HostSum, Sums, Wanted
from nsm.store.rollup import DIRECTIONS, OTHER
from nsm.store.scans import ScanStore

HOSTS_MAX: Final = 10_000
SCANS_MAX: Final = 1_000
BEFORE_APPS: Final = 100
OUT, IN = DIRECTIONS.index("out"), DIRECTIONS.index("in")


def gather(data: Path, period: Period, home: tuple[str, ...], now_us: int, *, short: bool = False) -> Facts:
    """The facts of a period; StoreError when there is no store, QueryError when it takes too long."""
    began = time.perf_counter()
    reader = Reader(data)
    try:
        sums = reader.report_sums(
            Wanted(start_us=period.start_us, stop_us=period.stop_us, step_s=period.step_s, home=home)
        )
        found, total = of_alerts.fetch(reader, period)
        known = reader.hosts(0, HOSTS_MAX)
        watched = quality(period, sums.minutes, sums.gaps, sums.first_us)
        return Facts(
            version=__version__, made_us=now_us, period=period, short=short,
            names={host["address"]: host["name"] for host in known if host["name"]},
            alerts=of_alerts.facts(found, total, period),
            score=of_alerts.score_facts(found, period, sums.minutes, sums.first_us, watched),
            near_misses=sums.near_misses,
            hosts_new=_hosts_new(known, period),
            traffic=_traffic(reader, period, sums, home),
            scans=_scans(data, period),
            scans_seen=tuple(item["id"] for item in found
                             if item["finding"]["kind"] == "network_scan" and item["last_seen"] >= period.start_us),
            gaps=sums.gaps, quality=watched,
            before=_before(reader, period.previous(), known, (sums.first_us, sums.summed_us)),
            settings=tuple((one["hash"], one["since_us"]) for one in reader.settings_history()
                           if one["since_us"] < period.stop_us)[:20],
            seconds=round(time.perf_counter() - began, 3),
        )  # fmt: skip
    finally:
        reader.close()


def _hosts_new(known: Sequence[dict[str, Any]], period: Period) -> tuple[HostFirst, ...]:
    return tuple(
        HostFirst(one["address"], one["name"], one["mac"], one["local"], one["first_seen"])
        for one in known
        if period.start_us <= one["first_seen"] < period.stop_us
    )


def _traffic(reader: Reader, period: Period, sums: Sums, home: tuple[str, ...]) -> Traffic | None:
    """None when not one flow is kept of the period and nothing was counted on the wire: then nothing was measured."""
    if not sums.slices and not sums.minutes:
        return None
    hosts, exact = sums.hosts, sums.hosts is not None
    if hosts is None:
        hosts = _hosts_of_rollups(reader, period, home)
    totals = Totals(
        sum(one.flows for one in sums.slices), sum(one.pkts for one in sums.slices),
        sum(one.bytes_s + one.bytes_c for one in sums.slices),
        sum(one.bytes_s if one.direction == OUT else one.bytes_c for one in sums.slices if one.direction in (OUT, IN)),
        sum(one.bytes_c if one.direction == OUT else one.bytes_s for one in sums.slices if one.direction in (OUT, IN)),
    )  # fmt: skip
    return Traffic(
        totals, sum(one.failed for one in sums.slices), sums.slices, hosts, exact, sums.hosts_local,
        sums.hosts_external, sums.host_steps, sums.services, sums.services_count, sums.minutes,
    )  # fmt: skip


def _hosts_of_rollups(reader: Reader, period: Period, home: tuple[str, ...]) -> tuple[HostSum, ...]:
    from nsm.model.address import Networks

    near = Networks(home)
    rows = reader.top("host", "bytes", period.start_us, period.stop_us, 200)
    return tuple(
        HostSum(row["key"], row["key"] in near, row["flows"], row["bytes_s"], row["bytes_c"], 0)
        for row in rows
        if row["key"] != OTHER
    )


def _before(reader: Reader, period: Period, known: Sequence[dict[str, Any]], since_us: Sequence[int | None]) -> Before:
    """The period before, from rollups and SQLite; not measured where neither rows nor sums (``since_us``) reach its start."""
    if not any(us is not None and us <= period.start_us for us in since_us):
        return Before(None, None, None, {}, None)
    ends = (period.start_us, period.stop_us)
    total = reader.top("total", "bytes", *ends, 1)
    ways = {row["key"]: row for row in reader.top("direction", "bytes", *ends, len(DIRECTIONS))}
    apps = {row["key"]: row["bytes"] for row in reader.top("app", "bytes", *ends, BEFORE_APPS)}
    out, into = (ways.get(name, {"bytes_s": 0, "bytes_c": 0}) for name in ("out", "in"))
    whole = total[0] if total else {"flows": 0, "pkts": 0, "bytes": 0}
    page = reader.alerts(AlertFilter(start_us=ends[0], stop_us=ends[1], limit=1))
    return Before(
        Totals(whole["flows"], whole["pkts"], whole["bytes"], out["bytes_s"] + into["bytes_c"],
               out["bytes_c"] + into["bytes_s"]),
        apps, page.total, page.by_severity, len(_hosts_new(known, period)),
    )  # fmt: skip


def _scans(data: Path, period: Period) -> tuple[ScanFacts, ...]:
    """Scans that began in the period, the newest first, with what changed since those before each."""
    store = ScanStore(data)
    out = []
    try:
        for one in store.scans(SCANS_MAX):
            if not period.start_us <= one.started < period.stop_us:
                continue
            scan = store.scan(one.id)
            earlier = store.complete_before(one.started)
            if scan is None:
                raise StoreError(f"scan {one.id} went away while it was read", mend="ask again")
            changes = difference(scan, earlier) if earlier and one.state == "complete" else []
            said = tuple((change.what, change.address, change.text) for change in changes)
            targets = " ".join(one.targets)[:200]
            out.append(ScanFacts(one.id, one.started, one.state, targets, one.ports, one.hosts, one.open,
                                 bool(earlier) and one.state == "complete", said))  # fmt: skip
    finally:
        store.close()
    return tuple(out)


def us_now() -> int:
    """Now, in us UTC."""
    return int(time.time() * US)
