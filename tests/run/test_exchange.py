"""``security_data.json`` has the seed's very form, is bounded, and is never seen half written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsm.model.flow import FLOW
from nsm.model.table import TEXT, Rows
from nsm.run.exchange import HISTORY_MAX, INTERVAL_S, NAME, THREATS_MAX, ExchangeFile

ROW: dict[str, Any] = {
    "ts": 1_700_000_000.0, "event_type": "network_scan", "severity": "high", "src_ip": "10.0.0.1", "src_port": 0,
    "dest_ip": "10.0.0.2", "dest_port": 0, "proto": "TCP", "details": "many ports", "flow_id": None, "alert_id": "a",
}  # fmt: skip


def flows(count: int, proto: int = 6) -> Rows:
    """Flow reports of so many flows, each of 100 and 20 bytes."""
    columns = {
        column.name: np.zeros(count, object if column.dtype == TEXT else column.dtype) for column in FLOW.columns
    }
    columns["proto"][:] = proto
    columns["ts"][:] = 1_700_000_000_000_000 + np.arange(count) * 1_000_000
    columns["src_lo"][:], columns["dst_lo"][:] = 0xFFFF0A000001, 0xFFFF0A000002
    columns["bytes_s"][:], columns["bytes_c"][:] = 100, 20
    return Rows(FLOW, columns, count)


def written(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / NAME).read_bytes())
    return content


def test_the_form_is_that_of_the_seed(tmp_path: Path) -> None:
    file = ExchangeFile(tmp_path)
    file.packets(7)
    file.threat(ROW)
    file.flows(flows(1))
    file.flows(flows(1, proto=17))
    file.flows(flows(1, proto=1))
    file.write(0.0)
    content = written(tmp_path)
    assert list(content) == ["total_packets", "suspicious_count", "recent_threats", "packet_history"]
    assert (content["total_packets"], content["suspicious_count"]) == (7, 1)
    assert content["recent_threats"][0]["source_ip"] == "10.0.0.1"
    assert [entry["protocol"] for entry in content["packet_history"]] == ["TCP", "UDP"]
    entry = content["packet_history"][0]
    assert list(entry) == ["timestamp", "src", "dst", "size", "protocol"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", entry["timestamp"])
    assert (entry["src"], entry["dst"], entry["size"]) == ("10.0.0.1", "10.0.0.2", 120)


def test_the_lists_keep_the_newest(tmp_path: Path) -> None:
    file = ExchangeFile(tmp_path)
    for number in range(THREATS_MAX + 5):
        file.threat({**ROW, "details": str(number)})
    file.flows(flows(HISTORY_MAX + 50))
    file.flows(flows(1, proto=17))
    content = file.content()
    assert content["suspicious_count"] == THREATS_MAX + 5
    assert [row["details"] for row in content["recent_threats"]] == [str(n) for n in range(5, THREATS_MAX + 5)]
    assert len(content["packet_history"]) == HISTORY_MAX
    assert content["packet_history"][-1]["protocol"] == "UDP"


def test_informational_alerts_are_no_threats(tmp_path: Path) -> None:
    file = ExchangeFile(tmp_path)
    file.threat({**ROW, "severity": "info"})
    assert file.content()["suspicious_count"] == 0


def test_it_is_written_when_something_changed_and_not_more_often_than_the_interval(tmp_path: Path) -> None:
    file = ExchangeFile(tmp_path)
    file.write(0.0)
    file.packets(1)
    file.write(INTERVAL_S / 2)
    assert written(tmp_path)["total_packets"] == 0
    file.write(INTERVAL_S)
    assert written(tmp_path)["total_packets"] == 1
    (tmp_path / NAME).unlink()
    file.packets(1)
    file.write(3 * INTERVAL_S)
    assert not (tmp_path / NAME).exists()
    assert list(tmp_path.iterdir()) == []


def test_clearing_the_logs_empties_the_lists(tmp_path: Path) -> None:
    file = ExchangeFile(tmp_path)
    file.threat(ROW)
    file.flows(flows(3))
    file.clear()
    assert file.content() == {"total_packets": 0, "suspicious_count": 0, "recent_threats": [], "packet_history": []}


def test_a_place_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = ExchangeFile(tmp_path / "missing")
    file.write(0.0)
    file.write(INTERVAL_S)
    assert [record.message.split()[0] for record in caplog.records] == ["cannot"]
    (tmp_path / "missing").mkdir()
    file.write(2 * INTERVAL_S)
    assert written(tmp_path / "missing")["total_packets"] == 0
