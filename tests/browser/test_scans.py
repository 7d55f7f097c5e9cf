"""The page of scans: start, schedule, look at, compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from nsm.model.scan import PortState, Risk, Scan, ScannedHost, ScannedPort, ScanState, Service
from nsm.store.scans import ScanStore
from tests.browser.conftest import OpenPage, fill
from tests.browser.test_look import violations
from tests.serve.kit import Heart, backend, running
from tests.serve.kit import Service as Server

RISK = Risk("telnet-open", "medium", "Telnet is open", "Passwords cross the network in clear.", "Use SSH instead.")
EVIL = "<img src=x onerror=alert(1)>"


def scan(number: str, started_s: int, ports: tuple[ScannedPort, ...]) -> Scan:
    hosts = (ScannedHost("10.0.0.7", "printer", "02:00:00:00:00:07", "arp", 0.4, counts={"closed": 1_022}),)
    return Scan(
        number, started_s * 1_000_000, (started_s + 4) * 1_000_000, ("10.0.0.0/29",), "1-1024", {"method": "syn"},
        ScanState.COMPLETE, 1_030, 1_024, 0.01, {"tcp": "1-1024"}, hosts, ports,
    )  # fmt: skip


def port(number: int, name: str, product: str = "", risks: tuple[Risk, ...] = ()) -> ScannedPort:
    service = Service(name, product, "1.0", "banner", 0.9, banner=EVIL, risks=risks)
    return ScannedPort("10.0.0.7", "tcp", number, PortState.OPEN, "syn-ack", 64, 1, 0.4, service)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two scans of one network: the second finds a port more."""
    folder: Path = tmp_path_factory.mktemp("scans")
    with backend(folder) as made:
        fill(made)
        store = ScanStore(folder)
        store.save(scan("aaa", 1_700_000_000, (port(80, "http", EVIL),)), "ann")
        store.save(scan("bbb", 1_700_086_400, (port(23, "telnet", "", (RISK,)), port(80, "http", EVIL))), "ann")
        store.close()
        with running(made) as live, Heart(made.feed):
            yield live


def test_a_scan_shows_its_ports_changes_and_weaknesses(scanned: Server, new_page: OpenPage) -> None:
    page = new_page(scanned, "/scans")
    page.get_by_test_id("scans").get_by_role("button").first.click()
    assert page.get_by_test_id("scan-changes").inner_text() == "10.0.0.7 23/tcp is open now: telnet (1.0)"
    assert "Telnet is open" in page.get_by_test_id("scan-risks").inner_text()
    rows = page.get_by_test_id("scan-found").locator("tbody tr")
    assert rows.count() == 2
    assert EVIL in rows.last.inner_text()  # as text
    assert "1,022 more ports closed" in page.locator("main").inner_text()
    page.reload()
    page.get_by_test_id("scan-changes").wait_for()  # the address names the scan
    page.go_back()
    page.get_by_test_id("scans").wait_for()


def test_a_scan_is_started_and_its_progress_followed(scanned: Server, new_page: OpenPage) -> None:
    page = new_page(scanned, "/scans")
    page.get_by_test_id("scan-targets").fill("10.0.0.7, 10.0.0.9")
    page.get_by_test_id("scan-ports").fill("22,80")
    page.get_by_role("button", name="Scan", exact=True).click()
    page.wait_for_timeout(300)
    asked = next(call for call in scanned.control.calls if call[0] == "job")
    assert (asked[1], asked[3]["targets"], asked[3]["ports"]) == ("scan", ["10.0.0.7", "10.0.0.9"], "22,80")
    job = {"id": 9, "kind": "scan", "name": "10.0.0.7", "state": "running", "since": 1.0}
    scanned.feed.push("job", job={**job, "progress": {"stage": "ports", "done": 40, "total": 100, "open": 2}})
    page.get_by_test_id("scan-running").get_by_text("ports: 40 of 100, 2 open").wait_for()
    page.get_by_role("button", name="Cancel 10.0.0.7").click()
    scanned.feed.push("job", job={**job, "state": "cancelled", "progress": {}})
    page.get_by_test_id("scan-running").wait_for(state="detached")
    assert ("cancel_job", 9) in scanned.control.calls


def test_what_may_be_another_s_is_typed_twice(scanned: Server, new_page: OpenPage) -> None:
    page = new_page(scanned, "/scans")
    page.get_by_test_id("scan-targets").fill("192.0.2.7, 192.0.2.8")
    start = page.get_by_role("button", name="Scan", exact=True)
    assert start.is_enabled()
    page.get_by_label("The owner of addresses").check()
    assert start.is_disabled()
    page.get_by_test_id("scan-confirm").fill("192.0.2.7")
    assert start.is_disabled()
    page.get_by_test_id("scan-confirm").fill("192.0.2.7 192.0.2.8")
    assert start.is_enabled()


def test_a_scan_is_scheduled_switched_off_and_removed(scanned: Server, new_page: OpenPage) -> None:
    page = new_page(scanned, "/scans")
    page.get_by_test_id("scan-targets").fill("10.0.0.0/29")
    page.get_by_test_id("scan-every").fill("every 12h")
    page.get_by_role("button", name="Schedule", exact=True).click()
    row = page.get_by_test_id("schedules").locator("tbody tr")
    row.get_by_text("every 12h").wait_for()
    row.get_by_role("checkbox").click()
    row.get_by_text("off").wait_for()
    row.get_by_role("button").click()
    page.get_by_test_id("schedules").wait_for(state="detached")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("path", ["/scans", "/scans?sel=scan:bbb"])
def test_it_is_for_everybody_and_fits(scanned: Server, new_page: OpenPage, theme: str, width: int, path: str) -> None:
    page: Page = new_page(scanned, path, viewport={"width": width, "height": 900}, color_scheme=theme)
    page.get_by_test_id("scan-found" if "sel" in path else "scans").wait_for()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
