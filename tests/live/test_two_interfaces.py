"""Two interfaces at once: one on which nothing happens holds back nothing of what the other sees."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.run.control import ask

pytestmark = [pytest.mark.net, pytest.mark.slow]


def test_a_silent_interface_holds_nothing_back_and_a_new_analyst_knows_the_alerts(
    lab: Namespaces, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    need_tool("nmap")
    lab.run("b", "ip", "link", "add", "quiet0", "type", "veth", "peer", "name", "quiet1")
    try:
        lab.run("b", "sysctl", "-qw", "net.ipv6.conf.quiet0.disable_ipv6=1", "net.ipv6.conf.quiet1.disable_ipv6=1")
        lab.run("b", "ip", "link", "set", "quiet0", "up")
        lab.run("b", "ip", "link", "set", "quiet1", "up")
        with LiveService(lab, "b", tmp_path / "data", port=8081, arguments=("-i", "quiet0")) as service:
            with service.listening() as feed:
                lab.run("a", "nmap", "-sS", "-n", "-Pn", "-p", "1-200", "--max-retries", "0", lab.address("b"))
                detectors = (message["alert"]["finding"]["detector"] for message in feed("alert", 5.0))
                assert "port_scan" in detectors
            counted = next(service.messages("second", 5.0))["threats"]["by_severity"]
            [analyst] = [item for item in service.health() if item["name"] == "analyst"]
            time.sleep(1.5)  # the alert is stored
            os.kill(analyst["pid"], signal.SIGKILL)
            assert wait_for(lambda: ask(service.data, "status")["second"].get("threats"), 10.0)
            assert next(service.messages("second", 5.0))["threats"]["by_severity"] == counted
    finally:
        lab.run("b", "ip", "link", "del", "quiet0")
