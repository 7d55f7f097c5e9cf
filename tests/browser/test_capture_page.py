"""The page Capture: the live capture and its filter, recording, an upload from the disk to what was found in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from nsm.errors import CaptureError
from nsm.run.jobs import read
from nsm.run.work import Teller
from nsm.store.captures import CaptureShelf, CapturesSettings, Kept
from tests.browser.conftest import OpenPage, fill
from tests.browser.test_look import violations
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap
from tests.serve.kit import PASSWORD, Heart, Service, backend, capture_state, running

DATA = pcap(in_time(CASES["connect"]))
EVIL = "<img src=x onerror=alert(1)>.pcap"
LIMITS = CapturesSettings(upload_bytes_max=1 << 20, free_min_bytes=0)
RUNNING: dict[str, Any] = {"filter": "", "snaplen": 262_144, "ring_mb": 32}


def analyse(service: Service, number: str) -> None:
    """What the job does, in this process."""
    task = {"task": {"capture": number}, "data": str(service.store.directory), "values": {}, "who": "admin"}
    read.work(task, Teller(lambda _kind, _header: None))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One capture that was read, with a name that bites, and one that was only recorded."""
    folder: Path = tmp_path_factory.mktemp("captures")
    shelf = CaptureShelf(folder, LIMITS)
    with backend(folder) as made:
        fill(made)
        made.accounts.add_user("looker", PASSWORD, "viewer")
        for number, name, iface in (
            ("20260101T000000Z-00000a", EVIL, ""), ("20260102T000000Z-00000b", "b.pcap", "eth0"),
        ):  # fmt: skip
            shelf.upload(number).write_bytes(DATA)
            shelf.keep(Kept(number, name, "ann", 1_767_225_600_000_000, "pcap", 0, iface), shelf.upload(number))
        analyse(made, "20260101T000000Z-00000a")
        with running(made, captures=LIMITS) as live, Heart(made.feed):
            yield live


def opened(service: Service, new_page: OpenPage, path: str = "/capture", **options: object) -> Page:
    service.feed.push("capture", **capture_state("running", **RUNNING))
    page = new_page(service, path, **options)
    expect(page.get_by_test_id("connection")).to_have_text("Live")
    return page


def test_an_upload_is_sent_read_shown_and_removed(
    server: Service, new_page: OpenPage, tmp_path: Path
) -> None:  # the whole way of a file
    page = opened(server, new_page, "/", quiet=False)
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.get_by_test_id("captures").wait_for()
    field, problem = page.get_by_test_id("upload-file"), page.get_by_test_id("upload").get_by_role("alert")
    field.set_input_files({"name": "x.pcap", "mimeType": "application/octet-stream", "buffer": b"{}" * 300_000})
    expect(problem).to_contain_text("this is not a capture: it looks like JSON")
    field.set_input_files({"name": "x.pcap", "mimeType": "application/octet-stream", "buffer": bytes(2 << 20)})
    expect(problem).to_contain_text("The file has 2 MiB; an upload has 1 MiB at most")
    file = tmp_path / "office $(x).pcap"
    file.write_bytes(DATA)
    field.set_input_files(file)
    expect(page.locator(".toast")).to_have_text("office $(x).pcap has arrived and is being read")
    row = page.get_by_test_id("captures").locator("tbody tr").filter(has_text="office $(x).pcap")
    expect(row).to_contain_text("uploaded by admin")
    call = server.control.calls[-1]
    assert call[:3] == ("job", "read", "office $(x).pcap")
    job = {"id": 5, "kind": "read", "name": "office $(x).pcap", "state": "running", "since": 1.0}
    at = {"stage": "reading packets", "done": 10, "total": 100, "packets": 2}
    server.feed.push("job", job={**job, "progress": at})
    page.get_by_test_id("capture-running").get_by_text("reading packets, 2 packets").wait_for()
    analyse(server, call[3]["capture"])
    server.feed.push("job", job={**job, "state": "done", "progress": {}})
    row.get_by_role("button", name="Show what is in office $(x).pcap").click()
    expect(page.get_by_test_id("found-alerts")).to_contain_text("203.0.113.7 tried 32 different ports of 192.168.1.80")
    expect(page.get_by_test_id("found-figures")).to_contain_text("Packets89")
    expect(page.locator(".cli code")).to_have_text("nsm read 'office $(x).pcap'")
    page.go_back()
    with page.expect_download() as saved:
        row.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == "office_x.pcap"
    assert saved.value.path().read_bytes() == DATA
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


