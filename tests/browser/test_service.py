"""Capture, connection, clearing, log-in, hostile words (ux.md 4.4: 12, 15 to 17, 19, 29, 30)."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from nsm.errors import CapturePermissionError
from nsm.model.finding import Explain
from tests.browser.conftest import FLOWS, OpenPage, fill, ready, total_of, wait_total
from tests.browser.link import Wire
from tests.serve.kit import PASSWORD, Heart, Service, backend, capture_state, log_row, make_alert, running, second

HOSTILE = [
    "<script>alert(1)</script>", "javascript:alert(1)", "<svg onload=alert(1)>", "<img src=x onerror=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}", "\u202egnp.exe", "a\0b", "x" * 65_536, "\x1b[31mred\x1b[0m",
    "'\"><b>bold</b>", "%s%n", "=1+1",
]  # fmt: skip


def test_capture_stops_and_starts_from_the_pill_and_a_second_browser_sees_it(
    own_service: Service, new_page: OpenPage
) -> None:
    page, other = ready(new_page(own_service)), ready(new_page(own_service))
    pill = page.get_by_test_id("pill")
    pill.get_by_role("button", name="Stop capture").click()
    expect(other.get_by_test_id("banner-stopped")).to_be_visible(timeout=2_000)
    expect(other.get_by_test_id("score-none")).to_have_text("Capture is stopped")
    expect(page.get_by_test_id("verdict")).to_contain_text("One thing needs you")
    pill.get_by_role("button", name="Capture stopped").click()
    page.get_by_test_id("iface-wlan0").click()
    expect(other.get_by_test_id("pill")).to_contain_text("Capturing wlan0", timeout=2_000)
    assert own_service.control.calls == [("stop",), ("start", "wlan0", None, None, None)]


def test_no_permission_says_why_and_how_to_mend_it(own_service: Service, new_page: OpenPage) -> None:
    own_service.control.refuse = CapturePermissionError(
        "cannot capture on eth0: permission denied",
        where="AF_PACKET socket, interface eth0, uid 1000",
        mend="sudo nsm run",
    )
    page = ready(new_page(own_service, quiet=False))
    page.get_by_test_id("pill").get_by_role("button", name="Stop capture").click()
    page.get_by_test_id("pill").get_by_role("button", name="Start capture").click()
    problem = page.locator(".banners .problem")
    expect(problem).to_contain_text("cannot capture on eth0: permission denied")
    expect(problem).to_contain_text("AF_PACKET socket, interface eth0, uid 1000")
    expect(problem).to_contain_text("sudo nsm run")
    problem.get_by_role("button", name="Retry").click()
    expect(problem).to_have_count(0)


def test_demo_and_gaps_and_drops_are_marked(own_service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(own_service))
    own_service.feed.push("capture", **capture_state("demo"))
    expect(page.get_by_test_id("banner-demo")).to_contain_text("It is not your network")
    expect(page).to_have_title("netsecmonitor, demo")
    own_service.feed.push(
        "gap", what="The worker died", **{"from": 1_763_733_731, "to": 1_763_733_736}, process="worker eth0"
    )
    expect(page.get_by_test_id("banner-gap")).to_contain_text(
        "Not monitored from 14:02:11 to 14:02:16: The worker died"
    )
    own_service.feed.push("second", **second(time.time(), v={"drops_kernel": 18_220}))
    expect(page.get_by_test_id("banner-drops")).to_contain_text("18,220 packets were dropped")


def points(page: Page) -> list[int]:
    """The seconds of the chart's table, which tell of gaps in it."""
    page.get_by_role("button", name="Show as table").first.click()
    texts = page.locator(".chart-table tbody th").all_inner_texts()
    page.get_by_role("button", name="Show as chart").first.click()
    return [int(h) * 3600 + int(m) * 60 + int(s) for h, m, s in (text.split(":") for text in texts)]


