"""A flood from spoofed sources: memory on a plateau, one alert, a scan inside it found, everybody else's flows untouched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.make_capture import BASE_S, flood, mix
from nsm.run.reading import read
from tests.data.detect.make import ATTACKER, refused
from tests.kernels.frames import Timed, pcap

ROOT = Path(__file__).parents[2]
VICTIM = "10.20.0.80"

# Prints the peak memory in KiB and what was told. VmHWM, because getrusage counts what the parent held at the fork.
READ = """
import json, sys, nsm
def peak(): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
events = nsm.read(sys.argv[1])
flows, alerts = 0, []
for event in events:
    flows += event["event_type"] == "flow"
    if event["event_type"] == "alert": alerts.append((event["nsm"]["id"], event["alert"]["signature"], event["nsm"]["victims"]))
print(json.dumps({"peak": peak(), "flows": flows, "alerts": alerts}))
"""


def run(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_sources(tmp_path: Path) -> None:
    seen = []
    for packets, seconds in ((150_000, 6.0), (300_000, 12.0)):
        path = tmp_path / "flood.pcap"
        path.write_bytes(pcap(flood(packets, seconds, 1), base_s=BASE_S))
        seen.append(run(path))
    small, large = seen
    # Twice the sources: a quarter of the table is theirs, and beyond it a thousand records a second at most.
    assert large["peak"] - small["peak"] < 40_000
    assert large["flows"] < 131_072 // 4 + 12 * 1_000
    assert {alert[0] for alert in large["alerts"]} == {large["alerts"][0][0]}
    assert large["alerts"][0][1:] == ["SYN flood", [VICTIM]]
    assert len(large["alerts"]) < 10


def flows_of(path: Path) -> tuple[set[str], list[dict[str, Any]]]:
    flows, alerts = set(), []
    for event in read(path):
        if event["event_type"] == "flow" and not (event["dest_ip"] == VICTIM and event.get("dest_port") == 80):
            flows.add(json.dumps(event, sort_keys=True))
        elif event["event_type"] == "alert":
            alerts.append(event)
    return flows, alerts


@pytest.mark.slow
def test_ordinary_flows_and_a_scan_are_seen_through_a_flood(tmp_path: Path) -> None:
    scan: list[Timed] = [
        item for port in range(1, 60) for item in refused(101 + port * 0.02, ATTACKER, VICTIM, 40_000 + port, port)
    ]
    ordinary = sorted([*mix(30_000, 3), *scan], key=lambda item: item[0])
    attack = [(100 + when, frame) for when, frame in flood(150_000, 8.0, 2)]
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(ordinary, base_s=BASE_S))
    expected, _ = flows_of(path)
    path.write_bytes(pcap(sorted([*ordinary, *attack], key=lambda item: item[0]), base_s=BASE_S))
    found, alerts = flows_of(path)
    assert len(expected) > 1_400
    assert len(found & expected) >= 0.99 * len(expected)
    assert {alert["nsm"]["detector"] for alert in alerts} >= {"flood", "port_scan"}
    scans = [alert for alert in alerts if alert["nsm"]["detector"] == "port_scan"]
    assert {alert["src_ip"] for alert in scans} == {ATTACKER}
