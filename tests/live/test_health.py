"""Health between two real hosts: loss that was made is the loss that is told, figures are those of the system's tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.run.control import ask
from nsm.store.health import HealthStore
from tests.live.health_kit import alert_of, figures, filtered, gateway, verdict

pytestmark = [pytest.mark.net, pytest.mark.slow]

LOSS = 4  # of so many echoes one is lost


@pytest.fixture
def service(lab: Namespaces, own_watched: Callable[[int], LiveService]) -> Iterator[LiveService]:
    """A service on host b, whose gateway is host a."""
    lab.run("b", "ip", "route", "add", "default", "via", lab.address("a"))
    try:
        with own_watched(8076) as made:
            yield made
    finally:
        lab.run("b", "ip", "route", "del", "default")


def test_loss_that_is_made_is_told(lab: Namespaces, service: LiveService) -> None:
    assert wait_for(lambda: gateway(service).get("answered"), 15)
    before = gateway(service)["minute"]
    with filtered(lab, f"numgen inc mod {LOSS} == 0"):
        assert wait_for(lambda: gateway(service)["minute"]["sent"] >= before["sent"] + 12, 30)
        minute = gateway(service)["minute"]
    lost = minute["loss"] * minute["sent"] - before["loss"] * before["sent"]
    assert abs(lost / (minute["sent"] - before["sent"]) - 1 / LOSS) < 0.15


@pytest.mark.long
def test_loss_that_lasts_raises_an_alert(lab: Namespaces, service: LiveService) -> None:
    assert wait_for(lambda: gateway(service).get("answered"), 15)
    with service.listening() as feed, filtered(lab, f"numgen inc mod {LOSS} == 0"):
        found = alert_of(feed, "Packets are lost", 300)
        minute = gateway(service)["minute"]
        assert abs(minute["loss"] - 1 / LOSS) < 0.03
        assert minute["sent"] > 150  # four a second while there is loss
        said = lab.run("b", "sh", "-c", f"ping -c 150 -i 0.2 {lab.address('a')} || true")
        theirs = float(re.search(r"([0-9.]+)% packet loss", said)[1]) / 100  # type: ignore[index]  # ping always says it
        assert abs(gateway(service)["minute"]["loss"] - theirs) < 0.1
        assert found["victims"] == [lab.address("a")]
        assert abs(found["measured"] - 1 / LOSS) < 0.05
    store = HealthStore(service.data)
    kept = store.series(f"probe.{lab.address('a')}.loss", 0, 1 << 40)
    store.close()
    assert kept


def test_figures_are_those_of_ip_ping_and_df(lab: Namespaces, service: LiveService) -> None:
    assert wait_for(lambda: gateway(service).get("minute", {}).get("sent", 0) >= 10, 30)
    said = lab.run("b", "ping", "-c", "20", "-i", "0.1", lab.address("a"))
    times = sorted(float(value) for value in re.findall(r"time=([0-9.]+)", said))
    own = gateway(service)
    assert (own["minute"]["lost"], own["method"]) == (0, "icmp raw")
    assert abs(own["minute"]["p50_ms"] - times[len(times) // 2]) < 1.0
    name = lab.interface("b")
    before = json.loads(lab.run("b", "ip", "-s", "-j", "link", "show", name))[0]["stats64"]
    time.sleep(1.2)
    counters = next(one for one in figures(service)["interfaces"] if one["name"] == name)["counters"]
    after = json.loads(lab.run("b", "ip", "-s", "-j", "link", "show", name))[0]["stats64"]
    for ours, side in (("in", "rx"), ("out", "tx")):
        for what, theirs in (("bytes", "bytes"), ("packets", "packets"), ("errors", "errors"), ("drops", "dropped")):
            assert before[side][theirs] <= counters[f"{what}_{ours}"] <= after[side][theirs], (what, ours)
    used, free, total = (
        int(word) for word in lab.run("b", "df", "-B1", "--output=used,avail,size", str(service.data)).split()[-3:]
    )
    machine = figures(service)["machine"]
    assert machine["disk_total_bytes"] == total
    assert abs(machine["disk_free_bytes"] - free) < 64 << 20
    assert abs(machine["disk_used_bytes"] - used) < 64 << 20


@pytest.mark.long
def test_drops_of_an_interface_are_those_of_ip(lab: Namespaces, service: LiveService) -> None:
    """Host a takes shorter frames than host b sends: the kernel drops what is too long, and counts it."""
    name, there = lab.interface("b"), lab.interface("a")
    send = (
        "import socket, sys\nsock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(200): sock.sendto(bytes(1450), (sys.argv[1], 9))"
    )

    def theirs() -> int:
        return int(json.loads(lab.run("b", "ip", "-s", "-j", "link", "show", name))[0]["stats64"]["tx"]["dropped"])

    def ours() -> int:
        items = figures(service).get("interfaces", ())
        return int(next((one["counters"]["drops_out"] for one in items if one["name"] == name), -1))

    before = theirs()
    assert wait_for(lambda: ours() == before, 10)
    lab.run("a", "ip", "link", "set", there, "mtu", "1400")
    try:
        lab.run("b", sys.executable, "-c", send, lab.address("a"))
    finally:
        lab.run("a", "ip", "link", "set", there, "mtu", "1500")
    assert theirs() == before + 200
    assert wait_for(lambda: ours() == before + 200, 10)


@pytest.mark.long
def test_an_interface_that_goes_down_is_told_at_once(lab: Namespaces, service: LiveService) -> None:
    name = lab.interface("b")
    assert wait_for(lambda: verdict(service, "capture") == "ok", 30)  # it knows what is watched
    with service.listening() as feed:
        begun = time.monotonic()
        lab.run("a", "ip", "link", "set", lab.interface("a"), "down")
        try:
            found = alert_of(feed, "Interface is down", 10)
        finally:
            lab.run("a", "ip", "link", "set", lab.interface("a"), "up")
        assert time.monotonic() - begun < 5
        assert name in found["explain"]["what"]


@pytest.mark.long
def test_only_own_traffic_is_told_as_such_and_stopped_capture_fails(lab: Namespaces, service: LiveService) -> None:
    server = lab.start("a", sys.executable, "-m", "http.server", "8123", stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: ":8123 " in lab.run("a", "ss", "-ltn"), 10)
        ask_it = "import urllib.request as u\nfor _ in range(60): u.urlopen('http://{}:8123/').read()"
        lab.run("b", sys.executable, "-c", ask_it.format(lab.address("a")))
    finally:
        server.kill()
    name = lab.interface("b")
    assert wait_for(lambda: verdict(service, f"mirror:{name}") == "note", 90)
    assert verdict(service, f"directions:{name}") == "ok"
    ask(service.data, "stop")
    assert wait_for(lambda: verdict(service, "capture") == "fail", 30)


PROBE = """
import asyncio, json, sys, time
from nsm.health.gateway import Target
from nsm.health.ping import ways
from nsm.health.prober import Prober

async def main():
    found = ways({}) if sys.argv[1] == "icmp" else {}
    prober = Prober(lambda: [Target(one, one, "added") for one in sys.argv[2:]], found, 1.0)
    prober.begin()
    await asyncio.sleep(3.5)
    print(json.dumps([one.shape(time.monotonic()) for one in prober.asked]))

asyncio.run(main())
"""


@pytest.mark.parametrize("method", ["icmp", "tcp"])
def test_without_privileges_datagrams_or_connects_are_used(lab: Namespaces, method: str) -> None:
    """Over TCP the other host refuses (RST), which is an answer."""
    allowed = lab.run("b", "sysctl", "-n", "net.ipv4.ping_group_range").split()
    lab.run("b", "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
    try:
        addresses = (lab.address("a"), lab.address("a", 6))
        found = json.loads(lab.run("b", sys.executable, "-c", PROBE, method, *addresses))
    finally:
        lab.run("b", "sysctl", "-qw", f"net.ipv4.ping_group_range={' '.join(allowed)}")
    assert [one["address"] for one in found] == list(addresses)
    assert all(one["method"] == method and one["answered"] and not one["minute"]["lost"] for one in found)
    assert all(one["minute"]["sent"] >= 3 for one in found)