def test_a_cut_of_ten_seconds_is_told_and_leaves_no_gap_in_the_chart(own_service: Service, new_page: OpenPage) -> None:
    with Wire(own_service.url) as wire:
        own_service.url = wire.url
        page = ready(new_page(own_service, quiet=False))
        page.wait_for_timeout(2_000)
        wire.cut()
        stale = page.get_by_test_id("banner-stale")
        expect(stale).to_be_visible(timeout=6_000)
        expect(page).to_have_title("(stale) netsecmonitor")
        assert float(page.locator(".stats").evaluate("(one) => getComputedStyle(one).opacity")) < 1
        page.wait_for_timeout(4_500)
        wire.mend()
        expect(stale).to_have_count(0, timeout=3_000)
        page.wait_for_timeout(1_500)
        seconds = points(page)
        assert len(seconds) > 12
        assert {a - b for a, b in pairwise(seconds)} <= {1}


def test_a_restarted_server_gives_a_new_snapshot_and_keeps_filter_panel_and_rows(
    tmp_path: Path, new_page: OpenPage
) -> None:
    with backend(tmp_path) as service, Heart(service.feed):
        fill(service)
        with running(service) as first:
            page = ready(new_page(first, "/?q=app:dns&sel=alert:A1", quiet=False))
            wait_total(page, 300)
            page.mouse.move(5, 5)
            rows = page.locator("[data-testid=log-table] [data-key]").all_inner_texts()
            address = first.url.removeprefix("http://")
        expect(page.get_by_test_id("banner-stale")).to_be_visible(timeout=8_000)
        with running(service, listen=address) as again:
            expect(page.get_by_test_id("banner-stale")).to_have_count(0, timeout=5_000)
            page.wait_for_timeout(3_500)
            assert page.url == f"{again.url}/?q=app:dns&sel=alert:A1"
            assert page.get_by_test_id("panel").get_by_text("What to do next").is_visible()
            assert page.locator("[data-testid=log-table] [data-key]").all_inner_texts() == rows
            assert total_of(page) == 300
            again.feed.push("rows", seen=1, rows=[log_row(1, time.time(), app="dns", dest_port=53)])
            wait_total(page, 301)


def test_hostile_words_are_text_everywhere(own_service: Service, new_page: OpenPage) -> None:
    now = time.time()
    alerts = [
        make_alert(100 + number, now - number, signature=word, src_ip=word, dest_ip=word,
                   explain=Explain(word, word, (word,), (word,), (word,), (word,)))
        for number, word in enumerate(HOSTILE)
    ]  # fmt: skip
    own_service.store.add(alerts=alerts)
    rows = [
        log_row(number, now, src_ip=word, dest_ip=word, proto=word, details=word) for number, word in enumerate(HOSTILE)
    ]
    page = ready(new_page(own_service))
    page.wait_for_timeout(1_200)  # until the page has asked for live rows
    for alert in alerts:
        own_service.feed.push("alert", alert=alert.as_dict())
    own_service.feed.push("rows", seen=len(rows), rows=rows)
    error: dict[str, Any] = {"title": HOSTILE[0], "detail": HOSTILE[2], "where": HOSTILE[3]}
    error["fix"] = [{"text": HOSTILE[4], "cmd": HOSTILE[9]}]
    own_service.feed.push("capture", **capture_state("failed", error=error))
    own_service.feed.push("gap", what=HOSTILE[2], **{"from": now - 5, "to": now}, process=HOSTILE[3])
    talkers = [
        {"ip": word[:60], "name": word, "local": True, "bytes_in": 5, "bytes_out": 5, "flows": 1} for word in HOSTILE
    ]
    protocols = [{"key": word[:60], "label": word[:60], "bytes": 5, "pkts": 1} for word in HOSTILE]
    own_service.feed.push("second", **second(now, talkers=talkers, protocols=protocols))
    details = page.locator("[data-testid=log-table] .td-details")
    expect(details.filter(has_text="<script>alert(1)</script>").first).to_be_visible()  # of the row, or its alert
    expect(details.filter(has_text="⟨U+202E⟩gnp.exe").first).to_be_visible()
    expect(details.filter(has_text="␛[31mred").first).to_be_visible()
    for number in range(len(HOSTILE)):
        page.locator(f"[data-id=A{100 + number}]").click()
        page.get_by_test_id("panel").get_by_text("What to do next").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert page.locator("script:not([src]), main svg[onload], main img[src=x], main b:has-text('bold')").count() == 0
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_clearing_needs_the_word_says_how_much_and_reaches_everybody(own_service: Service, new_page: OpenPage) -> None:
    page, other = ready(new_page(own_service)), ready(new_page(own_service))
    page.get_by_test_id("user").click()
    page.get_by_role("menuitem", name="Clear logs").click()
    dialog = page.get_by_test_id("clear-dialog")
    expect(page.get_by_test_id("clear-counts")).to_contain_text(f"{FLOWS:,} flows and 5 alerts, from ")
    delete = dialog.get_by_role("button", name="Delete", exact=True)
    expect(delete).to_be_disabled()
    dialog.get_by_label("Type clear to confirm").fill("nope")
    expect(delete).to_be_disabled()
    dialog.get_by_label("Type clear to confirm").fill("clear")
    delete.click()
    expect(page.locator(".toast")).to_have_text(f"Logs cleared: {FLOWS:,} rows and 5 alerts.")
    wait_total(other, 0)
    expect(other.locator("[data-testid=alerts]")).to_have_count(0)
    assert own_service.accounts.audit_log(1)[0]["action"] == "logs cleared"


