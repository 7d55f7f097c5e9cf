"""The real server over a scripted feed, and a browser that is logged in and complains of everything."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page

from nsm.model.finding import Severity
from nsm.serve.page import STATIC
from tests.serve.kit import PASSWORD, Heart, Service, backend, make_alert, make_flows, running

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
FLOWS = 1_500
CSP_WATCH = """
window.__csp = []
document.addEventListener('securitypolicyviolation',
    (event) => window.__csp.push(event.violatedDirective + ' ' + event.blockedURI))
"""

CHART_DRAWN = '[data-testid=chart]:not([data-points="0"])'  # no wait_for_function: the page's policy forbids eval

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a browser or the built page is skipped without; with CI set it fails instead."""
    missing = "chromium: scripts/system-deps browser" if not CHROMIUM else ""
    missing = missing or ("the built page: make page" if not (STATIC / "index.html").is_file() else "")
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            if missing and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason=f"needs {missing}"))


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """The machine's chromium; without its sandbox for root, which cannot have one."""
    return {"executable_path": CHROMIUM, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}


def fill(service: Service) -> None:
    """Flows and alerts of the last hour; the score of ``second`` names one high alert and two new hosts."""
    now = time.time()
    service.accounts.add_user("admin", PASSWORD)
    service.store.add(
        make_flows([now - 3000 + 1.5 * i for i in range(FLOWS - 300)]),
        make_flows([now - 2000 + i for i in range(300)], "dns"),
        alerts=[
            make_alert(1, now - 600),
            make_alert(2, now - 1200, severity=Severity.MEDIUM, kind="flood", signature="SYN flood"),
            make_alert(3, now - 1800, severity=Severity.LOW, kind="new_host", signature="New host"),
            make_alert(4, now - 1900, severity=Severity.LOW, kind="new_host", signature="New host"),
            make_alert(5, now - 2400, severity=Severity.INFO, kind="large_packet", signature="Large packet", count=1),
        ],
    )  # fmt: skip


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The server that most tests share; a second comes every second. Tests leave it as they found it."""
    with backend(tmp_path_factory.mktemp("store")) as made:
        fill(made)
        with running(made) as live, Heart(made.feed):
            yield live


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Service]:
    """A server for a test that changes its store or its capture for good."""
    with backend(tmp_path) as made:
        fill(made)
        with running(made) as live, Heart(made.feed):
            yield live


@pytest.fixture
def new_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens a page of a service in a new browser profile, logged in; fails on any complaint of the browser."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        complaints.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def open_page(
        service: Service, path: str = "/", *, log_in: bool = True, quiet: bool = True, **options: Any
    ) -> Page:
        chosen = {"viewport": {"width": 1440, "height": 900}, "locale": "en-US", "timezone_id": "UTC",
                  "color_scheme": "light", "base_url": service.url, "reduced_motion": "reduce"} | options  # fmt: skip
        context = browser.new_context(**chosen)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        if log_in:
            answer = context.request.post("/api/v1/login", data={"name": "admin", "password": PASSWORD})
            assert answer.ok
        page = context.new_page()
        page.add_init_script(CSP_WATCH)
        if quiet:
            page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", dismiss)
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            complaints += page.evaluate("window.__csp ?? []")
        context.close()
    assert complaints == []


def ready(page: Page) -> Page:
    """The page once its chart moves and its log has rows."""
    page.wait_for_selector(CHART_DRAWN)
    page.wait_for_selector("[data-testid=log-table] [data-key]")
    page.wait_for_selector("[data-testid=alerts] [data-id]")
    return page


def total_of(page: Page) -> int:
    """The number of rows that the log says it has."""
    return int(page.get_attribute("[data-testid=total]", "data-total") or -1)


def wait_total(page: Page, total: int) -> None:
    """Wait until the log has so many rows."""
    page.wait_for_selector(f'[data-testid=total][data-total="{total}"]')
