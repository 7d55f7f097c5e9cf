"""``nsm.read``, ``nsm.flows``, ``nsm.write_zeek``: what they accept, what they give, and their errors."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import nsm
from nsm.errors import RuleError, SinkError
from nsm.model.flow import FLOW
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap, pcapng

SCAN = pcap(in_time(CASES["connect"]))


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "a.pcap"
    path.write_bytes(SCAN)
    return path


def test_the_public_names_are_there() -> None:
    for name in nsm.__all__:
        assert getattr(nsm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nsm.nothing  # noqa: B018 - asking is the test


def test_every_form_of_a_file_gives_the_same(capture: Path, tmp_path: Path) -> None:
    expected = list(nsm.read(capture))
    assert list(nsm.read(str(capture))) == expected
    packed = tmp_path / "a.pcap.gz"
    packed.write_bytes(gzip.compress(SCAN))
    assert list(nsm.read(packed)) == expected
    other = tmp_path / "a.pcapng"
    other.write_bytes(pcapng(in_time(CASES["connect"])))
    assert list(nsm.read(other)) == expected


def test_reading_is_lazy_and_can_be_left(capture: Path) -> None:
    events = nsm.read(capture)
    assert next(events)["event_type"] in {"alert", "flow"}
    events.close()  # type: ignore[attr-defined]  # it is a generator, whatever it is promised to be


def test_flows_are_the_flow_events(capture: Path) -> None:
    table = nsm.flows(capture)
    events = [event for event in nsm.read(capture) if event["event_type"] == "flow"]
    assert table["flow_id"].to_pylist() == [event["flow_id"] for event in events]
    assert table["src_ip"].to_pylist() == [event["src_ip"] for event in events]
    assert table["dst_port"].to_pylist() == [event["dest_port"] for event in events]
    assert table["bytes_s"].to_pylist() == [event["flow"]["bytes_toserver"] for event in events]
    assert set(FLOW.names) >= set(table.column_names) - {"src_ip", "dest_ip"}


def test_home_networks_are_a_setting(capture: Path) -> None:
    alerts = [e for e in nsm.read(capture, settings={"home_net": ["203.0.113.0/24"]}) if e["event_type"] == "alert"]
    # Now the scanner is one of ours, and that is no reconnaissance from outside.
    assert alerts[0]["alert"]["metadata"]["mitre_technique_id"] == ["T1046"]


def test_zeek_gets_its_log(capture: Path, tmp_path: Path) -> None:
    nsm.write_zeek(capture, tmp_path / "logs")
    lines = (tmp_path / "logs" / "conn.log").read_text().splitlines()
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    rows = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]
    states = sorted({row["conn_state"] for row in rows})
    assert states == ["REJ", "RSTO", "S0"]
    refused = next(row for row in rows if row["conn_state"] == "REJ")
    assert (refused["history"], refused["orig_pkts"], refused["resp_pkts"]) == ("Sr", "1", "1")
    assert all(row["uid"].startswith("C") for row in rows)
    assert len({row["uid"] for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "it is empty"), (b"hello, world", "looks like text"), (SCAN[:20], "ends inside the file header")],
)
def test_what_is_no_capture_is_one_line(content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "x\ny.pcap"
    path.write_bytes(content)
    with pytest.raises(nsm.CaptureError, match=match) as caught:
        list(nsm.read(path))
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path, capture: Path) -> None:
    with pytest.raises(nsm.CaptureError, match=r"none\.pcap"):
        list(nsm.read(tmp_path / "none.pcap"))
    with pytest.raises(RuleError, match=r"none\.rules"):
        list(nsm.read(capture, rules=[tmp_path / "none.rules"]))
    with pytest.raises(SinkError, match="cannot write"):
        nsm.write_zeek(capture, capture / "inside a file")


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_packet": 1},
        {"batch_packets": 0},
        {"home_net": ["10.0.0.0/99"]},
        {"flow": {"records_max": "many"}},
        {"flow": {"records_max": 10**12}},
        {"flow": {"tcp_new_s": -1.0}},
    ],
)
def test_wrong_settings_are_said_before_anything_is_read(settings: dict[str, object], capture: Path) -> None:
    with pytest.raises(nsm.SettingsError):
        list(nsm.read(capture, settings=settings))
