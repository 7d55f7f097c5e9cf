"""Pictures of every page in light and dark, wide and narrow, over the demo.

    python lab/screenshots.py [FOLDER]

The demo runs for a minute first, so that there is something to see. Needs chromium and the built page.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from nsm.capture.demo import DemoSource
from nsm.capture.recording import record
from nsm.capture.writing import CaptureWriter

ROOT = Path(__file__).parents[1]
SPEED = "20"
WATCH_S = 45.0
WIDTHS = (1440, 360)
PASSWORD = "a long enough sentence"  # noqa: S105 - of a demo that lives for a minute


def pages() -> list[tuple[str, str]]:
    """(name, path) of every page, as the page itself lists them."""
    text = (ROOT / "web" / "src" / "pages.ts").read_text()
    return re.findall(r"name: '(\w+)', path: '([^']+)'", text)


def link_of(log: Path) -> str:
    """The link that the demo printed, when it is ready."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if found := re.search(r"http://\S+", log.read_text(errors="replace")):
            return found.group(0)
        time.sleep(0.2)
    raise SystemExit(f"the demo did not start:\n{log.read_text()}")


def capture(path: Path) -> None:
    """A minute of the demo's packets in a file: something for the page Capture to read."""
    with CaptureWriter(path) as writer:
        record(DemoSource(float(SPEED)), writer, lambda: False, lambda _lasted: None, 60 / float(SPEED))


def upload(page: Page, path: Path) -> None:
    """Let the service read it, and wait until it has."""
    page.goto("/capture")
    page.get_by_test_id("upload-file").set_input_files(path)
    page.get_by_role("button", name=f"Show what is in {path.name}").wait_for(timeout=120_000)


def shoot(browser: Browser, link: str, folder: Path) -> int:
    """Log in once by the link, then take every picture; how many."""
    first = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=link.partition("/login")[0])
    page = first.new_page()
    page.goto(link)
    page.screenshot(path=folder / "login.png")
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    page.get_by_test_id("verdict").wait_for()
    trace = folder / "office.pcap"
    capture(trace)
    upload(page, trace)
    trace.unlink()
    time.sleep(WATCH_S)
    state = first.storage_state()
    count = 1
    for theme in ("light", "dark"):
        for width in WIDTHS:
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme="dark" if theme == "dark" else "light",
                storage_state=state, base_url=link.partition("/login")[0],
            )  # fmt: skip
            page = context.new_page()
            for name, path in pages():
                page.goto(path)
                page.locator("main").wait_for()
                page.wait_for_timeout(1_500)
                page.screenshot(path=folder / f"{name}-{theme}-{width}.png", full_page=True)
                count += 1
            page.goto("/capture")
            page.get_by_role("button", name="Show what is in").click()
            page.get_by_test_id("found-figures").wait_for()
            page.screenshot(path=folder / f"found-{theme}-{width}.png", full_page=True)
            count += 1
            context.close()
    return count


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description="Pictures of every page over the demo.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "screenshots")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "demo.log"
        with log.open("wb") as said:
            demo = subprocess.Popen(
                [sys.executable, "-m", "nsm", "demo", "--speed", SPEED, "--listen", "127.0.0.1:0"],
                stdout=said,
                stderr=said,
            )
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                print(f"{shoot(browser, link_of(log), folder)} pictures in {folder}")
                browser.close()
        finally:
            demo.terminate()
            demo.wait(20)


if __name__ == "__main__":
    main()
