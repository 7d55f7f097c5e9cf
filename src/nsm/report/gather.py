"""From the store to the facts of a report: asked once, in a handful of questions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm._version import __version__
from nsm.errors import StoreError
from nsm.model.scan import PortState
from nsm.report import alerts as of_alerts
from nsm.report import scope as of_scope
from nsm.report.facts import Before, Facts, HostFirst, ScanFacts, Totals, Traffic
from nsm.report.period import US, Period
from nsm.report.quality import quality
from nsm.report.scope import Scope
from nsm.scan.difference import difference
from nsm.store.reader import AlertFilter, Reader
from nsm.store.report_sums import HostSum, Sums, Wanted
from nsm.store.rollup import DIRECTIONS, OTHER
from nsm.store.scans import ScanStore

HOSTS_MAX: Final = 10_000
SCANS_MAX: Final = 1_000
BEFORE_APPS: Final = 100
WHOLE: Final = Scope(())
OUT, IN = DIRECTIONS.index("out"), DIRECTIONS.index("in")


def gather(
    data: Path, period: Period, home: tuple[str, ...], now_us: int, *, short: bool = False, scope: tuple[str, ...] = ()
) -> Facts:  # fmt: skip
    """The facts of a period; ``scope``: the words of ``scope.words``.

    StoreError when there is no store, QueryError when it takes too long or a name of the scope is not that of one host.
    """
    began = time.perf_counter()
    reader = Reader(data)
    try:
        places = Scope(of_scope.found(scope, reader.resolve_host))
        wanted = Wanted(start_us=period.start_us, stop_us=period.stop_us, step_s=period.step_s, home=home,
                        scope=places.networks)  # fmt: skip
        sums = reader.report_sums(wanted)
        found, total = of_alerts.fetch(reader, period, places.where())
        of_all = of_alerts.fetch(reader, period)[0] if places else found
        known = reader.hosts(0, HOSTS_MAX)
        watched = quality(period, sums.minutes, sums.gaps, sums.first_us)
        return Facts(
            version=__version__, made_us=now_us, period=period, short=short, scope=places.places,
            names={host["address"]: host["name"] for host in known if host["name"]},
            alerts=of_alerts.facts(found, total, period),
            score=of_alerts.score_facts(of_all, period, sums.minutes, sums.first_us, watched),
            near_misses=sums.near_misses,
            hosts_new=_hosts_new(known, period, places),
            traffic=_traffic(reader, period, sums, home, scoped=bool(places)),
            scans=_scans(data, period, places),
            scans_seen=tuple(item["id"] for item in found
                             if item["finding"]["kind"] == "network_scan" and item["last_seen"] >= period.start_us),
            gaps=sums.gaps, quality=watched,
            before=_before_in(reader, wanted, known, sums.flow_us, places) if places
            else _before(reader, period.previous(), known, (sums.first_us, sums.summed_us)),
            settings=tuple((one["hash"], one["since_us"]) for one in reader.settings_history()
                           if one["since_us"] < period.stop_us)[:20],
            seconds=round(time.perf_counter() - began, 3),
        )  # fmt: skip
    finally:
        reader.close()


def _hosts_new(known: Sequence[dict[str, Any]], period: Period, scope: Scope = WHOLE) -> tuple[HostFirst, ...]:
    return tuple(
        HostFirst(one["address"], one["name"], one["mac"], one["local"], one["first_seen"])
        for one in known
        if period.start_us <= one["first_seen"] < period.stop_us and scope.covers(one["address"])
    )


def _traffic(reader: Reader, period: Period, sums: Sums, home: tuple[str, ...], *, scoped: bool) -> Traffic | None:
    """None when not one flow is kept of the period and nothing was counted on the wire: then nothing was measured."""
    if not sums.kept and not sums.minutes:
        return None
    hosts, exact = sums.hosts, sums.hosts is not None
    if hosts is None:  # sums by the minute do not know who talked with whom, so that of a scope they say nothing
        hosts = () if scoped else _hosts_of_rollups(reader, period, home)
    return Traffic(
        _totals(sums), sum(one.failed for one in sums.slices), sums.slices, hosts, exact, sums.hosts_local,
        sums.hosts_external, sums.host_steps, sums.services, sums.services_count, sums.minutes,
    )  # fmt: skip


def _totals(sums: Sums) -> Totals:
    slices = sums.slices
    return Totals(
        sum(one.flows for one in slices), sum(one.pkts for one in slices), sum(one.bytes_s + one.bytes_c for one in slices),
        sum(one.bytes_s if one.direction == OUT else one.bytes_c for one in slices if one.direction in (OUT, IN)),
        sum(one.bytes_c if one.direction == OUT else one.bytes_s for one in slices if one.direction in (OUT, IN)),
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


def _before_in(
    reader: Reader, wanted: Wanted, known: Sequence[dict[str, Any]], flow_us: int | None, scope: Scope
) -> Before:  # fmt: skip
    """The period before the wanted one, of a scope: from flows, since sums do not know who talked with whom.

    Not measured where flows are not kept from its start on.
    """
    before = Period(2 * wanted.start_us - wanted.stop_us, wanted.start_us)
    if flow_us is None or flow_us > before.start_us:
        return Before(None, None, None, {}, None)
    sums = reader.report_sums(
        msgspec.structs.replace(wanted, start_us=before.start_us, stop_us=before.stop_us, hosts=0, services=0)
    )
    apps = Counter[str]()
    for one in sums.slices:
        apps[one.app] += one.bytes_s + one.bytes_c
    page = reader.alerts(AlertFilter(where=scope.where(), start_us=before.start_us, stop_us=before.stop_us, limit=1))
    return Before(_totals(sums), dict(apps), page.total, page.by_severity, len(_hosts_new(known, before, scope)))


def _scans(data: Path, period: Period, scope: Scope) -> tuple[ScanFacts, ...]:
    """Scans that began in the period, the newest first, with what changed since those before each.

    Of a scope: scans that looked for something in it, with what they found in it.
    """
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
            said = tuple(
                (change.what, change.address, change.text) for change in changes if scope.covers(change.address)
            )
            hosts = sum(scope.covers(host.address) for host in scan.hosts)
            opened = sum(port.state == PortState.OPEN and scope.covers(port.address) for port in scan.found)
            if scope and not (hosts or opened or said or any(map(scope.touches, one.targets))):
                continue
            targets = " ".join(one.targets)[:200]
            out.append(ScanFacts(one.id, one.started, one.state, targets, one.ports, hosts, opened,
                                 bool(earlier) and one.state == "complete", said))  # fmt: skip
    finally:
        store.close()
    return tuple(out)


def us_now() -> int:
    """Now, in us UTC."""
    return int(time.time() * US)
