"""Settings that are changed while the service runs are in effect at once, and still after it was started again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.errors import SettingsError
from nsm.run.control import ask

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.long]

KEY = "detect.port_scan.burst_ports"


def pids(service: LiveService) -> dict[str, int]:
    """Name -> process, of those that run."""
    return {item["name"]: item["pid"] for item in service.health() if item["alive"]}


def value(service: LiveService, key: str) -> Any:
    """What is in effect."""
    sections = ask(service.data, "settings")["settings"]
    return next(field["value"] for section in sections for field in section["fields"] if field["key"] == key)


def scan_is_told(lab: Namespaces, service: LiveService, ports: str) -> bool:
    """Does an alert come of a scan of these ports?"""
    with service.listening() as feed:
        lab.run("a", "nmap", "-sS", "-n", "-Pn", "-p", ports, "--max-retries", "0", lab.address("b"))
        return any(message["alert"]["finding"]["detector"] == "port_scan" for message in feed("alert", 3.0))


def test_a_threshold_is_in_effect_at_once_and_kept(
    lab: Namespaces, own_watched: Callable[..., LiveService], need_tool: Callable[[str], str]
) -> None:
    need_tool("nmap")
    with own_watched(8071) as service:
        before = pids(service)
        assert ask(service.data, "setting", key=KEY, value=5_000)["effect"] == "analyst"
        assert ask(service.data, "setting", key="detect.port_scan.minute_ports", value=5_000)["effect"] == "analyst"
        for other in ("hour_ports", "day_ports"):
            ask(service.data, "setting", key=f"detect.port_scan.{other}", value=5_000)
        assert wait_for(lambda: pids(service).keys() == before.keys(), 5.0)
        after = pids(service)
        assert {name for name in before if before[name] != after[name]} == {"analyst"}
        time.sleep(1.0)  # workers connect again
        assert not scan_is_told(lab, service, "1-200")
        for name in ("burst_ports", "minute_ports", "hour_ports", "day_ports"):
            ask(service.data, "setting", key=f"detect.port_scan.{name}", value=None)
        assert wait_for(lambda: pids(service).keys() == before.keys(), 5.0)
        time.sleep(1.0)
        assert scan_is_told(lab, service, "201-400")
        with pytest.raises(SettingsError, match="Expected `int`"):
            ask(service.data, "setting", key=KEY, value="many")
        ask(service.data, "setting", key="flow.tcp_new_s", value=11.0)
        assert wait_for(lambda: pids(service).keys() == before.keys(), 5.0)
        assert service.state()["state"] == "running"
    with own_watched(8071) as service:
        assert value(service, "flow.tcp_new_s") == 11.0
