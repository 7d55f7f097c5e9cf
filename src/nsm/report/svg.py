"""Charts as static SVG: lines, stacked areas, bars, heat strips. No library: a chart takes under a millisecond.

Colours stand twice: as attributes in the light theme, which every program draws, and as classes that a style sheet may colour
for a dark one. Every chart has a title and a description; a step that was not measured is a gap in a line, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

import msgspec

from nsm.report.colours import PAIRS, declarations

WIDTH, HEIGHT = 720, 210
LEFT, RIGHT, TOP, BOTTOM = 78, 12, 10, 26
LABELS_MAX: Final = 8
ROW, GAP, NAME = 18, 3, 150  # of a heat strip, px

Values = Sequence[float | None]
Say = Callable[[float | None], str]


class Series(msgspec.Struct, frozen=True):
    """One line, band or row. ``colour``: a name of ``colours.PAIRS``."""

    name: str
    colour: str
    values: tuple[float | None, ...]


class Chart(msgspec.Struct, frozen=True):
    """``kind``: line, area, bar or heat. ``labels``: one a value, of the axis. ``top``: the axis ends there, 0: by itself."""

    name: str
    kind: str
    title: str
    desc: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    say: Say = str
    top: float = 0.0


def draw(chart: Chart, *, alone: bool = False, themed: bool = True) -> str:
    """The SVG; ``alone`` makes it a file of its own, with both themes in it unless it is not to be ``themed``."""
    body = _heat(chart) if chart.kind == "heat" else _graph(chart)
    height = 2 * ROW + len(chart.series) * (ROW + GAP) if chart.kind == "heat" else HEIGHT
    about = f"<title>{_text(chart.title)}</title><desc>{_text(chart.desc)}</desc>"
    head, frame = "", ""
    if alone:
        head, named = ' xmlns="http://www.w3.org/2000/svg"', _heading(chart)
        body, height = f'{named[0]}<g transform="translate(0 {named[1]})">{body}</g>', height + named[1]
        frame = f'<rect width="{WIDTH}" height="{height}" {paint("surface")}/>'
    # Sizes as attributes too: a PDF needs them, and CSS overrules them.
    return (
        f'<svg{head} role="img" class="chart" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' data-left="{NAME if chart.kind == "heat" else LEFT}" data-right="{RIGHT}">'
        f"{about}{_style() if alone and themed else ''}{frame}{body}</svg>"
    )


def _heading(chart: Chart) -> tuple[str, int]:
    """Title and legend, which a page says beside a chart, and the height that they take. A heat strip names its own rows."""
    title = f'<text x="{RIGHT}" y="20" font-size="14" font-weight="600" {paint("text")}>{_text(chart.title)}</text>'
    if chart.kind == "heat" or len(chart.series) < 2:
        return title, 30
    parts, x, y = [title], RIGHT, 40
    for one in chart.series:
        width = 24 + round(6.2 * len(one.name))  # of letters of this size, about
        if x + width > WIDTH and x > RIGHT:
            x, y = RIGHT, y + ROW
        parts.append(
            f'<rect x="{x}" y="{y - 9}" width="10" height="10" {paint(one.colour)}/>'
            f'<text x="{x + 14}" y="{y}" font-size="11" {paint("text2")}>{_text(one.name)}</text>'
        )
        x += width
    return "".join(parts), y + 12


def _style() -> str:
    rules = "".join(
        f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}"
        for name in PAIRS
        if not name.endswith("-bg")
    )
    dark = f"@media (prefers-color-scheme:dark){{svg{{{declarations(dark=True)}}}}}"
    return f"<style>svg{{{declarations(dark=False)}}}{dark}{rules}text{{font-family:system-ui,sans-serif}}</style>"


def style_rules() -> str:
    """The same rules for charts inside a page that declares the colours."""
    names = sorted({name for name in PAIRS if name.startswith("series-") or name.endswith("-fill")}
                   | {"accent", "border", "text2", "text3", "surface"})  # fmt: skip
    return "".join(f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}" for name in names)


def nice_top(value: float) -> float:
    """The next number above of 1, 2, 2.5 or 5 times a power of ten, where an axis ends; 1 for nothing."""
    if value < 1e-9:  # nothing that is counted or shared is that small
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)


def _text(value: str) -> str:
    return escape(value, quote=True)


def paint(name: str, how: str = "fill") -> str:
    """The attributes of a fill or stroke in a colour: the light one, and the class that a style sheet colours."""
    return f'{how}="{PAIRS[name][0]}" class="{how[0]}-{name}"'


def _x(place: float, count: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (place / max(1, count)), 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value / top, 1.0), 1)


def _graph(chart: Chart) -> str:
    count = len(chart.labels)
    stacked = chart.kind in ("area", "bar")
    columns = [sum(one.values[at] or 0 for one in chart.series) for at in range(count)]
    largest = (
        max(columns, default=0) if stacked else max((v or 0 for one in chart.series for v in one.values), default=0)
    )
    top = chart.top or nice_top(largest)
    parts = [_axes(chart, top)]
    floor = [0.0] * count
    for place, one in enumerate(chart.series):
        if chart.kind == "line":
            drawn = _line(one, top, count)
        else:
            ceiling = [low + (value or 0) for low, value in zip(floor, one.values, strict=True)]
            drawn = _area(one, floor, ceiling, top) if chart.kind == "area" else _bars(one, floor, ceiling, top)
            floor = ceiling
        parts.append(f'<g data-series="{place}">{drawn}</g>')
    return "".join(parts)


def _axes(chart: Chart, top: float) -> str:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(share * top, top)
        parts.append(
            f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" {paint("border", "stroke")}/>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end" font-size="11" {paint("text3")}>'
            f"{_text(chart.say(share * top))}</text>"
        )
    return "".join(parts) + _labels(chart.labels, HEIGHT - 8, LEFT)


def _labels(labels: Sequence[str], y: int, left: int) -> str:
    every = max(1, -(-len(labels) // LABELS_MAX))
    width = (WIDTH - left - RIGHT) / max(1, len(labels))
    return "".join(
        f'<text x="{round(left + width * (at + 0.5), 1)}" y="{y}" text-anchor="middle" font-size="11" {paint("text3")}>'
        f"{_text(labels[at])}</text>"
        for at in range(0, len(labels), every)
    )


def _runs(values: Values) -> list[list[int]]:
    """Places of values that are known, in unbroken runs."""
    runs: list[list[int]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(at)
    return [run for run in runs if run]


def _line(one: Series, top: float, count: int) -> str:
    out = []
    for run in _runs(one.values):
        points = " ".join(f"{_x(at + 0.5, count)},{_y(one.values[at] or 0, top)}" for at in run)
        if len(run) == 1:
            x, y = points.split(",")
            out.append(f'<circle cx="{x}" cy="{y}" r="2" {paint(one.colour)}/>')
        else:
            out.append(f'<polyline points="{points}" fill="none" stroke-width="1.75" {paint(one.colour, "stroke")}/>')
    return "".join(out)


def _area(one: Series, floor: Sequence[float], ceiling: Sequence[float], top: float) -> str:
    count, out = len(floor), []
    for run in _runs(one.values):
        if not any(ceiling[at] > floor[at] for at in run):
            continue
        # A step is as wide as its time: the band goes from edge to edge, not from middle to middle.
        over = " ".join(f"{_x(x, count)},{_y(ceiling[at], top)}" for at in run for x in (at, at + 1))
        under = " ".join(f"{_x(x, count)},{_y(floor[at], top)}" for at in reversed(run) for x in (at + 1, at))
        out.append(f'<polygon points="{over} {under}" {paint(one.colour)}/>')
    return "".join(out)


def _bars(one: Series, floor: Sequence[float], ceiling: Sequence[float], top: float) -> str:
    count = len(floor)
    width = round((WIDTH - LEFT - RIGHT) / max(1, count) * 0.8, 1)
    unknown = "".join(
        f'<rect x="{_x(at + 0.1, count)}" y="{HEIGHT - BOTTOM - 4}" width="{width}" height="4" fill="none"'
        f' stroke-dasharray="2 2" {paint("border", "stroke")}/>'
        for at, value in enumerate(one.values)
        if value is None
    )
    return unknown + "".join(
        f'<rect x="{_x(at + 0.1, count)}" y="{_y(high, top)}" width="{width}"'
        f' height="{round(_y(low, top) - _y(high, top), 1)}" {paint(one.colour)}/>'
        for at, (low, high) in enumerate(zip(floor, ceiling, strict=True))
        if high > low
    )


def _heat(chart: Chart) -> str:
    """One row a series, darker for more; an empty cell with a dotted edge was not measured."""
    count = len(chart.labels)
    width = (WIDTH - NAME - RIGHT) / max(1, count)
    top = chart.top or max((value or 0 for one in chart.series for value in one.values), default=0) or 1.0
    parts = []
    for row, one in enumerate(chart.series):
        y = row * (ROW + GAP) + GAP
        name = one.name if len(one.name) <= 22 else f"{one.name[:10]}...{one.name[-9:]}"
        parts.append(
            f'<text x="{NAME - 8}" y="{y + 13}" text-anchor="end" font-size="11" {paint("text2")}>{_text(name)}</text>'
        )
        for at, value in enumerate(one.values):
            box = f'x="{round(NAME + at * width, 1)}" y="{y}" width="{round(width - 0.6, 1)}" height="{ROW}"'
            if value is None:
                parts.append(f'<rect {box} fill="none" stroke-dasharray="2 2" {paint("border", "stroke")}/>')
            else:
                shade = 0.06 + 0.94 * (min(value / top, 1.0) ** 0.5) if value else 0.0
                parts.append(f'<rect {box} fill-opacity="{shade:.2f}" {paint(one.colour)}/>')
    return "".join(parts) + _labels(chart.labels, len(chart.series) * (ROW + GAP) + 18, NAME)
