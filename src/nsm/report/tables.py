"""A report for programs: one JSON document, and every table as CSV in a zip. Times are RFC 3339 in UTC."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from nsm.output.csv import neutral
from nsm.report.facts import Facts
from nsm.report.period import US
from nsm.report.summary import summary
from nsm.report.table import Column, Table, tables
from nsm.store.moments import time_text

SCHEMA: Final = 1
"""Of the JSON document; rises when a key changes its meaning or goes."""


def json_document(facts: Facts) -> bytes:
    """The whole report; figures that were not measured are null."""
    period, before = facts.period, facts.period.previous()
    document = {
        "schema": SCHEMA, "kind": "nsm.report", "version": facts.version, "made": time_text(facts.made_us),
        "period": {"from": time_text(period.start_us), "to": time_text(period.stop_us), "zone": period.zone},
        "previous": {"from": time_text(before.start_us), "to": time_text(before.stop_us)},
        "scope": [{"network": place.network, "name": place.name} for place in facts.scope] or None,
        "redacted": facts.redacted, "summary": summary(facts),
        "score": {"score": facts.score.score, "reason": facts.score.reason},
        "quality": {"watched": facts.quality.watched, "seen": facts.quality.seen, "packets": facts.quality.pkts,
                    "drops": facts.quality.drops, "malformed": facts.quality.malformed},
        "alerts": [_group(facts, place) for place in range(len(facts.alerts.groups))],
        "tables": {table.name: _table(table) for table in tables(facts)},
    }  # fmt: skip
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


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


def _table(table: Table) -> dict[str, Any]:
    names = [column.name for column in table.columns]
    rows = [[_plain(column, value) for column, value in zip(table.columns, row, strict=True)] for row in table.rows]
    return {"title": table.title, "note": table.note, "columns": names, "rows": rows}


def _group(facts: Facts, place: int) -> dict[str, Any]:
    one = facts.alerts.groups[place]
    said = one.explain
    return {
        "severity": one.severity, "signature": one.signature, "kind": one.kind, "src": one.src, "dst": one.dst,
        "alert_ids": one.ids, "flow_ids": one.flow_ids, "states": one.states, "first_seen": time_text(one.first_us),
        "last_seen": time_text(one.last_us), "findings": one.findings,
        "explain": {
            "what": said.what, "why": said.why,
            "sure": {"confidence": one.confidence, "for": said.sure_for, "against": said.sure_against, "benign": said.benign},
            "next": said.next, "evidence": {"measured": one.measured, "techniques": one.techniques},
        },
    }  # fmt: skip
