"""The page of settings: users, their roles, tokens for programs."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest

from nsm.store.jobs import JobStore
from tests.browser.conftest import OpenPage
from tests.browser.test_look import violations
from tests.serve.kit import PASSWORD, Service


def test_a_user_is_invited_by_a_link_that_works_and_can_be_removed(own_service: Service, new_page: OpenPage) -> None:
    page = new_page(own_service, "/settings")
    page.get_by_test_id("user-name").fill("mia")
    page.get_by_test_id("user-role").select_option("analyst")
    page.get_by_role("button", name="Add user").click()
    link = page.get_by_test_id("user-link").locator("code").inner_text()
    other = new_page(own_service, link.removeprefix(own_service.url), log_in=False)
    other.locator("input[type=password]").first.fill("battery staple")
    other.locator("button[type=submit]").click()
    other.get_by_test_id("verdict").wait_for()
    other.get_by_test_id("nav-settings").click()
    other.get_by_test_id("token-label").wait_for()
    assert other.get_by_test_id("users").count() == 0  # an analyst sees nobody else
    assert other.get_by_test_id("config-find").count() == 0
    assert other.locator(".pill-act").count() == 0
    page.get_by_label("Role of mia").select_option("viewer")
    page.get_by_text("mia is viewer now").wait_for()
    page.get_by_role("button", name="Remove mia").click()
    page.get_by_text("mia was removed").wait_for()
    page.get_by_label("Role of mia").wait_for(state="detached")


def test_a_token_is_shown_once_works_and_can_be_ended(own_service: Service, new_page: OpenPage) -> None:
    page = new_page(own_service, "/settings")
    page.get_by_test_id("token-label").fill("nightly export")
    page.get_by_role("button", name="Make token").click()
    token = page.get_by_test_id("token-made").locator("code").inner_text()
    asked = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{own_service.url}/api/v1/alerts", headers=asked, trust_env=False).status_code == 200
    page.reload()
    page.get_by_text("nightly export").wait_for()
    assert token not in page.content()
    page.get_by_role("button", name="End token").click()
    page.get_by_text("No tokens yet").wait_for()
    assert httpx.get(f"{own_service.url}/api/v1/alerts", headers=asked, trust_env=False).status_code == 401


def test_what_the_server_refuses_is_said(own_service: Service, new_page: OpenPage) -> None:
    own_service.accounts.add_user("mia", PASSWORD, "viewer")
    page = new_page(own_service, "/settings", quiet=False)  # the browser complains of the refusal
    page.get_by_test_id("user-name").fill("mia")
    page.get_by_role("button", name="Add user").click()
    page.get_by_text("there is already a user mia").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_it_is_for_everybody_and_fits(service: Service, new_page: OpenPage, theme: str, width: int) -> None:
    page = new_page(service, "/settings", viewport={"width": width, "height": 900}, color_scheme=theme)
    page.get_by_test_id("users").wait_for()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_channels_of_messages_are_shown_and_tested(own_service: Service, new_page: OpenPage) -> None:
    page = new_page(own_service, "/settings", quiet=False)  # the browser complains of the one that fails
    table = page.get_by_test_id("channels")
    table.wait_for()
    assert "fails mail: connection refused" in table.inner_text()
    page.get_by_role("button", name="Send a test to webhook").click()
    page.get_by_text("The test went to webhook").wait_for()
    page.get_by_role("button", name="Send a test to mail").click()
    page.locator(".problem").get_by_text("mail: connection refused").first.wait_for()
    assert ("test_channel", "webhook") in own_service.control.calls


def test_schedules_of_every_kind_are_here(own_service: Service, new_page: OpenPage) -> None:
    with closing(JobStore(own_service.store.directory)) as jobs:
        for kind, name in (("scan", "nightly"), ("report", "monday")):
            jobs.add_schedule(kind, name, "every 6h", {}, "ann")
    page = new_page(own_service, "/settings")
    table = page.get_by_test_id("schedules")
    table.get_by_text("monday").wait_for()
    page.get_by_role("button", name="Remove the schedule nightly").click()
    table.get_by_text("nightly").wait_for(state="detached")
    assert "monday" in table.inner_text()


def test_a_setting_is_found_changed_and_taken_back(own_service: Service, new_page: OpenPage) -> None:
    page = new_page(own_service, "/settings", quiet=False)  # the browser complains of the value that is refused
    page.get_by_test_id("config-find").fill("outside the local networks")
    row = page.get_by_test_id("setting-detect.port_scan.minute_ports")
    field = row.locator("input")
    default = field.input_value()
    assert f"Default: {default}" in row.inner_text()
    assert "at its default" in row.inner_text()
    field.fill("44")
    row.get_by_role("button", name="Save").click()
    row.get_by_text("from: page").wait_for()
    page.get_by_text("analyst was started anew").wait_for()
    page.reload()
    page.get_by_test_id("config-find").fill("port_scan")
    assert field.input_value() == "44"
    field.fill("many")
    field.press("Enter")
    row.get_by_role("alert").wait_for()
    assert "detect.port_scan.minute_ports" in row.get_by_role("alert").inner_text()
    row.get_by_role("button", name="Take back").click()
    row.get_by_text("at its default").wait_for()
    assert field.input_value() == default
    assert violations(page) == []
