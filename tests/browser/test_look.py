"""Reach for everybody: axe, widths, focus, themes, colours, motion (ux.md 4.4: 6 to 11)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import AXE, OpenPage, ready
from tests.serve.kit import Service

WIDTHS = (360, 768, 1440)
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor"
LIGHT, DARK = "rgb(245, 246, 248)", "rgb(14, 17, 22)"


def violations(page: Page) -> list[Any]:
    """What axe finds, short enough to read."""
    if not AXE.is_file():
        pytest.skip("needs axe-core: make page")
    page.evaluate(AXE.read_text())
    found = page.evaluate("(tags) => axe.run({runOnly: {type: 'tag', values: tags}})", TAGS)
    return [(one["id"], node["html"][:160], node.get("failureSummary", "")[:300]) for one in found["violations"]
            for node in one["nodes"][:3]]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_with_panel_and_dialog(service: Service, new_page: OpenPage, theme: str, width: int) -> None:
    page = ready(new_page(service, viewport={"width": width, "height": 900}, color_scheme=theme))
    assert violations(page) == []
    page.locator("[data-testid=alerts] [data-id]").first.click()
    page.get_by_test_id("panel").get_by_text("What to do next").wait_for()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_test_id("user").click()
    page.get_by_role("menuitem", name="Clear logs").click()
    page.get_by_test_id("clear-counts").get_by_text("will be deleted").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_login_page(service: Service, new_page: OpenPage, theme: str) -> None:
    page = new_page(service, "/login", log_in=False, color_scheme=theme)
    page.wait_for_selector("form")
    assert violations(page) == []


@pytest.mark.parametrize(("width", "scale"), [(360, 1), (768, 1), (1440, 1), (720, 2)])
def test_no_sideways_scrolling_and_targets_large_enough(
    service: Service, new_page: OpenPage, width: int, scale: int
) -> None:  # 720 at scale 2 is 1440 zoomed to 200 %
    page = ready(new_page(service, viewport={"width": width, "height": 900}, device_scale_factor=scale))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate("""[...document.querySelectorAll('button, a[href], select, input')]
        .filter((one) => one.checkVisibility() && !one.matches('.skip'))
        .map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24)
        .map(([html, box]) => `${html} ${box.width}x${box.height}`)""")
    assert small == []
    page.locator("[data-testid=alerts] [data-id]").first.click()
    page.get_by_test_id("panel").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_theme_follows_the_system_the_switch_wins_and_reload_keeps_it(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service, color_scheme="dark"))
    assert page.evaluate(BACKGROUND) == DARK
    page.emulate_media(color_scheme="light")
    assert page.evaluate(BACKGROUND) == LIGHT
    page.get_by_test_id("theme").click()
    page.get_by_role("menuitemradio", name="Dark").click()
    assert page.evaluate(BACKGROUND) == DARK
    page.reload(wait_until="domcontentloaded")
    assert page.evaluate(BACKGROUND) == DARK


def test_first_paint_has_the_chosen_theme_before_any_script_of_the_page(service: Service, new_page: OpenPage) -> None:
    page = new_page(service, color_scheme="dark", quiet=False)
    page.evaluate("localStorage.setItem('nsm-theme', 'light')")
    page.route("**/assets/index-*.js", lambda route: route.abort())
    page.reload(wait_until="domcontentloaded")
    assert page.evaluate(BACKGROUND) == LIGHT


@pytest.mark.parametrize("media", [{"forced_colors": "active"}, {"contrast": "more"}])
def test_severity_is_readable_without_colour(service: Service, new_page: OpenPage, media: dict[str, Any]) -> None:
    page = ready(new_page(service))
    page.emulate_media(**media)
    badges = page.locator("[data-testid=alerts] .badge")
    shapes = {badge.inner_text(): badge.locator("path").get_attribute("d") for badge in badges.all()}
    assert set(shapes) == {"High", "Medium", "Low", "Info"}
    assert len(set(shapes.values())) == 4  # a shape each
    assert page.locator("[data-testid=alerts] [data-id]").first.get_attribute("data-id") == "A1"
    row = page.get_by_role("button", name="High Port scan")
    assert row.count() == 1  # the word is part of the accessible name


def test_reduced_motion_has_no_animation(service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(service, reduced_motion="reduce"))
    page.locator("[data-testid=alerts] [data-id]").first.click()
    page.get_by_test_id("panel").wait_for()
    running = "(one) => one.playState === 'running' && one.effect.getTiming().duration > 0"
    assert page.evaluate(f"document.getAnimations().filter({running}).length") == 0


def test_everything_is_reached_by_tab_with_a_visible_ring_and_escape_gives_focus_back(
    service: Service, new_page: OpenPage
) -> None:
    page = ready(new_page(service))
    names, rings = [], []
    for _ in range(80):
        page.keyboard.press("Tab")
        name, ring = page.evaluate("""() => { const one = document.activeElement, style = getComputedStyle(one)
            const box = getComputedStyle(one.closest('.filter-box') ?? one)
            return [one.dataset.testid || one.getAttribute('aria-label') || one.innerText.slice(0, 30),
                    style.outlineStyle !== 'none' || box.outlineStyle !== 'none'] }""")
        names.append(name)
        rings.append(ring or name == "")
        if name == "log-table":
            break
    assert all(rings), [name for name, ring in zip(names, rings, strict=True) if not ring]
    wanted = ["theme", "user", "threat-high", "filter", "chip-network_scan", "export", "log-table"]
    assert [name for name in names if name in wanted] == [
        "theme", "user", "threat-high", "export", "filter", "chip-network_scan", "log-table",
    ]  # fmt: skip
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_test_id("panel").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.keyboard.press("Escape")
    page.get_by_test_id("panel").wait_for(state="detached")
    assert page.evaluate("document.activeElement.dataset.testid") == "log-table"
