"""A small store that is always the same: the day on which clocks are turned back, with something of everything in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nsm.model.address import halves
from nsm.model.finding import Alert, Explain, Finding, NearMiss, Severity
from nsm.model.flow import FLOW
from nsm.model.scan import PortState, Scan, ScannedHost, ScannedPort, ScanState, Service
from nsm.model.table import Rows
from nsm.model.traffic import SECOND
from nsm.report.facts import Facts
from nsm.report.gather import gather
from nsm.report.period import Period
from nsm.store.records import BatchId, Gap, HostSeen, StoredBatch
from nsm.store.scans import ScanStore
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer

US = 1_000_000
MINUTE_US = 60 * US
START = 1_761_429_600 * US  # 2025-10-25T22:00:00Z: midnight of 2025-10-26 in Berlin, a day of 25 hours
DAY = Period(START, START + 25 * 3_600 * US, "Europe/Berlin")
NOW = DAY.stop_us + 5 * MINUTE_US
HOME = StoreSettings().home_net
EVIL = '</script><script>alert("x")</script><!--\u202e=cmd|\x1b[31m'
FLOWS = 600

EXPLAIN = Explain(
    "laptop-7 (192.168.1.23) tried 214 different ports of nas (192.168.1.5): 209 refused, 5 answered.",
    "Listing open ports is often the first step before an attack.", ("measured 209, threshold 25",),
    ("5 ports answered",), ("an inventory tool", "a curious owner"),
    ("Ask the owner of the source whether a scan was run.", "If nobody knows, take it off the network."),
)  # fmt: skip


def flows(start_us: int, span_us: int, count: int, first_id: int) -> Rows:
    """Flows at even distances; everything follows from their number."""
    number = np.arange(count, dtype=np.uint64)
    apps = np.array(["tls", "dns", "http", "ssh", ""], object)
    local = [halves(f"192.168.1.{20 + n % 7}") for n in range(count)]
    far = [halves(f"203.0.113.{n % 11}") if n % 3 else halves("192.168.1.5") for n in range(count)]
    return Rows(FLOW, {
        "ts": (start_us + number.astype(np.int64) * (span_us // count)).astype(np.int64),
        "flow_id": number + np.uint64(first_id), "ip_v": np.full(count, 4, np.uint8),
        "proto": np.where(number % 5 == 1, 17, 6).astype(np.uint8), "outcome": (number % 4).astype(np.uint8),
        "src_hi": np.array([hi for hi, _ in local], np.uint64), "src_lo": np.array([lo for _, lo in local], np.uint64),
        "dst_hi": np.array([hi for hi, _ in far], np.uint64), "dst_lo": np.array([lo for _, lo in far], np.uint64),
        "src_port": (40_000 + number).astype(np.uint16),
        "dst_port": np.array([443, 53, 80, 22, 8080], np.uint16)[number % 5], "app": apps[number % 5],
        "pkts_s": number % 9 + 1, "pkts_c": number % 13, "bytes_s": (number * 37) % 9_001 + 60,
        "bytes_c": (number * 911) % 700_001,
    }, count)  # fmt: skip


def seconds(start_us: int, stop_us: int) -> Rows:
    """A row a minute; dropped packets from 14:00 to 14:05 UTC, nothing from 04:10 to 04:40 UTC."""
    times = np.arange(start_us, stop_us, MINUTE_US, dtype=np.int64)
    minute = times // MINUTE_US % 1_440
    times = times[(minute < 250) | (minute >= 280)]
    minute = times // MINUTE_US % 1_440
    count = len(times)
    return Rows(SECOND, {
        "ts": times, "iface": np.ones(count, np.uint8), "pkts": np.full(count, 400, np.uint64),
        "bytes": np.full(count, 90_000, np.uint64),
        "drops": np.where((minute >= 840) & (minute < 845), 16, 0).astype(np.uint64),
        "malformed": np.zeros(count, np.uint64),
    }, count)  # fmt: skip


def alert(number: int, at_us: int, severity: Severity, kind: str, signature: str, **rest: Any) -> Alert:
    """An alert last seen then."""
    values: dict[str, Any] = {"src": "192.168.1.23", "dst": "192.168.1.5", "explain": EXPLAIN, "state": "new", **rest}
    finding = Finding(
        detector="port_scan", key=(str(number),), kind=kind, signature=signature, signature_id=9_000_001,
        category="Attempted Information Leak", ts=at_us, first_seen=at_us - 180 * US, actors=(values["src"],),
        victims=(values["dst"],), measured=209, threshold=25, unit="ports", window_s=300, impact=severity,
        confidence=0.85, src_ip=values["src"], dest_ip=values["dst"], proto=6, techniques=("T1046",),
        flow_ids=(number * 10 + 1, number * 10 + 2), explain=values["explain"],
    )  # fmt: skip
    return Alert(id=f"A{number}", finding=finding, severity=severity, risk=60, count=3, first_seen=at_us - 180 * US,
                 last_seen=at_us, state=values["state"], settings_hash="5e77")  # fmt: skip


def scan(number: int, at_us: int, ports: dict[int, str]) -> Scan:
    """A complete scan of one host that found these ports open."""
    found = tuple(
        ScannedPort("192.168.1.5", "tcp", port, PortState.OPEN, service=Service(name, how="banner"))
        for port, name in ports.items()
    )
    return Scan(
        id=f"s{number}", started=at_us, ended=at_us + 9 * US, targets=("192.168.1.5",), ports="1-1024", options={},
        state=ScanState.COMPLETE, covered={"tcp": "1-1024"}, hosts=(ScannedHost("192.168.1.5", up_by="arp"),), found=found,
    )  # fmt: skip


def build(folder: Path) -> Path:
    """Write the store."""
    before = DAY.previous()
    writer = Writer(folder, StoreSettings(ballast_bytes=0, free_min_bytes=0, free_early_bytes=0),
                    clock=lambda: NOW / US, background=False)  # fmt: skip
    hour = 3_600 * US
    alerts = (
        alert(1, START + 9 * hour, Severity.HIGH, "network_scan", "Port scan (tcp)"),
        alert(2, START + 10 * hour, Severity.HIGH, "network_scan", "Port scan (tcp)"),
        alert(3, START + 12 * hour, Severity.LOW, "new_host", f"New host {EVIL}", src="192.168.1.77", dst=""),
        alert(4, START + 13 * hour, Severity.MEDIUM, "flood", "SYN flood", src="198.51.100.4", state="done"),
        alert(5, START - 3 * hour, Severity.MEDIUM, "flood", "SYN flood", src="198.51.100.4"),
    )
    batch = StoredBatch(
        batch_id=BatchId("s", "boot", 1), alerts=alerts,
        tables=(flows(before.start_us, before.length_us, 400, 1_000), flows(START, DAY.length_us, FLOWS, 5_000),
                seconds(before.start_us - 30 * 60 * US, DAY.stop_us)),
        near_misses=tuple(NearMiss(detector="port_scan", key=("k",), ts=START + n * hour, measured=n + 10, threshold=25,
                                   window_s=300) for n in range(4)),
        hosts=(HostSeen("192.168.1.20", before.start_us, NOW, "02:00:00:00:00:20", "desk"),
               HostSeen("192.168.1.77", START + 12 * hour, NOW, "02:00:00:00:00:77", EVIL)),
        gaps=(Gap(START + 6 * hour + 10 * MINUTE_US, START + 6 * hour + 40 * MINUTE_US, "capture",
                  "The capture was started again"),),
    )  # fmt: skip
    if not all(writer.store([batch])):
        raise AssertionError("a batch was refused")
    writer.close()
    scans = ScanStore(folder)
    scans.save(scan(1, START - 5 * hour, {22: "ssh", 80: "http"}), "ann")
    scans.save(scan(2, START + 5 * hour, {22: "ssh", 445: "microsoft-ds"}), "ann")
    scans.close()
    return folder


def facts_of(folder: Path, period: Period = DAY, **options: Any) -> Facts:
    """The facts, without what changes from run to run."""
    made = gather(folder, period, HOME, NOW, **options)
    return msgspec.structs.replace(made, seconds=0.0, version="0")
