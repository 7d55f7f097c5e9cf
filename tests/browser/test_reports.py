"""Reports in a browser: the file alone and offline, on paper, and the page that makes and lists them."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request

from nsm.report import pdf as of_pdf
from nsm.report.html import page as page_of
from nsm.report.render import render
from nsm.report.sections import SECTIONS
from nsm.report.shelf import About, Shelf
from tests.browser.conftest import OpenPage
from tests.browser.test_look import violations
from tests.report.kit import build, facts_of
from tests.serve.kit import Service

ID = "20251121T140000Z-abcdef"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "day.html"
    path.write_text(page_of(facts_of(build(folder / "store"))), encoding="utf-8")
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


@pytest.mark.skipif(of_pdf.missing(), reason="needs WeasyPrint: the extra nsm[pdf]")
def test_the_pdf_has_numbered_pages(tmp_path: Path) -> None:
    made = render(facts_of(build(tmp_path)), "pdf")
    assert made.startswith(b"%PDF")
    assert len(re.findall(rb"/Type /Page\b", unpacked(made))) >= 5


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
