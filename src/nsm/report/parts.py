"""Pieces of the page: text from the network made harmless, tables, charts, badges."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from nsm.output.csv import display_safe
from nsm.report import numbers
from nsm.report.colours import PAIRS
from nsm.report.period import US, Period
from nsm.report.svg import Chart, draw, paint
from nsm.report.table import NUMBERS, Column, Table
from nsm.store.moments import time_text

IDS_SHOWN: Final = 3
WORD_MAX: Final = 17  # of a hardware address
WHOLE_ROWS_MAX: Final = 12  # ours: a table with so many is not worth being parted between two sheets of paper
ROWS_MAX: Final = 1_000  # of a table in the page; the CSV has all
SHAPES: Final = {
    "info": '<circle cx="5" cy="5" r="3.5" fill="none" stroke-width="2"/>',
    "low": '<circle cx="5" cy="5" r="4.5" stroke="none"/>',
    "medium": '<path d="M5 0 10 5 5 10 0 5z" stroke="none"/>',
    "high": '<path d="M5 .5 10 9.5H0z" stroke="none"/>',
    "critical": '<path d="M3 0h4l3 3v4l-3 3H3L0 7V3z" stroke="none"/>',
}


def text(value: Any) -> str:
    """Any text as HTML that is text and nothing else; control and direction characters are visible."""
    return escape(display_safe(str(value)), quote=True)


def badge(severity: str) -> str:
    """Shape, word and colour of a severity."""
    ink = PAIRS[f"{severity}-fg"][0]  # for programs that do not know currentColor
    box = f'viewBox="0 0 10 10" width="9" height="9" fill="{ink}" stroke="{ink}" aria-hidden="true"'
    shape = f"<svg {box}>{SHAPES[severity]}</svg>"
    return f'<span class="badge {severity}">{shape}{severity}</span>'


def moment(us: int, period: Period) -> str:
    """A time in the report's zone, for programs in UTC."""
    return f'<time datetime="{time_text(us // US * US)}">{period.local(us):%Y-%m-%d %H:%M}</time>'


def table(of: Table, period: Period, *, rows: int = ROWS_MAX, empty: str = "None.", full: str = "") -> str:
    """A table, or the sentence for an empty one. ``full``: where the rest is when only ``rows`` are shown."""
    if not of.rows:
        return f"<h4>{text(of.title)}</h4><p>{text(empty)}</p>"
    shown = of.rows[:rows]
    heads = "".join(f'<th scope="col"{_class(column)}>{text(column.title)}</th>' for column in of.columns)
    body = "".join(f"<tr>{_cells(of.columns, row, period)}</tr>" for row in shown)
    note = text(of.note)
    if len(shown) < len(of.rows):
        note += f" {len(shown):,} of {len(of.rows):,} rows; {full}."
    said = f'<p class="note">{note.strip()}</p>' if note else ""
    return (
        f'<div class="scroll{" whole" if len(shown) <= WHOLE_ROWS_MAX else ""}" tabindex="0" role="group"'
        f' aria-label="{text(of.title)}"><table data-sort="{of.name}">'
        f"<caption>{text(of.title)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{said}"
    )


def _class(column: Column) -> str:
    return ' class="n"' if column.kind in NUMBERS or column.kind == "any" else ""


def _cells(columns: Sequence[Column], row: Sequence[Any], period: Period) -> str:
    unit = dict(zip((column.name for column in columns), row, strict=True)).get("unit", "")
    return "".join(_cell(column, value, period, unit) for column, value in zip(columns, row, strict=True))


def _cell(column: Column, value: Any, period: Period, unit: Any) -> str:
    kind = str(unit) if column.kind == "any" else column.kind
    if value is None:
        return f"<td{_class(column)}>{numbers.UNKNOWN}</td>"
    number = {"count": numbers.exact, "bytes": numbers.size, "share": numbers.share, "number": "{:g}".format}.get(kind)
    if number is not None:
        said = f' title="{numbers.exact(value)} bytes"' if kind == "bytes" else ""
        return f'<td class="n" data-v="{value}"{said}>{number(value)}</td>'
    match kind:
        case "time":
            return f'<td data-v="{value}">{moment(value, period)}</td>'
        case "severity":
            return f"<td>{badge(value)}</td>"
        case "ids":
            return f'<td class="mono">{ids(value)}</td>'
        case _:
            word = str(value)  # an address or a number of a device is not broken in two
            kept = _class(column) or (' class="w"' if len(word) <= WORD_MAX and " " not in word else ' class="t"')
            return f"<td{kept}>{text(value)}</td>"


def ids(values: Sequence[Any]) -> str:
    """The first few, and how many more."""
    said = " ".join(text(one) for one in values[:IDS_SHOWN])
    return said + (f" +{len(values) - IDS_SHOWN}" if len(values) > IDS_SHOWN else "")


def figure(chart: Chart | None, why_not: str) -> str:
    """A chart with its legend, or the sentence why there is none."""
    if chart is None or not chart.labels or not chart.series:
        return f'<p class="note">{text(why_not)}</p>'
    legend = ""
    if chart.kind != "heat" and len(chart.series) > 1:
        items = "".join(
            f'<li data-series="{place}"><svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">'
            f'<rect width="10" height="10" {paint(one.colour)}/></svg>{text(one.name)}</li>'
            for place, one in enumerate(chart.series)
        )
        legend = f'<ul class="legend">{items}</ul>'
    return (
        f'<figure data-chart="{chart.name}"><div class="wide" tabindex="0" role="group" aria-label="{text(chart.title)}">'
        f"{draw(chart)}</div>{legend}<output></output>"
        f"<figcaption>{text(chart.desc)}</figcaption></figure>"
    )
