"""Real scanners and floods are seen live, by what they are, while they run."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from lab.namespaces import LabError, Namespaces
from lab.service import LiveService

pytestmark = [pytest.mark.net, pytest.mark.slow]

WAIT_S = 25.0

# Name -> (tool, arguments before the target, text that the signature has to contain).
ATTACKS = {
    "nmap -sS": ("nmap", ("-sS", "-n", "-Pn", "-p", "1-200"), "Port scan"),
    "nmap -sT": ("nmap", ("-sT", "-n", "-Pn", "-p", "201-400"), "Port scan"),
    "nmap -sX": ("nmap", ("-sX", "-n", "-Pn", "-p", "401-500"), "XMAS"),
    "nmap -sU": ("nmap", ("-sU", "-n", "-Pn", "--top-ports", "30", "--max-retries", "0"), "UDP"),
    "nmap slow": (
        "nmap",
        ("-6", "-sS", "-n", "-Pn", "-p", "501-530", "--scan-delay", "150ms", "--max-retries", "0"),
        "Port scan",
    ),
}


def alert_after(service: LiveService, send: Callable[[], object], wanted: str, victim: str) -> dict[str, Any]:
    """The first alert about ``victim`` with ``wanted`` in its signature that comes after ``send`` was called.

    Of another victim a scan before may still be told of: its last unanswered probes count half a second later.
    """
    with service.listening() as feed:
        send()
        seen = []
        for message in feed("alert", WAIT_S):
            finding = message["alert"]["finding"]
            seen.append(finding["signature"])
            if wanted in seen[-1] and ip_address(victim) in map(ip_address, finding["victims"]):
                alert: dict[str, Any] = message["alert"]
                return alert
    raise AssertionError(f"no alert with {wanted!r}; seen: {seen}")


@pytest.mark.parametrize("name", ATTACKS)
def test_scan_is_seen_while_it_runs(
    name: str, lab: Namespaces, watched: LiveService, need_tool: Callable[[str], str]
) -> None:
    tool, arguments, wanted = ATTACKS[name]
    need_tool(tool)
    version = 6 if "-6" in arguments else 4
    target = lab.address("b", version)
    alert = alert_after(
        watched,
        lambda: lab.start("a", tool, *arguments, target, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        wanted,
        target,
    )
    assert [ip_address(actor) for actor in alert["finding"]["actors"]] == [ip_address(lab.address("a", version))]
    assert [ip_address(victim) for victim in alert["finding"]["victims"]] == [ip_address(target)]
    assert "T1046" in alert["finding"]["techniques"]


def test_flood_is_one_alert_that_names_its_victim(
    lab: Namespaces, watched: LiveService, need_tool: Callable[[str], str]
) -> None:
    need_tool("hping3")

    def flood() -> None:
        with contextlib.suppress(LabError, subprocess.TimeoutExpired):
            lab.run("a", "timeout", "1", "hping3", "-q", "--flood", "-S", "-p", "80", lab.address("b"), timeout=10)

    alert = alert_after(watched, flood, "SYN flood", lab.address("b"))
    assert alert["severity"] in ("high", "critical")
    assert alert["finding"]["victims"] == [lab.address("b")]
