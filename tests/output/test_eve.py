"""EVE JSON: every line is a JSON object with the fields that Suricata's schema names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.address import halves
from nsm.model.finding import Alert, Explain, Finding, Severity
from nsm.model.flow import APPS, FLOW, Report
from nsm.model.table import Column, Rows
from nsm.model.traffic import ANOMALY
from nsm.output.eve import EveOptions, EveWriter, community_id, in_order, stamp, stamps
from tests.detect.rows import INSIDE, OUTSIDE, T0_US, echo, frame, records_of, tcp, udp

Event = dict[str, Any]
V6 = ("2001:db8::1", "2001:db8::2")


def read(lines: Iterable[tuple[int, bytes]]) -> list[Event]:
    """The events of lines; each has to be one line of JSON."""
    kept = [line for _, line in lines]
    assert not [line for line in kept if b"\n" in line]
    return [json.loads(line) for line in kept]


def ended(**words: Any) -> Rows:
    """One FLOW row that ended: a TCP connection between outside and inside, unless said otherwise."""
    src, dst = words.pop("src", OUTSIDE), words.pop("dst", INSIDE)
    plain: dict[str, Any] = {
        "ts": T0_US + 2_500_000, "dur_us": 2_500_000, "emit_us": T0_US + 3_000_000, "report": Report.ENDED,
        "flow_id": 77, "ip_v": 6 if ":" in src else 4, "src_hi": halves(src)[0], "src_lo": halves(src)[1],
        "dst_hi": halves(dst)[0], "dst_lo": halves(dst)[1], "src_port": 40_000, "dst_port": 443, "proto": 6, "app": "tls",
        "pkts_s": 5, "pkts_c": 4, "bytes_s": 500, "bytes_c": 4_000, "tcp_s": 0x1B, "tcp_c": 0x12, "tcp_state": 10,
        "state": 2, "reason": 2, "ttl_min_s": 60, "ttl_max_s": 61, "ttl_min_c": 64, "ttl_max_c": 64, "icmp_reply": 0xFFFF,
    }  # fmt: skip
    columns = {
        name: np.array([value], object if FLOW.column(name).dtype == "text" else FLOW.column(name).dtype)
        for name, value in (plain | words).items()
    }
    rows = Rows(FLOW, columns, 1)
    rows["tick"] = np.array([12], np.int64)
    return rows


def flow_event(options: EveOptions | None = None, **words: Any) -> Event:
    """The flow event of such a row."""
    (event,) = read(EveWriter(options or EveOptions()).flows(ended(**words)))
    return event


def alert() -> Alert:
    """An alert about a scan."""
    finding = Finding(
        detector="port_scan", key=(OUTSIDE, INSIDE, "TCP"), kind="network_scan", signature="Port scan (SYN)",
        signature_id=9_000_001, category="Detection of a Network Scan", ts=T0_US, first_seen=T0_US - 1, actors=(OUTSIDE,),
        victims=(INSIDE,), measured=8, threshold=8, unit="ports", window_s=1, impact=Severity.LOW, confidence=0.9,
        techniques=("T1046",), tactics=("TA0007",), flow_ids=(5, 6), src_ip=OUTSIDE, dest_ip=INSIDE, src_port=40_000,
        dest_port=80, proto=6, explain=Explain('it said "hello"\n', "why"),
    )  # fmt: skip
    return Alert(
        id="A1", finding=finding, severity=Severity.MEDIUM, risk=27, count=8, first_seen=T0_US - 1, last_seen=T0_US
    )


def anomaly_rows(event: str = "decoder.ipv4.trunc_pkt", ip_v: int = 4) -> Rows:
    """One ANOMALY row."""
    (src_hi, src_lo), (dst_hi, dst_lo) = halves(OUTSIDE), halves(INSIDE)
    values = {
        "ts": T0_US, "packet": 3, "flow_id": 9, "vlan": 7, "ip_v": ip_v, "src_hi": src_hi, "src_lo": src_lo, "dst_hi": dst_hi,
        "dst_lo": dst_lo, "src_port": 1, "dst_port": 2, "proto": 17,
    }  # fmt: skip
    columns = {name: np.array([value], ANOMALY.column(name).dtype) for name, value in values.items()}
    rows = Rows(ANOMALY, {"event": np.array([event], object), **columns}, 1)
    rows["tick"] = np.array([1], np.int64)
    return rows


def test_a_flow_has_the_fields_of_its_event() -> None:
    assert flow_event() == {
        "timestamp": "2023-11-14T22:13:23.000000+0000", "flow_id": 77, "event_type": "flow", "src_ip": OUTSIDE,
        "src_port": 40_000, "dest_ip": INSIDE, "dest_port": 443, "ip_v": 4, "proto": "TCP", "app_proto": "tls",
        "flow": {
            "pkts_toserver": 5, "pkts_toclient": 4, "bytes_toserver": 500, "bytes_toclient": 4_000,
            "start": "2023-11-14T22:13:20.000000+0000", "end": "2023-11-14T22:13:22.500000+0000", "age": 2,
            "state": "closed", "reason": "shutdown", "alerted": False,
        },
        "tcp": {
            "tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "12", "syn": True, "fin": True, "psh": True,
            "ack": True, "state": "closed",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "name"), [(0x01, "fin"), (0x02, "syn"), (0x04, "rst"), (0x08, "psh"), (0x10, "ack"), (0x20, "urg"),
                       (0x40, "ecn"), (0x80, "cwr")],
)  # fmt: skip
def test_each_flag_of_either_side_has_its_name(flag: int, name: str) -> None:
    there, back = flow_event(tcp_s=flag, tcp_c=0)["tcp"], flow_event(tcp_s=0, tcp_c=flag)["tcp"]
    assert [key for key, value in there.items() if value is True] == [name]
    assert [key for key, value in back.items() if value is True] == [name]
    assert (there["tcp_flags_ts"], there["tcp_flags_tc"]) == (f"{flag:02x}", "00")


def test_only_flows_that_ended_are_written() -> None:
    assert read(EveWriter(EveOptions()).flows(ended(report=Report.OPENED))) == []
    assert read(EveWriter(EveOptions()).flows(Rows.empty(FLOW))) == []


def test_netflow_is_an_event_for_each_side() -> None:
    there, back = read(EveWriter(EveOptions(types=frozenset({"netflow"}))).flows(ended()))
    assert (there["event_type"], there["src_ip"], there["dest_ip"]) == ("netflow", OUTSIDE, INSIDE)
    assert (back["src_ip"], back["src_port"], back["dest_port"]) == (INSIDE, 443, 40_000)
    assert there["netflow"] == {
        "pkts": 5, "bytes": 500, "start": "2023-11-14T22:13:20.000000+0000", "end": "2023-11-14T22:13:22.500000+0000",
        "age": 2, "min_ttl": 60, "max_ttl": 61,
    }  # fmt: skip
    assert (back["netflow"]["pkts"], back["netflow"]["bytes"]) == (4, 4_000)


def test_vlan_tags_are_listed_outer_first() -> None:
    assert "vlan" not in flow_event()
    assert flow_event(vlan=7)["vlan"] == [7]
    assert flow_event(vlan=7, vlan_inner=9)["vlan"] == [7, 9]


def test_the_interface_is_named_when_it_has_a_name() -> None:
    assert flow_event(EveOptions(interfaces=('e"0',)))["in_iface"] == 'e"0'
    assert "in_iface" not in flow_event(EveOptions(interfaces=("eth0",)), iface=1)


def test_ipv6_is_written_in_full_unless_it_is_to_be_compressed() -> None:
    full = flow_event(src=V6[0], dst=V6[1])
    assert (full["src_ip"], full["ip_v"]) == ("2001:0db8:0000:0000:0000:0000:0000:0001", 6)
    assert flow_event(EveOptions(ipv6_compress=True), src=V6[0], dst=V6[1])["dest_ip"] == V6[1]


def test_icmp_has_type_and_code_and_no_ports() -> None:
    event = flow_event(proto=1, src_port=8, dst_port=0, icmp_reply=0)
    assert not {"src_port", "dest_port", "tcp"} & set(event)
    assert (event["proto"], event["icmp_type"], event["icmp_code"]) == ("ICMP", 8, 0)
    assert (event["response_icmp_type"], event["response_icmp_code"]) == (0, 0)
    assert "response_icmp_type" not in flow_event(proto=1, src_port=3, dst_port=1)
    assert flow_event(proto=1, src_port=3, dst_port=1)["icmp_code"] == 1


def test_hardware_addresses_and_the_name_of_the_capture_are_written_on_request() -> None:
    event = flow_event(EveOptions(ethernet=True, capture_file='a"b.pcap'), src_mac=0x020000000001, dst_mac=0x0A)
    assert event["ether"] == {"src_macs": ["02:00:00:00:00:01"], "dest_macs": ["00:00:00:00:00:0a"]}
    assert event["capture_file"] == 'a"b.pcap'


# The first is of the reference text beside the project, the others of the specification's own examples.
COMMUNITY = [
    ("141.142.228.5", "192.150.187.43", 59_856, 80, 6, "1:yvyB8h+3dnggTZW0UEITWCst97w="),
    ("1.2.3.4", "5.6.7.8", 1_122, 3_344, 6, "1:wCb3OG7yAFWelaUydu0D+125CLM="),
    ("1.2.3.4", "5.6.7.8", 1_122, 3_344, 17, "1:0Mu9InQx6z4ZiCZM/7HXi2WMhOg="),
    ("192.168.0.89", "192.168.0.1", 8, 0, 1, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
]


@pytest.mark.parametrize(("src", "dst", "sport", "dport", "proto", "expected"), COMMUNITY)
def test_community_id(src: str, dst: str, sport: int, dport: int, proto: int, expected: str) -> None:
    assert community_id(src, dst, sport, dport, proto) == expected
    assert community_id(dst, src, dport, sport, proto) == expected
    assert community_id(src, dst, sport, dport, proto, seed=1) != expected


def test_the_community_id_is_in_both_events_of_a_flow() -> None:
    options = EveOptions(types=frozenset({"flow", "netflow"}), community_id=True)
    events = read(EveWriter(options).flows(ended(src="1.2.3.4", dst="5.6.7.8", src_port=1_122, dst_port=3_344)))
    assert [event["community_id"] for event in events] == ["1:wCb3OG7yAFWelaUydu0D+125CLM="] * 3


def test_an_anomaly_has_the_fields_of_its_event() -> None:
    (event,) = read(EveWriter(EveOptions()).anomalies(anomaly_rows()))
    assert event == {
        "timestamp": "2023-11-14T22:13:20.000000+0000", "flow_id": 9, "pcap_cnt": 3, "event_type": "anomaly", "vlan": [7],
        "src_ip": OUTSIDE, "src_port": 1, "dest_ip": INSIDE, "dest_port": 2, "ip_v": 4, "proto": "UDP",
        "pkt_src": "wire/pcap", "anomaly": {"type": "decode", "event": "decoder.ipv4.trunc_pkt"},
    }  # fmt: skip


def test_an_anomaly_of_a_packet_that_is_not_ip_has_no_addresses() -> None:
    (event,) = read(EveWriter(EveOptions()).anomalies(anomaly_rows(ip_v=0)))
    assert not {"src_ip", "dest_ip", "proto"} & set(event)


def test_what_is_only_for_detectors_or_not_wanted_is_not_written() -> None:
    assert read(EveWriter(EveOptions()).anomalies(anomaly_rows("nsm.large_packet"))) == []
    assert read(EveWriter(EveOptions(decode_anomalies=False)).anomalies(anomaly_rows())) == []
    assert read(EveWriter(EveOptions(types=frozenset({"flow"}))).anomalies(anomaly_rows())) == []


def test_an_alert_has_the_fields_of_its_event_and_ours_beside_them() -> None:
    tick, line = EveWriter(EveOptions()).alert(alert())
    event = json.loads(line)
    ours = event.pop("nsm")
    assert tick * 250_000 >= T0_US
    assert event == {
        "timestamp": "2023-11-14T22:13:20.000000+0000", "flow_id": 6, "event_type": "alert", "src_ip": OUTSIDE,
        "src_port": 40_000, "dest_ip": INSIDE, "dest_port": 80, "proto": "TCP",
        "alert": {
            "action": "allowed", "gid": 1, "signature_id": 9_000_001, "rev": 1, "signature": "Port scan (SYN)",
            "category": "Detection of a Network Scan", "severity": 2,
            "metadata": {"mitre_technique_id": ["T1046"], "mitre_tactic_id": ["TA0007"]},
        },
    }  # fmt: skip
    assert (ours["id"], ours["severity"], ours["risk"], ours["count"]) == ("A1", "medium", 27, 8)
    assert ours["explain"]["what"] == 'it said "hello"\n'


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "1970-01-01T00:00:00.000000+0000"), (T0_US + 1, "2023-11-14T22:13:20.000001+0000"),
     (2**62, "9999-12-31T23:59:59.387904+0000")],
)  # fmt: skip
def test_time_stamps(us: int, text: str) -> None:
    assert stamp(us) == text
    assert stamps(np.array([us, us], np.int64)) == [text, text]


def test_lines_are_merged_by_tick_and_in_the_order_of_their_streams() -> None:
    assert in_order([(2, b"c"), (3, b"e")], [(1, b"a"), (2, b"d")], []) == [b"a", b"c", b"d", b"e"]
    assert in_order() == in_order([], []) == []


def any_value(column: Column) -> st.SearchStrategy[Any]:
    if column.dtype == "text":
        return st.sampled_from(APPS) if column.name == "app" else st.text(max_size=12)
    known = {"report": 2, "state": 2, "reason": 4, "tcp_state": 10, "outcome": 3}
    info = np.iinfo(column.dtype)
    return st.integers(int(info.min), known.get(column.name, int(info.max)))


@given(st.fixed_dictionaries({column.name: any_value(column) for column in FLOW.columns}))
def test_any_values_of_columns_give_lines_of_json(values: Event) -> None:
    values |= {"report": Report.ENDED, "dur_us": values["dur_us"] % 2**40, "ts": abs(values["ts"]) % 2**58}
    columns = {
        name: np.array([value], object if FLOW.column(name).dtype == "text" else FLOW.column(name).dtype)
        for name, value in values.items()
    }
    rows = Rows(FLOW, {**columns, "tick": np.array([1], np.int64)}, 1)
    options = EveOptions(types=frozenset({"flow", "netflow"}), community_id=True, ethernet=True, interfaces=("eth0",))
    assert [event["event_type"] for event in read(EveWriter(options).flows(rows))] == ["flow", "netflow", "netflow"]


def test_events_of_frames_keep_to_the_schema(corpus: Path) -> None:
    schema = json.loads((corpus / "suricata-verify" / "eve-schema.json").read_text(encoding="utf-8"))
    checker = jsonschema_rs.validator_for(schema)
    records = records_of([
        (0.0, frame(INSIDE, OUTSIDE, 6, tcp(40_000, 80, 0x02))), (0.1, frame(OUTSIDE, INSIDE, 6, tcp(80, 40_000, 0x12))),
        (0.2, frame(INSIDE, OUTSIDE, 17, udp(5_000, 53, b"x"))), (0.3, frame(INSIDE, OUTSIDE, 1, echo(1))),
        (0.4, frame(OUTSIDE, INSIDE, 1, echo(1, reply=True))), (0.5, frame(INSIDE, OUTSIDE, 17, b"\0\1\0")),
    ])  # fmt: skip
    types = frozenset({"flow", "netflow", "anomaly", "alert"})
    writer = EveWriter(EveOptions(types=types, community_id=True, ethernet=True))
    events = read([*writer.flows(records.flows), *writer.anomalies(records.anomalies), writer.alert(alert())])
    assert {event["event_type"] for event in events} == types
    for event in events:
        event.pop("nsm", None)
        assert [error.message for error in checker.iter_errors(event)] == []
