"""The event log: filters, live rows, sampling, export, deep links (ux.md 4.4: 13, 21, 22, 24, 27)."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import FLOWS, OpenPage, ready, total_of, wait_total
from tests.serve.kit import Service, log_row


def kinds(page: Page) -> set[str]:
    return set(page.locator("[data-testid=log-table] [data-key] .kind-word").all_inner_texts())


@pytest.mark.parametrize(("chip", "total", "kind"), [
    ("high", 1, "Port scan"), ("medium", 1, "Flood"), ("low", 2, "New host"), ("network_scan", 1, "Port scan"),
    ("large_packet", 1, "Large packet"), ("normal_traffic", FLOWS, "Normal traffic"),
])  # fmt: skip
def test_a_preset_chip_filters_and_back_takes_it_away(
    service: Service, new_page: OpenPage, chip: str, total: int, kind: str
) -> None:
    page = ready(new_page(service))
    wait_total(page, FLOWS + 5)
    page.get_by_test_id(f"chip-{chip}").click()
    wait_total(page, total)
    expect(page.locator("[data-testid=log-table] [data-key]").first).to_be_visible()
    assert kinds(page) == {kind}
    assert page.get_by_test_id(f"chip-{chip}").get_attribute("aria-pressed") == "true"
    page.go_back()
    wait_total(page, FLOWS + 5)


def test_an_empty_log_names_the_chip_that_empties_it(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service))
    page.get_by_test_id("chip-external_connection").click()
    empty = page.get_by_test_id("log-empty")
    expect(empty).to_contain_text("0 rows match.")
    empty.get_by_role("button", name="Remove kind:external_connection (1,505 would match)").click()
    wait_total(page, FLOWS + 5)


def test_search_and_a_mistake_in_the_filter(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service))
    page.keyboard.press("/")
    page.keyboard.type("app:dns")
    wait_total(page, 300)
    page.get_by_test_id("filter").fill("nosuch:1")
    expect(page.locator("#filter-error")).to_contain_text("there is no field 'nosuch'")
    assert total_of(page) == 300  # a mistake changes nothing
    page.get_by_test_id("filter").fill("SYN")
    wait_total(page, 1)


def test_a_click_on_an_address_filters_by_it_and_with_alt_excludes_it(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service))
    page.locator("[data-testid=log-table] .td-src .value").first.click()
    page.wait_for_url("**/?q=host:*")
    inside = total_of(page)
    page.go_back()
    wait_total(page, FLOWS + 5)
    page.locator("[data-testid=log-table] .td-src .value").first.click(modifiers=["Alt"])
    page.wait_for_url("**/?q=-host:*")
    assert 0 <= inside <= FLOWS + 5


def test_export_has_exactly_the_rows_that_the_page_counts(service: Service, new_page: OpenPage, tmp_path: Path) -> None:
    page = ready(new_page(service))
    for chip, total in (("normal_traffic", FLOWS), ("low", FLOWS + 2)):
        page.get_by_test_id(f"chip-{chip}").click()
        if chip == "low":
            page.get_by_test_id("filter").fill("severity:low or kind:normal_traffic")
        wait_total(page, total)
        with page.expect_download() as download:
            page.get_by_test_id("export").click()
        file = tmp_path / "rows.csv"
        download.value.save_as(file)
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert len(rows) == len({row["Flow ID"] or row["Alert ID"] for row in rows}) == total
        assert download.value.suggested_filename.startswith("nsm-events_20")
        assert "Z" in download.value.suggested_filename


def test_a_copied_link_shows_the_same_rows_and_panel_elsewhere(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service, timezone_id="Europe/Berlin"))
    page.get_by_test_id("chip-low").click()
    wait_total(page, 2)
    page.locator("[data-testid=log-table] [data-key] .td-details").first.click()
    page.get_by_test_id("panel").wait_for()
    page.keyboard.press("y")
    page.get_by_text("Link copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    query = parse_qs(urlsplit(link).query)
    assert query["tz"] == ["Europe/Berlin"]
    assert abs(float(query["to"][0]) - time.time()) < 60
    rows = page.locator("[data-testid=log-table] [data-key]").all_inner_texts()
    title = page.get_by_test_id("panel").get_by_role("heading").first.inner_text()
    other = ready(new_page(service, link.removeprefix(service.url)))
    wait_total(other, 2)
    other.get_by_test_id("panel").wait_for()
    assert other.get_by_test_id("panel").get_by_role("heading").first.inner_text() == title
    assert other.locator("[data-testid=log-table] [data-key]").all_inner_texts() == rows
    assert other.get_by_test_id("range").input_value() == "fixed"
    other.keyboard.press("Escape")
    other.get_by_test_id("panel").wait_for(state="detached")
    other.go_back()
    other.get_by_test_id("panel").wait_for()
    other.go_forward()
    other.get_by_test_id("panel").wait_for(state="detached")


def test_score_is_100_less_its_deductions_and_each_opens_as_many_rows_as_it_counts(
    service: Service, new_page: OpenPage
) -> None:
    page = ready(new_page(service))
    lines = page.get_by_test_id("deduction").all_inner_texts()
    points = [int(line.split()[0].replace("\N{MINUS SIGN}", "")) for line in lines]
    assert int(page.get_by_test_id("score").inner_text()) == 100 - sum(points) == 85
    for index, line in enumerate(lines):
        page.get_by_test_id("deduction").nth(index).click()
        wait_total(page, int(line.split()[-1]))


def test_live_rows_come_on_top_wait_while_a_person_reads_and_are_sampled_with_a_word(
    service: Service, new_page: OpenPage
) -> None:
    page = ready(new_page(service))
    page.mouse.move(5, 5)
    page.wait_for_timeout(3_500)  # until the page has asked the store a second time: what it counts is settled
    start = total_of(page)
    first = page.locator("[data-testid=log-table] [data-key]").first

    def push(count: int, base: int) -> None:
        service.feed.push("rows", seen=count, rows=[log_row(base + number, time.time()) for number in range(count)])

    push(5, 100_000)
    wait_total(page, start + 5)
    expect(first).to_contain_text("192.168.1.6")
    assert page.get_by_test_id("sampling").count() == 0
    page.get_by_test_id("log-table").hover()
    push(7, 200_000)
    expect(page.get_by_test_id("held")).to_have_text("7 new, press .")
    expect(first).to_contain_text("192.168.1.6")
    page.keyboard.press(".")
    expect(first).to_contain_text("192.168.1.8")
    page.mouse.move(5, 5)
    push(5_000, 300_000)
    expect(page.get_by_test_id("sampling")).to_contain_text(
        "5,000 rows/s match; the table shows a fair sample of 200/s"
    )
    wait_total(page, start + 5_012)
    expect(page.get_by_test_id("sampling")).to_have_count(0)


def test_pause_stops_the_rows_and_resume_brings_them(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service))
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Resume").wait_for()
    wait_total(page, FLOWS + 5)
    service.feed.push("rows", seen=3, rows=[log_row(400_000 + number, time.time()) for number in range(3)])
    page.wait_for_timeout(2_200)
    assert total_of(page) == FLOWS + 5


def test_a_row_opens_by_keyboard_and_shows_its_flow(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service, "/?q=app:dns"))
    wait_total(page, 300)
    page.get_by_test_id("log-table").focus()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    panel = page.get_by_test_id("panel")
    expect(panel).to_contain_text("dst_port")
    expect(panel).to_contain_text("203.0.113.9")


def test_german_numbers_and_a_chosen_time_zone(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service, locale="de-DE", timezone_id="Europe/Berlin", color_scheme="dark"))
    expect(page.get_by_test_id("total")).to_have_text("1.505 rows")
    shown = page.locator("[data-testid=log-table] time").first.inner_text()
    page.get_by_test_id("zone").click()
    page.get_by_role("menuitemradio", name="UTC").click()
    page.wait_for_url("**/?tz=UTC")
    expect(page.locator("[data-testid=log-table] time").first).not_to_have_text(shown)
