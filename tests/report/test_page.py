"""The page: the same for the same facts, nothing from the network in it can run, and it is small."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.report.colours import PAIRS
from nsm.report.facts import Facts, HostFirst
from nsm.report.html import BYTES_MAX, chart_data, inline_json, page
from nsm.report.parts import text
from nsm.report.period import Period
from nsm.report.sections import SECTIONS, SHORT
from nsm.report.summary import summary
from nsm.report.svg import Chart, Series, draw, nice_top
from tests.report.kit import EVIL, START, US, facts_of

GOLDEN = Path(__file__).parents[1] / "data" / "report" / "day.html"
TOKENS = Path(__file__).parents[2] / "web" / "src" / "styles" / "tokens.css"


class Reader(HTMLParser):
    """Notes elements, what scripts hold, and attributes that could fetch or run."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.headings: list[str] = []
        self.suspicious: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        for name, value in attributes:
            local = (value or "").startswith("#")
            if name.startswith("on") or name in ("src", "style") or (name == "href" and not local):
                self.suspicious.append((tag, name))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        if self._inside in ("h1", "h2"):
            self.headings.append(data)


def test_the_day_looks_as_it_did(facts: Facts) -> None:
    made = page(facts)
    if os.environ.get("NSM_UPDATE_GOLDEN"):
        GOLDEN.write_text(made, encoding="utf-8")
    assert made == GOLDEN.read_text(encoding="utf-8"), "NSM_UPDATE_GOLDEN=1 rewrites it; look at the difference"


def test_all_sections_are_there_in_their_order(facts: Facts) -> None:
    titles = [title for title, _ in SECTIONS.values()]
    assert Reader(page(facts)).headings == ["Network report", *titles]
    short = Reader(page(msgspec.structs.replace(facts, short=True)))
    assert short.headings == ["Network report", *titles[: len(SHORT)]]
    assert "learning" not in page(facts).lower()


def test_nothing_from_the_network_runs_or_fetches(facts: Facts) -> None:
    made = page(facts)
    read = Reader(made)
    assert len(read.scripts) == 2
    assert read.suspicious == []
    assert "<!--" not in made
    assert "\u202e" not in made
    assert "\x1b" not in made
    assert "http://" not in made.replace("http://www.w3.org/2000/svg", "")


@given(st.text(max_size=60))
def test_any_text_is_text(value: str) -> None:
    shown = text(value)
    assert "<" not in shown
    assert '"' not in shown
    assert inline_json({"a": value.encode("utf-8", "replace").decode()}).count("<") == 0


def test_names_in_charts_cannot_end_the_script() -> None:
    chart = Chart("x", "line", EVIL, EVIL, (EVIL,), (Series(EVIL, "accent", (1.0,)),))
    assert "<" not in chart_data([chart])
    assert "<script" not in draw(chart)


def test_the_summary_is_short_and_cites(facts: Facts) -> None:
    said = " ".join(summary(facts))
    assert len(said.split()) < 120
    assert "alert A2 and 1 more" in said
    long = "word " * 500
    worst = [msgspec.structs.replace(one, signature=long, explain=msgspec.structs.replace(one.explain, next=(long,)))
             for one in facts.alerts.groups]  # fmt: skip
    many = msgspec.structs.replace(facts, alerts=msgspec.structs.replace(facts.alerts, groups=tuple(worst)))
    assert len(" ".join(summary(many)).split()) < 120


def test_nothing_recorded_is_not_called_fine(folder: Path) -> None:
    empty = facts_of(folder, Period(START - 90 * 86_400 * US, START - 89 * 86_400 * US))
    assert empty.traffic is None
    said = " ".join(summary(empty))
    assert "not known" in said
    assert "fine (" not in said
    made = page(empty)
    assert "Not measured: nothing is kept of this period." in made
    assert "A trend needs at least three points" in made


def test_a_thousand_rows_are_small(facts: Facts) -> None:
    hosts = tuple(
        HostFirst(f"192.168.{n // 250}.{n % 250}", f"device-{n}", "02:00:00:00:00:00", True, START)
        for n in range(1_000)
    )
    groups = tuple(
        msgspec.structs.replace(facts.alerts.groups[0], src=f"10.0.{n // 250}.{n % 250}") for n in range(1_000)
    )
    many = msgspec.structs.replace(facts, hosts_new=hosts, alerts=msgspec.structs.replace(facts.alerts, groups=groups))
    assert len(page(many).encode()) < BYTES_MAX


def test_a_pdf_has_fewer_rows_and_says_so(facts: Facts) -> None:
    made = page(facts, rows_max=2)
    assert "The first 2 of 7 rows; the CSV has all." in made


def test_colours_are_those_of_the_page() -> None:
    css = TOKENS.read_text(encoding="utf-8")
    light = css[css.index(":root {") : css.index("@media (prefers-color-scheme: dark)")]
    dark = css[css.index(":root[data-theme='dark']") :]
    for name, (bright, dim) in PAIRS.items():
        assert re.search(rf"--{name}: {bright};", light), name
        assert re.search(rf"--{name}: {dim};", dark), name


@pytest.mark.parametrize("kind", ["line", "area", "bar", "heat"])
def test_a_value_that_is_not_known_is_not_drawn_as_0(kind: str) -> None:
    def drawn(*values: float | None) -> str:
        return draw(Chart("x", kind, "t", "d", ("a", "b", "c"), (Series("one", "accent", values),)))

    assert drawn(5.0, None, 5.0) != drawn(5.0, 0.0, 5.0)
    assert "NaN" not in drawn(None, None, None)
    assert "<title>t</title><desc>d</desc>" in drawn(0.0, 0.0, 0.0)


@given(st.floats(0, 1e18))
def test_an_axis_ends_above_its_values(value: float) -> None:
    top = nice_top(value)
    assert top >= value
    assert top <= max(1.0, value * 2.5)
