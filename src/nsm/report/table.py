"""Every table of a report, made from its facts: the same rows for page, JSON and CSV. Sections show parts of them."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from nsm.iana import PROTO_NAMES
from nsm.report.facts import Facts, Traffic
from nsm.report.numbers import change
from nsm.report.period import Period

Row = tuple[Any, ...]


class Column(msgspec.Struct, frozen=True):
    """``kind``: text, count, bytes, share (0 to 1), change, time (us UTC), ids (a tuple) or severity. None: not measured."""

    name: str
    title: str
    kind: str = "text"


class Table(msgspec.Struct, frozen=True):
    """``note`` says what the figures are and what they are not."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


OF_ALL: Final = "Of the whole network, not of the scope alone."
NUMBERS: Final = ("count", "bytes", "share", "change", "number")


def _columns(*described: str) -> tuple[Column, ...]:
    """``name|Title|kind`` each."""
    return tuple(Column(*text.split("|")) for text in described)


def tables(facts: Facts) -> tuple[Table, ...]:
    """All of them, in the order of the sections. One whose figures were not measured is left out."""
    made = [_deductions(facts), _trend(facts), _severities(facts), _kinds(facts), _techniques(facts), _groups(facts),
            _near_misses(facts), _hosts_new(facts), _changes(facts)]  # fmt: skip
    if facts.traffic is not None:
        made += [_steps(facts, facts.traffic), _apps(facts, facts.traffic), _protocols(facts.traffic),
                 *_hosts(facts, facts.traffic), _services(facts.traffic)]  # fmt: skip
    made += [_scans(facts), _coverage(facts), _blind(facts), _compared(facts), _settings(facts)]
    return tuple(made)


def _of_all(facts: Facts) -> str:
    """What is to be said of figures that know no scope."""
    return OF_ALL if facts.scope else ""


def _deductions(facts: Facts) -> Table:
    columns = _columns("label|What", "points|Points|number", "rows|Counted|count", "filter|Filter")
    return Table("deductions", "Deductions from the score", columns, facts.score.deductions, _of_all(facts))


def _trend(facts: Facts) -> Table:
    columns = _columns("time|At the end of|time", "score|Score|number")
    return Table("score", "Score over time", columns, facts.score.trend, _of_all(facts))


def _severities(facts: Facts) -> Table:
    before = facts.before.by_severity if facts.before.alerts is not None else {}
    known = facts.before.alerts is not None
    rows = tuple(
        (word, count, before.get(word, 0) if known else None, change(count, before.get(word, 0)) if known else None)
        for word, count in facts.alerts.by_severity.items()
    )
    columns = _columns(
        "severity|Severity|severity", "alerts|Alerts|count", "before|Before|count", "change|Change|change"
    )
    return Table("severities", "Alerts by severity", columns, rows)


def _kinds(facts: Facts) -> Table:
    rows = tuple((kind.replace("_", " "), count) for kind, count in facts.alerts.by_kind.items())
    return Table("kinds", "Alerts by kind", _columns("kind|Kind", "alerts|Alerts|count"), rows)


def _techniques(facts: Facts) -> Table:
    note = "Techniques of MITRE ATT&CK; one alert may name several."
    rows = tuple(facts.alerts.by_technique.items())
    return Table(
        "techniques", "Alerts by technique", _columns("technique|Technique", "alerts|Alerts|count"), rows, note
    )


def _groups(facts: Facts) -> Table:
    columns = _columns(
        "severity|Severity|severity", "signature|What", "src|Source", "dst|Destination", "alerts|Alerts|count",
        "findings|Findings|count", "first|First seen|time", "last|Last seen|time", "state|State", "confidence|Sure|share",
        "techniques|Techniques|ids", "ids|Alert ids|ids", "flows|Flow ids|ids",
    )  # fmt: skip
    rows = tuple(
        (one.severity, one.signature, one.src, one.dst, len(one.ids), one.findings, one.first_us, one.last_us,
         ", ".join(one.states), one.confidence, one.techniques, one.ids, one.flow_ids)
        for one in facts.alerts.groups
    )  # fmt: skip
    note = "Alerts of one signature between one pair are one line."
    if facts.alerts.listed < facts.alerts.total:
        note += f" Made of the newest {facts.alerts.listed:,} of {facts.alerts.total:,} alerts."
    return Table("alerts", "Alert groups", columns, rows, note)


def _near_misses(facts: Facts) -> Table:
    columns = _columns("detector|Detector", "count|Measurements|count", "ratio|Closest to its threshold|share")
    rows = tuple((one.detector, one.count, one.ratio_max) for one in facts.near_misses)
    return Table("near_misses", "Measurements below the threshold", columns, rows,
                 f"From a quarter of the threshold up; 100 % would have been an alert. {_of_all(facts)}".strip())  # fmt: skip


