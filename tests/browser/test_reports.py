"""Reports in a browser: the file alone and offline, on paper, and the page that makes and lists them."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from playwright.sync_api import Browser, Dialog, Page, Request

from nsm.report import pdf as of_pdf
from nsm.report.facts import HostFirst
from nsm.report.html import page as page_of
from nsm.report.render import render
from nsm.report.sections import SECTIONS
from nsm.report.shelf import About, Shelf
from tests.browser.conftest import OpenPage
from tests.browser.test_look import violations
from tests.report.kit import START, build, facts_of
from tests.serve.kit import Service

ID = "20251121T140000Z-abcdef"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "day.html"
    path.write_text(page_of(facts_of(build(folder / "store"))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with rows of several lines, of which some would lie on two sheets if rows were cut."""
    folder = tmp_path_factory.mktemp("tall")
    facts = facts_of(build(folder / "store"))
    name = "a printer that says where it stands "
    hosts = tuple(
        HostFirst(f"192.168.2.{number}", name * (9 + number % 5), "02:00:00:00:00:01", True, START)
        for number in range(16)
    )
    path = folder / "tall.html"
    path.write_text(page_of(msgspec.structs.replace(facts, hosts_new=hosts)), encoding="utf-8")
    return path


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def offline(browser: Browser, document: Path, complaints: list[str]) -> Iterator[tuple[Page, list[str]]]:
    """The file in a browser without a network, and what it asked for."""
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 800})
    page = context.new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    def dismiss(dialog: Dialog) -> None:
        complaints.append("dialog")
        dialog.dismiss()

    page.on("request", note)
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", dismiss)
    page.goto(document.as_uri())
    yield page, asked
    context.close()
    assert complaints == []


def test_it_stands_alone(offline: tuple[Page, list[str]], document: Path) -> None:
    page, asked = offline
    assert asked == [document.as_uri()]
    assert page.locator("h1").all_inner_texts() == ["Network report"]
    assert page.locator("h2").all_inner_texts() == [title for title, _ in SECTIONS.values()]
    assert page.locator("figure svg[role=img] > title").count() >= 4


def test_charts_are_read_off_series_switched_tables_sorted(offline: tuple[Page, list[str]]) -> None:
    page, _ = offline
    chart = page.locator("figure[data-chart=traffic]")
    chart.locator("svg.chart").hover()
    assert re.search(r"\d\d:\d\d: .*TLS [\d.]+ [kM]?bit/s", chart.locator("output").inner_text())
    chart.get_by_role("button", name="TLS").click()
    assert chart.locator("g[data-series='0']").get_attribute("visibility") == "hidden"
    table = page.locator("table[data-sort=applications]").first
    table.get_by_role("button", name="Bytes").click()
    sizes = table.locator("tbody td:nth-child(4)").evaluate_all("cells => cells.map((cell) => Number(cell.dataset.v))")
    assert sizes == sorted(sizes, reverse=True)
    table.get_by_role("button", name="Bytes").click()
    sizes = table.locator("tbody td:nth-child(4)").evaluate_all("cells => cells.map((cell) => Number(cell.dataset.v))")
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_it_is_for_everybody_and_fits(
    service: Service, new_page: OpenPage, document: Path, theme: str, width: int
) -> None:
    keep(service, document)
    page = new_page(service, f"/api/v1/reports/{ID}/html", viewport={"width": width, "height": 900}, color_scheme=theme)
    page.locator("table[data-sort] button").first.wait_for()  # its script runs under the policy of the answer
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.origin") == "null"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_breaks_no_rule_of_accessibility(browser: Browser, document: Path, theme: Literal["light", "dark"]) -> None:
    context = browser.new_context(color_scheme=theme, bypass_csp=True, viewport={"width": 768, "height": 900})
    page = context.new_page()
    page.goto(document.as_uri())
    found = violations(page)
    context.close()
    assert found == []


