"""How soon a person sees an attack: from the packet that reaches the threshold to the alert on the page.

    sudo python bench/live.py [--rounds N] [--shots DIR]

Real nmap and hping3 between two network namespaces, the real service, headless chromium inside the watched one. Each round
attacks another address, so that each makes a new alert. The moment of the threshold is worked out from the flows that
the store has afterwards: the n-th distinct failed port within the detector's window. Needs root.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.namespaces import Namespaces
from lab.service import LiveService
from nsm.store.reader import Reader

PASSWORD = "a long enough sentence"  # noqa: S105 - of a service that lives for a minute
WINDOWS = ((1.0, 8), (60.0, 24))  # detect.port_scan: burst_ports, and minute_ports times inside_factor
SCANS = {
    "nmap -sS": ("-sS", "-p", "1-60"),
    "nmap -sT": ("-sT", "-p", "1-60"),
    "nmap -sX": ("-sX", "-p", "1-60"),
    "nmap -sU": ("-sU", "-p", "2000-2029", "--max-retries", "0"),
    "nmap slow": ("-sS", "-p", "1-32", "--scan-delay", "200ms", "--max-retries", "0"),
}
WATCH = """
window.__seen = {};
new MutationObserver(() => {
  for (const row of document.querySelectorAll('[data-testid=alerts] [data-id]')) {
    if (!(row.dataset.id in window.__seen)) window.__seen[row.dataset.id] = [Date.now(), row.textContent];
  }
}).observe(document.body, {childList: true, subtree: true});
"""


def chromium_in(lab: Namespaces, host: str, folder: Path) -> str:
    """A program that starts chromium inside a namespace."""
    script = folder / "chromium"
    script.write_text(f'#!/bin/sh\nexec ip netns exec {lab.name(host)} /usr/bin/chromium "$@"\n')
    script.chmod(0o755)
    return str(script)


def seen_after(page: Page, target: str, known: set[str], seconds: float = 20.0) -> float | None:
    """The time (s) at which an alert that names the target appeared on the page; None when none did."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        seen: dict[str, Any] = page.evaluate("window.__seen")
        for key, (at, text) in seen.items():
            if key not in known and target in text:
                known.add(key)
                return float(at) / 1000
        page.wait_for_timeout(20)
    return None


def threshold_moment(reader: Reader, target: str) -> float | None:
    """When the n-th distinct port of the target was tried within a window of the detector."""
    flows = reader.flows_of_host(target, 500)
    times = sorted({int(row["dst_port"]): (row["ts"] - row["dur_us"]) / 1e6 for row in reversed(flows)}.values())
    moments = []
    for window, ports in WINDOWS:
        for last in range(ports - 1, len(times)):
            if times[last] - times[last - ports + 1] <= window:
                moments.append(times[last])
                break
    return min(moments, default=None)


def scan_round(lab: Namespaces, page: Page, arguments: tuple[str, ...], target: str, known: set[str]) -> float | None:
    """Scan an address; the time at which the page showed it."""
    child = lab.start("a", "timeout", "30", "nmap", "-n", "-Pn", *arguments, target, stdout=subprocess.DEVNULL)
    shown = seen_after(page, target, known)
    child.wait()
    return shown


def flood_round(lab: Namespaces, page: Page, target: str, known: set[str]) -> float | None:
    """Seconds from the start of hping3, which is earlier than the threshold, to the page."""
    began = time.time()
    child = lab.start(
        "a", "timeout", "0.7", "hping3", "-q", "--flood", "-S", "-p", "80", target,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    shown = seen_after(page, target, known)
    child.wait()
    return None if shown is None else shown - began


def log_in(page: Page, link: str) -> None:
    """Follow the one-time link, choose the password, wait for the page."""
    page.goto(link)
    page.locator("input[type=password]").first.fill(PASSWORD)
    page.locator("button[type=submit]").first.click()
    page.wait_for_selector("[data-testid=log-table]", state="attached", timeout=20_000)
    page.evaluate(WATCH)


def screenshots(page: Page, folder: Path) -> None:
    """The page in both themes and three widths."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
        for width in (1440, 768, 360):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(400)
            page.screenshot(path=folder / f"page-{scheme}-{width}.png")


def line(name: str, lags: list[float], rounds: int) -> str:
    """One row of the table."""
    if not lags:
        return f"| {name} | 0 of {rounds} | - | - | - |"
    ordered = sorted(lags)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return f"| {name} | {len(lags)} of {rounds} | {statistics.median(lags):.2f} | {p95:.2f} | {ordered[-1]:.2f} |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shots", type=Path, help="folder for screenshots of the page at the end")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, Namespaces(2) as lab, sync_playwright() as play:
        folder = Path(place)
        targets = [f"10.77.0.{number}" for number in range(10, 10 + given.rounds * (len(SCANS) + 1))]
        for target in targets:
            lab.run("b", "ip", "addr", "add", f"{target}/24", "dev", lab.interface("b"))
        with LiveService(lab, "b", folder / "data") as service:
            browser = play.chromium.launch(
                executable_path=chromium_in(lab, "b", folder), args=["--no-sandbox", "--disable-background-networking"]
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            log_in(page, service.link)
            known: set[str] = set()
            shown: dict[str, list[tuple[str, float | None]]] = {}
            for name, arguments in SCANS.items():
                for _ in range(given.rounds):
                    target = targets.pop()
                    shown.setdefault(name, []).append((target, scan_round(lab, page, arguments, target, known)))
            floods = [flood_round(lab, page, targets.pop(), known) for _ in range(given.rounds)]
            time.sleep(45)  # unanswered flows end after 30 s, and are stored then
            reader = Reader(service.data)
            print("| attack | seen | p50 s | p95 s | max s |\n| --- | --- | --- | --- | --- |")
            every = []
            for name, pairs in shown.items():
                moments = [(at, threshold_moment(reader, target)) for target, at in pairs]
                lags = [at - moment for at, moment in moments if at is not None and moment is not None]
                every += lags
                print(line(name, lags, given.rounds))
            flood_lags = [lag for lag in floods if lag is not None]
            print(line("hping3 flood, from its start", flood_lags, given.rounds))
            print(line("all scans", every, given.rounds * len(SCANS)))
            reader.close()
            if given.shots:
                given.shots.mkdir(parents=True, exist_ok=True)
                screenshots(page, given.shots)
            browser.close()


if __name__ == "__main__":
    main()