def test_first_visit_sets_one_password_and_the_token_leaves_the_address(tmp_path: Path, new_page: OpenPage) -> None:
    with backend(tmp_path) as made, running(made) as live, Heart(live.feed):
        page = new_page(live, f"/login#link={made.accounts.make_login_link('admin')}", log_in=False)
        page.get_by_text("Choose the password of admin").wait_for()
        assert page.url == f"{live.url}/login"
        page.get_by_label("New password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{live.url}/")
        expect(page.get_by_test_id("log-empty")).to_have_text(
            "No events yet. They appear here as soon as there is traffic."
        )
        expect(page.get_by_test_id("verdict")).to_contain_text("Nothing needs you.")


def test_five_wrong_tries_then_waiting_and_a_deep_link_survives_the_log_in(
    own_service: Service, new_page: OpenPage
) -> None:
    page = new_page(own_service, "/?q=app:dns", log_in=False, quiet=False)
    page.wait_for_url("**/login?next=**")
    for _ in range(5):
        page.get_by_label("Password", exact=True).fill("wrong wrong")
        with page.expect_response("**/api/v1/login") as answer:
            page.keyboard.press("Enter")
        assert answer.value.status == 401
        expect(page.locator(".problem")).to_contain_text("wrong name or password")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".problem")).to_contain_text("too many wrong passwords. try again in")
    page.wait_for_timeout(1_100)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{own_service.url}/?q=app:dns")
    wait_total(page, 300)


def test_log_out_ends_the_session_in_all_tabs(own_service: Service, new_page: OpenPage) -> None:
    page = ready(new_page(own_service))
    tab = page.context.new_page()
    tab.goto("/")
    ready(tab)
    page.get_by_test_id("user").click()
    page.get_by_role("menuitem", name="Log out").click()
    for one in (page, tab):
        one.wait_for_url("**/login*", timeout=3_000)
    tab.get_by_text("You were logged out.").wait_for()


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.slow)])
def test_five_thousand_rows_a_second_leave_the_page_at_ease(
    own_service: Service, new_page: OpenPage, seconds: int
) -> None:
    page = ready(new_page(own_service))
    page.mouse.move(5, 5)
    page.wait_for_timeout(3_500)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def measured() -> tuple[float, float]:
        session.send("HeapProfiler.collectGarbage")
        found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return found["TaskDuration"], found["JSHeapUsedSize"]

    page.evaluate("""window.__long = []; new PerformanceObserver((list) => list.getEntries()
        .forEach((one) => window.__long.push(one.duration))).observe({type: 'longtask'})""")
    start = total_of(page)
    busy, heap = measured()
    for second_number in range(seconds):
        now = time.time()
        base = 1_000_000 + second_number * 5_000
        own_service.feed.push("rows", seen=5_000, rows=[log_row(base + n, now) for n in range(5_000)])
        page.wait_for_timeout(1_000 - (time.time() - now) * 1_000 % 1_000)
    wait_total(page, start + 5_000 * seconds)
    busy_after, heap_after = measured()
    assert (busy_after - busy) / seconds < 0.25
    assert heap_after - heap < 20 << 20
    assert [duration for duration in page.evaluate("window.__long") if duration > 100] == []
