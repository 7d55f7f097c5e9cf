"""A report as one HTML file that needs nothing else: no network, no script to be read, a policy that allows only its own.

The script only adds reading values off, switching series and sorting. Style sheet and script are the same in every report, so
the policy names them by their hash; whatever a name from the network may contain, it cannot run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources
from typing import Final

import orjson

from nsm.report import charts
from nsm.report.colours import declarations
from nsm.report.facts import Facts
from nsm.report.parts import ROWS_MAX, text
from nsm.report.scope import said
from nsm.report.sections import SECTIONS, SHORT
from nsm.report.svg import Chart, style_rules
from nsm.report.table import cut, period_text, tables

BYTES_MAX: Final = 1_500_000  # of a report with 1,000 rows
SCOPE: Final = "Only what has one side in this scope; what is of the whole network says so."
POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"


def page(facts: Facts, *, rows_max: int = ROWS_MAX) -> str:
    """The document; tables have ``rows_max`` rows at most, and say so."""
    made = {one.name: cut(one, rows_max) for one in tables(facts)}
    chosen = {name: SECTIONS[name] for name in (SHORT if facts.short else SECTIONS)}
    body = "".join(
        f'<section id="{name}"><h2>{head}</h2>{write(facts, made)}</section>' for name, (head, write) in chosen.items()
    )
    style, script = style_sheet(), _asset("report.js")
    policy = f"{POLICY}; style-src {_hashed(style)}; script-src {_hashed(script)}"
    about = f"Network report of {said(facts.scope)}" if facts.scope else "Network report"
    title = f"{about}, {period_text(facts.period)}"
    scope = f"<p>{text(SCOPE)}</p>" if facts.scope else ""
    when = " · ".join(filter(None, (facts.subject, period_text(facts.period))))
    links = "".join(f'<li><a href="#{name}">{head}</a></li>' for name, (head, _) in chosen.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<meta name="referrer" content="no-referrer"><title>{text(title)}</title><style>{style}</style></head>'
        f"<body><header><h1>{text(about)}</h1><p>{text(when)}</p>{scope}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main>{body}</main>{_foot(facts)}'
        f'<script type="application/json" id="chart-data">{chart_data(_charts(facts))}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def style_sheet() -> str:
    """The style sheet of every report; dark only on screens, for paper is white."""
    light = f":root{{color-scheme:light dark;{declarations(dark=False)}}}"
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{declarations(dark=True)}}}}}"
    return f"{light}{dark}{style_rules()}\n{_asset('report.css')}"


def chart_data(made: Iterable[Chart]) -> str:
    """Values of charts as JSON inside a script element: nothing in it can end the element or begin a comment."""
    data = {
        chart.name: {
            "labels": chart.labels,
            "series": [
                {"name": one.name, "values": ["" if value is None else chart.say(value) for value in one.values]}
                for one in chart.series
            ],
        }
        for chart in made
    }
    return inline_json(data)


def inline_json(value: object) -> str:
    """JSON without ``<``, ``>`` and ``&``; the same value for every reader of JSON."""
    plain = orjson.dumps(value).decode()
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _charts(facts: Facts) -> list[Chart]:
    drawn = (charts.score, charts.alerts) if facts.short else (
        charts.score, charts.alerts, charts.traffic, charts.hosts, charts.coverage)  # fmt: skip
    return [chart for chart in (draw(facts) for draw in drawn) if chart is not None]


def _foot(facts: Facts) -> str:
    made = f"Made by nsm {text(facts.version)} at {text(facts.period.text(facts.made_us))} in {facts.seconds:.1f} s."
    redacted = " Names and addresses are pseudonyms." if facts.redacted else ""
    return f"<footer><p>{made}{redacted} All times are in {text(facts.period.zone)}.</p></footer>"


def _asset(name: str) -> str:
    return resources.files("nsm.report").joinpath("page", name).read_text(encoding="utf-8")


def _hashed(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