def test_without_script_everything_is_there(browser: Browser, document: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(document.as_uri())
    assert page.locator("table").count() > 15
    assert page.locator("button").count() == 0
    context.close()


def test_printed_by_a_browser_headings_are_tagged_heads_repeated_and_no_row_is_cut(
    offline: tuple[Page, list[str]], tall: Path
) -> None:
    page, asked = offline
    page.goto(tall.as_uri())
    rows = page.locator("tbody tr").count()
    heads = page.locator("thead tr").count()
    tree = Tree(page.pdf(prefer_css_page_size=True, tagged=True, outline=True))
    assert tree.pages > 5
    assert tree.count("H1") == 1
    assert tree.count("H2") == len(SECTIONS)
    assert tree.count("H3") == page.locator("h3").count()
    assert tree.count("TR") == rows + heads
    body = tree.pages_of("TR", "TD")
    assert len(body) == rows
    assert {len(pages) for pages in body} == {1}
    assert len(set.union(*body)) > 4
    assert max(len(pages) for pages in tree.pages_of("TR", "TH")) > 1  # the head of a table that goes on
    assert asked[1:] == [tall.as_uri()]


@pytest.mark.skipif(of_pdf.missing(), reason="needs WeasyPrint: the extra nsm[pdf]")
def test_the_pdf_is_whole_tagged_and_small(tmp_path: Path) -> None:
    facts = facts_of(build(tmp_path))
    made = render(facts, "pdf")
    assert made.startswith(b"%PDF")
    assert len(made) < 200_000
    inside = unpacked(made)
    assert len(re.findall(rb"/Type /Page\b", inside)) >= 5
    assert len(re.findall(rb"/S /H1\b", inside)) == 1
    assert len(re.findall(rb"/S /H2\b", inside)) == len(SECTIONS)
    assert b"/Lang (en)" in inside
    assert b"/MarkInfo" in inside


@pytest.mark.skipif(of_pdf.missing(), reason="needs WeasyPrint: the extra nsm[pdf]")
@pytest.mark.parametrize("which", ["document", pytest.param("tall", marks=pytest.mark.long)])
def test_sheets_of_the_pdf_are_numbered_and_cut_no_row_chart_or_alert(
    request: pytest.FixtureRequest, which: str
) -> None:
    import weasyprint

    text = request.getfixturevalue(which).read_text(encoding="utf-8")
    sheets = weasyprint.HTML(string=text).render().pages
    seen: dict[tuple[str, int], set[int]] = defaultdict(set)
    heads = 0
    for number, sheet in enumerate(sheets, 1):
        corners = [box for box in sheet._page_box.children if getattr(box, "at_keyword", "") == "@bottom-right"]
        texts = "".join(box.text for corner in corners for box in corner.descendants() if hasattr(box, "text"))
        assert texts == f"page {number} / {len(sheets)}"
        for box in sheet._page_box.descendants():
            if box.element is not None and box.element_tag in ("tr", "figure", "article", "h1", "h2"):
                is_head = box.element_tag == "tr" and box.element.find("th") is not None
                heads += is_head
                if not is_head:  # these are said again on each sheet
                    seen[box.element_tag, id(box.element)].add(number)
    kinds = Counter(tag for tag, _ in seen)
    assert (kinds["h1"], kinds["h2"]) == (1, len(SECTIONS))
    assert kinds["tr"] > 150
    assert kinds["figure"] == 5
    assert kinds["article"] == 3
    assert heads > text.count("<thead>")  # repeated where a table goes on
    assert [tag for (tag, _), on in seen.items() if len(on) != 1] == []


class Tree:
    """What the tags of a PDF of Chromium's say. ISO 32000-1, 14.7: elements (/S) with children, contents and their page (/Pg)."""

    def __init__(self, made: bytes) -> None:
        found = re.findall(rb"(\d+) 0 obj\s*(.*?)endobj", made, re.DOTALL)
        self._objects = {int(number): body for number, body in found if b"/StructElem" in body}
        self.pages = len(re.findall(rb"/Type /Page\b", made))

    def count(self, tag: str) -> int:
        """How many elements there are of a tag."""
        return len(self._of(tag))

    def pages_of(self, tag: str, child: str) -> list[set[bytes]]:
        """For each element of a tag that has children of another the sheets that its content is on."""
        inside = set(self._of(child))
        return [self._pages(number) for number in self._of(tag) if inside & set(self._children(number))]

    def _of(self, tag: str) -> list[int]:
        return [number for number, body in self._objects.items() if re.search(rb"/S /%b\b" % tag.encode(), body)]

    def _children(self, number: int) -> list[int]:
        found = re.search(rb"/K \[?(.*?)(?:\]|>>|$)", self._objects[number], re.DOTALL)
        named = (int(one) for one in re.findall(rb"(\d+) 0 R", found[1])) if found else ()
        return [one for one in named if one in self._objects]

    def _pages(self, number: int) -> set[bytes]:
        own = set(re.findall(rb"/Pg (\d+) 0 R", self._objects[number]))
        return own.union(*(self._pages(child) for child in self._children(number)))


def unpacked(made: bytes) -> bytes:
    """The objects of a PDF, those in compressed streams too."""
    parts = [made]
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", made, re.DOTALL):
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompress(stream))
    return b"\n".join(parts)