@pytest.mark.long
def test_a_wrong_filter_is_said_at_its_field_and_a_right_one_is_taken(server: Service, new_page: OpenPage) -> None:
    page = opened(server, new_page, quiet=False)
    page.get_by_test_id("choose-wlan0").check()
    form = page.get_by_test_id("live-capture")
    field = form.get_by_label("Capture filter (BPF)")
    field.fill("tcp prot 1")
    server.control.refuse = CaptureError("the filter 'tcp prot 1' is not understood", where="capture filter")
    form.get_by_role("button", name="Capture wlan0 like this").click()
    expect(form.locator("em")).to_have_text("the filter 'tcp prot 1' is not understood")
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("tcp port 443")
    form.get_by_role("button", name="Capture wlan0 like this").click()
    expect(form.locator("p b")).to_have_text("Capturing wlan0")
    expect(form.locator("em")).to_have_count(0)
    assert server.control.calls[-1] == ("start", "wlan0", "tcp port 443", 262_144, 32 << 20)
    expect(form.locator("code")).to_have_text("sudo NSM_CAPTURE__FILTER='tcp port 443' nsm run -i wlan0")
    assert page.url.endswith("?iface=wlan0")
    form.get_by_role("button", name="Stop capture").click()
    form.get_by_role("button", name="Start on wlan0").wait_for()


@pytest.mark.long
def test_a_recording_is_started_followed_and_stopped(server: Service, new_page: OpenPage) -> None:
    page = opened(server, new_page, "/capture?iface=wlan0")
    form = page.get_by_test_id("record")
    page.get_by_test_id("record-seconds").fill("30")
    form.get_by_label("Capture filter (BPF)").fill("icmp")
    form.get_by_role("button", name="Record wlan0").click()
    page.wait_for_timeout(300)
    kind, task = server.control.calls[-1][1], server.control.calls[-1][3]
    assert (kind, task["iface"], task["seconds"], task["bytes_max"], task["filter"]) == (
        "record",
        "wlan0",
        30,
        100_000_000,
        "icmp",
    )
    expect(form.locator("code")).to_have_text(
        "sudo nsm capture -i wlan0 -w wlan0.pcapng --for 30s --size 100M --filter icmp"
    )
    at = {"stage": "recording", "done": 3, "total": 30, "packets": 7, "bytes": 2_048}
    server.feed.push(
        "job", job={"id": 9, "kind": "record", "name": "wlan0", "state": "running", "since": 1.0, "progress": at}
    )
    page.get_by_test_id("capture-running").get_by_text("recording, 7 packets, 2 KiB, 3 of 30 s").wait_for()
    page.get_by_role("button", name="Stop wlan0").click()
    page.wait_for_timeout(300)
    assert server.control.calls[-1] == ("cancel_job", 9)


@pytest.mark.long
def test_a_viewer_sees_and_is_offered_nothing_they_may_not(server: Service, new_page: OpenPage) -> None:
    page = new_page(server, "/login", log_in=False)
    assert page.context.request.post("/api/v1/login", data={"name": "looker", "password": PASSWORD}).ok
    page.goto("/capture")
    rows = page.get_by_test_id("captures").locator("tbody tr")
    expect(rows).to_have_count(2)
    for name in ("Download", "Remove", "Analyse", "Record", "Stop capture"):
        assert page.locator("main").get_by_role("button", name=name).count() == 0
        assert page.locator("main").get_by_role("link", name=name).count() == 0
    assert page.get_by_test_id("upload").count() == 0
    rows.get_by_role("button", name="Show").click()
    page.get_by_test_id("found-alerts").wait_for()
    assert page.get_by_role("link", name="Open the report").count() == 1
    assert page.get_by_role("link", name="Events").count() == 0


@pytest.mark.parametrize("path", ["/capture", "/capture?sel=capture:20260101T000000Z-00000a"])
def test_it_is_for_everybody_and_fits(server: Service, new_page: OpenPage, path: str) -> None:
    page = opened(server, new_page, path)
    page.get_by_test_id("found-alerts" if "sel" in path else "captures").wait_for()
    expect(page.locator("main")).to_contain_text(EVIL)
    job = {"id": 5, "kind": "read", "name": "x", "state": "running", "since": time.time(), "progress": {"stage": "a"}}
    server.feed.push("job", job=job)
    if "sel" not in path:
        page.get_by_test_id("capture-running").wait_for()
    for width in (1440, 768, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            assert width == 768 or violations(page) == []
    server.feed.push("job", job={**job, "state": "done"})