def _hosts_new(facts: Facts) -> Table:
    cited: dict[str, tuple[str, ...]] = {}
    for group in facts.alerts.groups:
        if group.kind == "new_host":
            cited[group.src] = (*cited.get(group.src, ()), *group.ids)
    columns = _columns("address|Address", "name|Name", "mac|Hardware address", "place|Place", "first|First seen|time",
                       "alert|Alert|ids")  # fmt: skip
    rows = tuple(
        (one.address, one.name, one.mac, "local" if one.local else "external", one.first_us, cited.get(one.address, ()))
        for one in facts.hosts_new
    )
    return Table("hosts_new", "Hosts seen for the first time", columns, rows)


def _changes(facts: Facts) -> Table:
    columns = _columns("scan|Scan", "what|Change", "address|Address", "text|What was found", "time|Time|time")
    rows = tuple(
        (scan.id, what, address, text, scan.started_us) for scan in facts.scans for what, address, text in scan.changes
    )
    return Table("service_changes", "Services and hosts that scans found changed", columns, rows)


def _steps(facts: Facts, traffic: Traffic) -> Table:
    columns = _columns("time|From|time", "flows|Flows|count", "packets|Packets|count", "bytes|Bytes|bytes")
    rows = []
    for start, stop in facts.period.steps():
        # The first slice may be named by a time before the period, whose step it is a part of.
        first = 0 if start == facts.period.start_us else bisect_left(traffic.slices, start, key=lambda one: one.t_us)
        mine = traffic.slices[first : bisect_left(traffic.slices, stop, key=lambda one: one.t_us)]
        rows.append((start, sum(one.flows for one in mine), sum(one.pkts for one in mine),
                     sum(one.bytes_s + one.bytes_c for one in mine)))  # fmt: skip
    note = "A flow counts when it ends. A step that was not watched is named under monitoring quality."
    return Table("traffic", f"Traffic by {facts.period.unit}", columns, tuple(rows), note)


def _apps(facts: Facts, traffic: Traffic) -> Table:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for one in traffic.slices:
        row = sums[one.app]
        row[0] += one.flows
        row[1] += one.pkts
        row[2] += one.bytes_s + one.bytes_c
        if one.bytes_s + one.bytes_c >= row[4]:
            row[3], row[4] = one.flow_id, one.bytes_s + one.bytes_c
    before, whole = facts.before.apps, max(1, traffic.totals.bytes)
    rows = tuple(
        (app or "(unknown)", flows, pkts, size, size / whole, None if before is None else before.get(app, 0),
         None if before is None else change(size, before.get(app, 0)), (flow_id,))
        for app, (flows, pkts, size, flow_id, _) in sorted(sums.items(), key=lambda pair: (-pair[1][2], pair[0]))
    )  # fmt: skip
    columns = _columns(
        "app|Application", "flows|Flows|count", "packets|Packets|count", "bytes|Bytes|bytes", "share|Share|share",
        "before|Before|bytes", "change|Change|change", "flow|Flow of its largest step|ids",
    )  # fmt: skip
    return Table("applications", "Traffic by application", columns, rows)


def _protocols(traffic: Traffic) -> Table:
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    for one in traffic.slices:
        for place, value in enumerate((one.flows, one.pkts, one.bytes_s + one.bytes_c)):
            sums[one.proto][place] += value
    whole = max(1, traffic.totals.bytes)
    rows = tuple(
        (PROTO_NAMES.get(proto, str(proto)), *values, values[2] / whole)
        for proto, values in sorted(sums.items(), key=lambda pair: (-pair[1][2], pair[0]))
    )
    columns = _columns(
        "proto|Protocol", "flows|Flows|count", "packets|Packets|count", "bytes|Bytes|bytes", "share|Share|share"
    )
    return Table("protocols", "Traffic by protocol", columns, rows)


def _hosts(facts: Facts, traffic: Traffic) -> Iterable[Table]:
    columns = _columns("address|Address", "name|Name", "flows|Flows|count", "sent|Sent|bytes", "received|Received|bytes",
                       "share|Share of all bytes|share", "flow|Largest flow|ids")  # fmt: skip
    if facts.scope and not traffic.hosts_exact:
        return  # not measured
    whole = max(1, traffic.totals.bytes)
    parts = ((True, "hosts_local", "Local hosts", traffic.hosts_local),
             (False, "hosts_external", "External hosts", traffic.hosts_external))  # fmt: skip
    for local, name, title, count in parts:
        rows = tuple(
            (one.address, facts.names.get(one.address, ""), one.flows, one.sent, one.received,
             (one.sent + one.received) / whole, (one.flow_id,) if one.flow_id else ())
            for one in traffic.hosts
            if one.local == local
        )  # fmt: skip
        note = f"The {len(rows):,} largest of {count:,}; a flow counts for both of its hosts."
        if facts.scope:
            note += " Those outside the scope are here for what they exchanged with it."
        if not traffic.hosts_exact:
            note = "From sums by the minute, which name the largest hosts of each: there were too many addresses to count all."
        yield Table(name, title, columns, rows, note)