def keep(service: Service, document: Path) -> None:
    about = About(ID, "Monday", "ann", 1_763_733_600_000_000, 1_763_647_200_000_000, 1_763_733_600_000_000, "UTC",
                  "It is not all fine (score 83 of 100).", 83, {})  # fmt: skip
    Shelf(service.store.directory).keep(about, {"html": document.read_bytes(), "json": b"{}"}, 9)


def test_a_report_is_asked_for_and_scheduled(own_service: Service, new_page: OpenPage) -> None:
    page = new_page(own_service, "/reports")
    page.get_by_text("No reports yet").wait_for()
    page.get_by_test_id("report-last").select_option("7d")
    page.get_by_test_id("report-csv").check()
    page.get_by_role("button", name="Make report").click()
    page.wait_for_load_state("networkidle")
    call = next(call for call in own_service.control.calls if call[0] == "job")
    assert call[1:3] == ("report", "Last 7 days")
    assert (call[3]["last"], call[3]["formats"], call[3]["zone"]) == ("7d", ["html", "csv"], "UTC")
    assert (call[3]["scope"], call[3]["mail"]) == ("", False)
    page.get_by_test_id("report-scope").fill("192.168.1.20, 10.1.0.0/16")
    page.get_by_test_id("report-mail").check()
    page.get_by_test_id("report-every").fill("every 24h")
    page.get_by_role("button", name="Schedule").click()
    page.get_by_test_id("schedules").get_by_text("every 24h").wait_for()
    call = next(call for call in own_service.control.calls if call[0] == "add_schedule")
    assert [part["scope"] for part in call if isinstance(part, dict)] == ["192.168.1.20, 10.1.0.0/16"]
    assert [part["mail"] for part in call if isinstance(part, dict)] == [True]


def test_a_report_is_opened_downloaded_and_removed(own_service: Service, new_page: OpenPage, document: Path) -> None:
    keep(own_service, document)
    page = new_page(own_service, "/reports")
    row = page.get_by_test_id("reports").locator("tbody tr")
    assert "It is not all fine" in row.inner_text()
    with page.context.expect_page() as opened:
        page.get_by_label("Open Monday in a new tab").click()
    opened.value.get_by_role("heading", name="Network report").wait_for()
    with page.expect_download() as saved:
        page.get_by_label("Download Monday as json").click()
    assert saved.value.suggested_filename == f"nsm-report-{ID}.json"
    page.get_by_label("Remove the report Monday").click()
    page.get_by_text("No reports yet").wait_for()
    assert Shelf(own_service.store.directory).reports() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_is_for_everybody_and_fits(
    service: Service, new_page: OpenPage, document: Path, theme: str, width: int
) -> None:
    keep(service, document)
    page = new_page(service, "/reports", viewport={"width": width, "height": 900}, color_scheme=theme)
    page.get_by_test_id("reports").wait_for()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
