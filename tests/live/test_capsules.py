"""The packets behind an alert are kept: a scan's alert has the scan's own SYNs, in a file that other programs read."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import dpkt
import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.run.capsule_records import AFTER_MAX, BEFORE_MAX
from nsm.store.reader import Reader

pytestmark = [pytest.mark.net, pytest.mark.slow]


def test_the_packets_of_a_scan_are_kept_with_its_alert(
    lab: Namespaces, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    need_tool("nmap")
    with LiveService(lab, "b", tmp_path / "data", port=8066, environ={"NSM_CAPTURE__WORKERS": "2"}) as service:
        with service.listening() as feed:
            lab.start(
                "a", "nmap", "-sS", "-n", "-Pn", "-p", "1-200", lab.address("b"), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            scans = (message["alert"] for message in feed("alert", 20.0))
            alert = next(one for one in scans if "Port scan" in one["finding"]["signature"])
        reader = Reader(service.data)
        assert wait_for(lambda: reader.capsule(alert["id"]) is not None, 10.0)
        capsule = reader.capsule(alert["id"])
        reader.close()
        exchange = service.data / "security_data.json"
        assert wait_for(lambda: json.loads(exchange.read_bytes())["suspicious_count"] >= 1, 5.0)
        assert wait_for(lambda: json.loads(exchange.read_bytes())["packet_history"], 15.0)
    assert capsule is not None
    packets = [dpkt.ethernet.Ethernet(data).data for _, data in dpkt.pcapng.Reader(io.BytesIO(capsule))]
    pair = {ip_address(lab.address("a")), ip_address(lab.address("b"))}
    assert all({ip_address(packet.src), ip_address(packet.dst)} == pair for packet in packets)
    syns = {packet.data.dport for packet in packets if packet.data.flags & 0x12 == 0x02}
    assert len(syns) >= 8, "as many ports as it takes to call it a scan within a second, or more"
    assert 20 <= len(packets) <= BEFORE_MAX + AFTER_MAX
