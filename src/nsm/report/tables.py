"""A report for programs: one JSON document, and every table as CSV in a zip. Times are RFC 3339 in UTC."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from nsm.output.csv import neutral
from nsm.report.document import (
    Document,
    Evidence,
    Explained,
    Group,
    QualityOf,
    ScoreOf,
    Severity,
    Sure,
    TableOf,
    Times,
    ZonedTimes,
)  # fmt: skip
from nsm.report.facts import AlertGroup, Facts
from nsm.report.period import US
from nsm.report.summary import summary
from nsm.report.table import Column, Table, tables
from nsm.store.moments import time_text


def json_document(facts: Facts) -> bytes:
    """The whole report; figures that were not measured are null."""
    period, before, quality = facts.period, facts.period.previous(), facts.quality
    made = Document(
        version=facts.version, made=time_text(facts.made_us), subject=facts.subject, scope=facts.scope or None,
        period=ZonedTimes(start=time_text(period.start_us), stop=time_text(period.stop_us), zone=period.zone),
        previous=Times(start=time_text(before.start_us), stop=time_text(before.stop_us)),
        redacted=facts.redacted, summary=summary(facts), score=ScoreOf(facts.score.score, facts.score.reason),
        quality=QualityOf(quality.watched, quality.seen, quality.pkts, quality.drops, quality.malformed),
        alerts=tuple(_group(one) for one in facts.alerts.groups),
        tables={table.name: _table(table) for table in tables(facts)},
    )  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"


def csv_zip(facts: Facts) -> bytes:
    """A zip of ``NAME.csv`` for every table; no cell of it is run by a spreadsheet. The same facts give the same bytes."""
    made = datetime.fromtimestamp(facts.made_us // US, UTC).timetuple()[:6]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for table in tables(facts):
            info = zipfile.ZipInfo(f"{table.name}.csv", made)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            archive.writestr(info, csv_text(table))
    return out.getvalue()


def csv_text(table: Table) -> str:
    """One table; figures that were not measured are empty cells."""
    lines = [",".join(neutral(column.name) for column in table.columns)]
    lines += [
        ",".join(_cell(column, value) for column, value in zip(table.columns, row, strict=True)) for row in table.rows
    ]
    return "".join(f"{line}\n" for line in lines)


def _cell(column: Column, value: Any) -> str:
    plain = _plain(column, value)
    if plain is None:
        return ""
    if isinstance(plain, int | float):
        return str(plain)  # a number is no formula
    return neutral(" ".join(map(str, plain)) if isinstance(plain, list) else str(plain))


def _plain(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.kind == "time":
        return time_text(value)
    return list(value) if column.kind == "ids" else value


def _table(table: Table) -> TableOf:
    rows = tuple(
        tuple(_plain(column, value) for column, value in zip(table.columns, row, strict=True)) for row in table.rows
    )
    return TableOf(table.title, table.note, tuple(column.name for column in table.columns), rows)


def _group(one: AlertGroup) -> Group:
    said = one.explain
    return Group(
        severity=cast("Severity", one.severity), signature=one.signature, kind=one.kind, src=one.src, dst=one.dst,
        alert_ids=one.ids, flow_ids=one.flow_ids, states=one.states, first_seen=time_text(one.first_us),
        last_seen=time_text(one.last_us), findings=one.findings,
        explain=Explained(
            what=said.what, why=said.why, next=said.next, evidence=Evidence(one.measured, one.techniques),
            sure=Sure(confidence=one.confidence, speaks_for=said.sure_for, against=said.sure_against, benign=said.benign),
        ),
    )  # fmt: skip