def _services(traffic: Traffic) -> Table:
    columns = _columns("service|Server port", "flows|Flows|count", "bytes|Bytes|bytes", "flow|Largest flow|ids")
    rows = tuple(
        (f"{one.port}/{PROTO_NAMES.get(one.proto, str(one.proto)).lower()}", one.flows, one.bytes, (one.flow_id,))
        for one in traffic.services
    )
    note = f"The {len(rows):,} largest of {traffic.services_count:,}."
    return Table("ports", "Traffic by server port", columns, rows, note)


def _scans(facts: Facts) -> Table:
    columns = _columns("scan|Scan", "started|Started|time", "targets|Targets", "ports|Ports", "state|State",
                       "hosts|Hosts up|count", "open|Open ports|count", "changes|Changes|count")  # fmt: skip
    rows = tuple(
        (one.id, one.started_us, one.targets, one.ports, one.state, one.hosts, one.open,
         len(one.changes) if one.compared else None)
        for one in facts.scans
    )  # fmt: skip
    note = "Changes are not measured where no complete scan came before."
    if facts.scope:
        note += " Hosts, ports and changes are those of the scope."
    return Table("scans", "Scans made", columns, rows, note)


def _coverage(facts: Facts) -> Table:
    columns = _columns("time|From|time", "watched|Watched|share", "packets|Packets|count", "drops|Dropped|count")
    title = f"Coverage by {facts.period.unit}"
    return Table("coverage", title, columns, facts.quality.by_step, _of_all(facts))


def _blind(facts: Facts) -> Table:
    columns = _columns("from|From|time", "to|To|time", "why|Why", "lost|Packets lost|count")
    rows = tuple((one.start_us, one.stop_us, one.why, one.lost) for one in facts.quality.blind)
    return Table("blind", "Times not watched, or not completely", columns, rows, _of_all(facts))


def _compared(facts: Facts) -> Table:
    now = facts.traffic.totals if facts.traffic is not None else None
    then = facts.before.totals
    pairs: list[tuple[str, str, int | None, int | None]] = [
        (title, kind, getattr(now, name) if now else None, getattr(then, name) if then else None)
        for name, title, kind in (
            ("bytes", "Bytes", "bytes"), ("out_bytes", "Bytes sent to outside", "bytes"),
            ("in_bytes", "Bytes received from outside", "bytes"), ("flows", "Flows", "count"), ("pkts", "Packets", "count"),
        )
    ]  # fmt: skip
    pairs += [
        ("Alerts", "count", facts.alerts.total, facts.before.alerts),
        ("Hosts seen for the first time", "count", len(facts.hosts_new), facts.before.hosts_new),
    ]
    rows = tuple(
        (title, kind, now_is, was, None if now_is is None or was is None else now_is - was, change(now_is, was))
        for title, kind, now_is, was in pairs
    )
    columns = _columns("figure|Figure", "unit|Unit", "now|This period|any", "before|The period before|any",
                       "difference|Difference|any", "change|Change|change")  # fmt: skip
    return Table("compared", "This period and the one before", columns, rows)


def _settings(facts: Facts) -> Table:
    columns = _columns("hash|Settings", "since|In force since|time")
    return Table("settings", "Settings that alerts were made under", columns, facts.settings)


def cut(table: Table, rows_max: int) -> Table:
    """The table with its first rows, and a note that says of how many."""
    if len(table.rows) <= rows_max:
        return table
    note = f"{table.note} The first {rows_max:,} of {len(table.rows):,} rows; the CSV has all.".strip()
    return msgspec.structs.replace(table, rows=table.rows[:rows_max], note=note)


def narrow(table: Table, names: Iterable[str], note: str) -> Table:
    """Only these columns, for a page that is no wider than paper; the note says where the others are."""
    places = [place for place, column in enumerate(table.columns) if column.name in set(names)]
    return msgspec.structs.replace(
        table, columns=tuple(table.columns[place] for place in places), note=f"{table.note} {note}".strip(),
        rows=tuple(tuple(row[place] for place in places) for row in table.rows),
    )  # fmt: skip


def period_text(period: Period) -> str:
    """``2026-11-20 14:00 +01:00 to 2026-11-21 14:00 +01:00, Europe/Berlin``."""
    return f"{period.text(period.start_us)} to {period.text(period.stop_us)}, {period.zone}"
