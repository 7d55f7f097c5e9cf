"""Health alerts end: what is told when gateway and resolver go silent, and once when they are back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from tests.live.health_kit import SILENCE, filtered, gateway, judged
from tests.live.receivers import Receivers

pytestmark = [pytest.mark.net, pytest.mark.slow, pytest.mark.long]

RESOLVER = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 53))
while True:
    data, address = sock.recvfrom(512)
    sock.sendto(data[:2] + b"\\x81\\x80" + data[4:], address)
"""


@pytest.fixture
def resolver(lab: Namespaces) -> Iterator[None]:
    """Host a is gateway and resolver of host b: ip netns exec takes resolv.conf from /etc/netns."""
    folder = Path("/etc/netns") / lab.name("b")
    folder.mkdir(parents=True)
    (folder / "resolv.conf").write_text(f"nameserver {lab.address('a')}\n")
    child = lab.start("a", sys.executable, "-c", RESOLVER)
    lab.run("b", "ip", "route", "add", "default", "via", lab.address("a"))
    yield
    lab.run("b", "ip", "route", "del", "default")
    child.kill()
    child.wait()
    (folder / "resolv.conf").unlink()
    folder.rmdir()


def alerts(service: LiveService) -> dict[str, dict[str, Any]]:
    """Health alerts as ``nsm alerts`` lists them, by signature."""
    done = subprocess.run(
        [sys.executable, "-m", "nsm", "--data", str(service.data), "alerts", "detector:health", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    items = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({item["finding"]["signature"] for item in items}) == len(items)
    return {item["finding"]["signature"]: item for item in items}


def titles(receivers: Receivers) -> list[str]:
    """What the webhook was told of health, in order, one line each."""
    said = [
        one for body in receivers.got("webhook") for one in body["alerts"] if one["finding"]["detector"] == "health"
    ]
    return [f"{one['state']}: {one['finding']['signature']}" for one in said]


def test_a_silent_gateway_and_resolver_are_told_and_that_they_are_back_once(
    lab: Namespaces,
    resolver: None,
    receivers: Receivers,
    tmp_path: Path,
) -> None:
    words = {
        "SEVERITY_MIN": "low",
        "GROUP_S": "1",
        "AGAIN_S": "1",
        "WEBHOOK__URL": f"http://127.0.0.1:{receivers.ports['webhook']}/x",
    }
    environ = {f"NSM_NOTIFY__{name}": value for name, value in words.items()}
    names = ["Gateway does not answer", "Names are not resolved"]
    with LiveService(lab, "b", tmp_path / "data", port=8078, environ=environ) as service:
        assert wait_for(lambda: gateway(service).get("answered"), 15)
        with filtered(lab, SILENCE):
            assert wait_for(lambda: set(alerts(service)) == set(names), 330)
            silent = alerts(service)[names[0]]
            assert "neither echoes (ping) nor TCP connections" in silent["finding"]["explain"]["what"]
            assert silent["finding"]["explain"]["next"][1] == f"ping {lab.address('a')}"
            assert f"resolver {lab.address('a')}" in alerts(service)[names[1]]["finding"]["explain"]["what"]
            assert {one["state"] for one in alerts(service).values()} == {"new"}
            assert wait_for(lambda: judged(service, f"silent:{lab.address('a')}").get("state") == "warn", 30)
            assert wait_for(lambda: judged(service, f"resolver:{lab.address('a')}").get("state") == "warn", 30)
            assert "loss" not in gateway(service)["raised"]
        assert wait_for(lambda: {one["state"] for one in alerts(service).values()} == {"over"}, 480)
        ended = alerts(service)[names[0]]
        assert ended["ended"] > silent["last_seen"]
        assert ended["finding"]["explain"]["what"].endswith(f"The gateway {lab.address('a')} answers again.")
        assert wait_for(lambda: len(titles(receivers)) == 4, 30)
        time.sleep(70)  # another minute is judged: nothing more is told
        assert sorted(titles(receivers)) == sorted([f"{state}: {name}" for state in ("new", "over") for name in names])
        assert not judged(service, f"silent:{lab.address('a')}")


def test_a_gateway_that_answers_tcp_alone_is_neither_silent_nor_lossy(
    lab: Namespaces, resolver: None, tmp_path: Path
) -> None:
    with LiveService(lab, "b", tmp_path / "data", port=8086) as service:
        assert wait_for(lambda: gateway(service).get("answered"), 15)
        assert not gateway(service)["only_echoes"]
        with filtered(lab, ""):
            assert wait_for(lambda: gateway(service)["only_echoes"], 90)
            assert gateway(service)["minute"]["loss"] == 1
            time.sleep(200)
            assert gateway(service)["raised"] == []
            assert not alerts(service)


def test_an_interface_that_is_up_again_is_told_once(lab: Namespaces, tmp_path: Path) -> None:
    """Also when the health process was killed in between, and the analyst: both learn from the store what is open."""
    name, eve = "Interface is down", tmp_path / "eve.json"
    environ = {"NSM_OUTPUT__EVE_FILE__PATH": str(eve)}
    with LiveService(lab, "b", tmp_path / "data", port=8079, environ=environ) as service:
        assert wait_for(lambda: judged(service, "capture").get("state") == "ok", 30)
        lab.run("a", "ip", "link", "set", lab.interface("a"), "down")
        try:
            assert wait_for(lambda: name in alerts(service), 20)
            down = judged_when(service, f"interface:{lab.interface('b')}")
            assert down["text"].startswith(f"The interface {lab.interface('b')} has no carrier. Nothing is seen on it")
            assert down["mend"] == "Look at the cable, and at what it leads to"
            for process in service.health():
                if process["name"] in ("health", "analyst"):
                    subprocess.run(["kill", "-9", str(process["pid"])], check=True)
            assert wait_for(lambda: sum(one["restarts"] > 0 and one["alive"] for one in service.health()) >= 2, 30)
            time.sleep(5)
            assert alerts(service)[name]["state"] == "new"
        finally:
            lab.run("a", "ip", "link", "set", lab.interface("a"), "up")
        assert wait_for(lambda: alerts(service)[name]["state"] == "over", 60)
        first = alerts(service)[name]
        assert f"The interface {lab.interface('b')} is up again." in first["finding"]["explain"]["what"]
        time.sleep(15)
        assert alerts(service)[name]["rev"] == first["rev"]
    events = [json.loads(line) for line in eve.read_text().splitlines()]
    told = [one["nsm"] for one in events if one["event_type"] == "alert" and one["nsm"]["detector"] == "health"]
    assert [(one["id"], "ended" in one) for one in told] == [(first["id"], False), (first["id"], True)]


def test_an_interface_that_was_switched_off_is_told_with_the_command_that_switches_it_on(
    lab: Namespaces, tmp_path: Path
) -> None:
    name = lab.interface("b")
    with LiveService(lab, "b", tmp_path / "data", port=8080) as service:
        assert wait_for(lambda: judged(service, "capture").get("state") == "ok", 30)
        lab.run("b", "ip", "link", "set", name, "down")
        try:
            down = judged_when(service, f"interface:{name}")
        finally:
            lab.run("b", "ip", "link", "set", name, "up")
        assert down["text"].startswith(f"The interface {name} was switched off.")
        assert down["mend"] == f"sudo ip link set {name} up"


def judged_when(service: LiveService, name: str) -> dict[str, str]:
    assert wait_for(lambda: judged(service, name), 30)
    return judged(service, name)
