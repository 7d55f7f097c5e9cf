"""The page of health: what is wrong first, with its mend; processes, probes with their day, disk, log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from nsm.store.health import HealthStore
from tests.browser.conftest import OpenPage, fill
from tests.browser.test_look import violations
from tests.serve.kit import Heart, Service, backend, running

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A day of probes with an hour missing, and a log."""
    folder: Path = tmp_path_factory.mktemp("health")
    with backend(folder) as made:
        fill(made)
        store, now = HealthStore(folder), int(time.time())
        for step in range(144):
            if not 60 <= step < 66:
                values = {"probe.192.168.1.1.p95_ms": 2.0 + step % 5, "probe.192.168.1.1.loss": 0.01 * (step % 3)}
                store.add(now - 600 * (144 - step), values, 30)
        store.close()
        (folder / "nsm.log").write_text(f'{{"ts": "t", "level": "warning", "part": "p", "message": "{EVIL}"}}\n')
        with running(made) as live, Heart(made.feed):
            yield live


def test_what_is_wrong_is_first_and_has_its_mend(healthy: Service, new_page: OpenPage) -> None:
    page = new_page(healthy, "/")
    page.get_by_test_id("nav-health").click()
    rows = page.get_by_test_id("verdicts").locator("li")
    rows.first.wait_for()
    assert [rows.nth(n).get_attribute("data-state") for n in range(3)] == ["warn", "note", "ok"]
    assert "capture.ring_mb 128" in rows.first.inner_text()


def test_probes_show_loss_times_and_a_day_with_its_gap(healthy: Service, new_page: OpenPage) -> None:
    page = new_page(healthy, "/health")
    probes = page.get_by_test_id("health-probes").locator("li")
    probes.first.wait_for()
    assert "Loss 10 % in the last minute, 1 % in 15 minutes." in probes.first.inner_text()
    assert "median 1.2 ms, 95 % within 4.0 ms, longest 9.5 ms, jitter 0.4 ms" in probes.first.inner_text()
    assert "It has not answered any probe yet" in probes.nth(1).inner_text()
    assert probes.first.locator("svg").first.locator("polyline").count() == 2


def test_machine_processes_interfaces_and_log_are_shown(healthy: Service, new_page: OpenPage) -> None:
    page = new_page(healthy, "/health")
    page.get_by_test_id("forecast").get_by_text("full in 42 days").wait_for()
    assert "Temperature" not in page.get_by_test_id("health-machine").inner_text()
    processes = page.get_by_test_id("health-processes").locator("tbody tr")
    assert "down" in processes.nth(1).inner_text()
    interfaces = page.get_by_test_id("health-interfaces").locator("tbody tr")
    assert "4.1 Mbit/s" in interfaces.first.inner_text()
    assert "no carrier" in interfaces.nth(1).inner_text()
    assert EVIL in page.get_by_test_id("log-tail").inner_text()  # as text


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_it_is_for_everybody_and_fits(healthy: Service, new_page: OpenPage, theme: str, width: int) -> None:
    page: Page = new_page(healthy, "/health", viewport={"width": width, "height": 900}, color_scheme=theme)
    page.get_by_test_id("log-tail").wait_for()
    page.get_by_test_id("health-probes").locator("svg").first.wait_for()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
