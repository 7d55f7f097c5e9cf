"""Rows for detectors, made from a few words each, and the whole way from frames to records."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from nsm.iana import PROTO_ICMP, PROTO_TCP
from nsm.model.address import Networks, halves
from nsm.model.batch import PacketBatch
from nsm.model.finding import Finding, NearMiss
from nsm.model.flow import FLOW, Outcome, Report
from nsm.model.interfaces import DetectorSpec, Surroundings
from nsm.model.records import Records
from nsm.model.table import TEXT, Rows, Table
from nsm.model.traffic import ANOMALY, ARP, TARGET
from nsm.track.contacts import SYN
from nsm.track.settings import WorkerSettings
from nsm.track.worker import Worker

T0_US = 1_700_000_000_000_000
SECOND_US = 1_000_000
TICK_US = 250_000
HOME = Networks(("10.0.0.0/8", "192.168.0.0/16", "fc00::/7"))
OUTSIDE, INSIDE, TARGET_HOST = "198.51.100.7", "10.0.0.66", "192.168.1.20"
MAC = 0x020000000001
Row = dict[str, Any]


class Seen(msgspec.Struct):
    """What a detector said about rows, and how often its bounds were reached."""

    findings: list[Finding]
    near: list[NearMiss]
    saturated: int


def rows_of(table: Table, rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Rows with the columns that the mappings have; all of them have the same ones."""
    columns = {
        name: np.array(
            [row[name] for row in rows], object if table.column(name).dtype == TEXT else table.column(name).dtype
        )
        for name in (rows[0] if rows else ())
    }
    return Rows(table, columns, len(rows))


def flow(
    at_s: float, src: str, dst: str, dport: int, outcome: Outcome = Outcome.UNANSWERED, *, sport: int = 40_000,
    proto: int = PROTO_TCP, flags: int = SYN, payload: int = 0, pkts: int = 1, pkts_c: int = 0, ttl: int = 64,
    marks: int = 0, src_mac: int = 0, report: Report = Report.OPENED,
) -> Row:  # fmt: skip
    """One FLOW row that was made ``at_s`` seconds after the start."""
    (src_hi, src_lo), (dst_hi, dst_lo) = halves(src), halves(dst)
    now = T0_US + round(at_s * SECOND_US)
    return {
        "ts": now, "dur_us": 0, "emit_us": now, "report": report, "outcome": outcome, "src_hi": src_hi, "src_lo": src_lo,
        "dst_hi": dst_hi, "dst_lo": dst_lo, "src_port": sport, "dst_port": dport, "proto": proto,
        "tcp_first": flags if proto == PROTO_TCP else 0, "payload_s": payload, "pkts_s": pkts, "pkts_c": pkts_c,
        "ttl_min_s": ttl, "marks": marks, "src_mac": src_mac,
    }  # fmt: skip


def flows(*parts: Iterable[Row]) -> Rows:
    """FLOW rows in order of time; each is a flow of its own."""
    rows = sorted(chain(*parts), key=lambda row: row["emit_us"])
    return rows_of(FLOW, [{**row, "flow_id": place} for place, row in enumerate(rows, 1)])


def address(number: int, network: str = "192.168.0.0") -> str:
    """The ``number``-th address after an IPv4 address."""
    value = (halves(network)[1] & 0xFFFFFFFF) + number
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def spread(number: int) -> str:
    """An outside address; no two numbers below 10,000 share a /24."""
    return f"{60 + number // 200}.{number % 200 + 1}.{number * 7 % 250 + 1}.{number * 13 % 250 + 1}"


def target(
    tick: int, dst: str, port: int, proto: int, pkts: int, *, syns: int = 0, flows: int | None = None, answered: int = 0,
    completed: int = 0, src: str = OUTSIDE, single: int = 0,
) -> Row:  # fmt: skip
    """One TARGET row: what came to a service in a tick."""
    (dst_hi, dst_lo), (src_hi, src_lo) = halves(dst), halves(src)
    return {
        "ts": T0_US + tick * TICK_US, "dst_hi": dst_hi, "dst_lo": dst_lo, "port": port, "proto": proto, "pkts": pkts,
        "bytes": 60 * pkts, "syns": syns, "flows": pkts if flows is None else flows, "answered": answered,
        "completed": completed, "evicted": 0, "src_hi": src_hi, "src_lo": src_lo, "single": single,
    }  # fmt: skip


def targets(rows: Iterable[Row]) -> Rows:
    """TARGET rows."""
    return rows_of(TARGET, list(rows))


def arp(at_s: float, opcode: int, src: str, dst: str) -> Row:
    """One ARP message."""
    return {
        "ts": T0_US + round(at_s * SECOND_US), "opcode": opcode, "src_lo": halves(src)[1], "dst_lo": halves(dst)[1]
    }  # fmt: skip


def arps(*parts: Iterable[Row]) -> Rows:
    """ARP rows in order of time."""
    return rows_of(ARP, sorted(chain(*parts), key=lambda row: row["ts"]))


def anomaly(at_s: float, event: str, src: str, dst: str, proto: int, value: int, *, flow_id: int = 0) -> Row:
    """One ANOMALY row; ports 4000 and 5000, or echo request for ICMP."""
    (src_hi, src_lo), (dst_hi, dst_lo) = halves(src), halves(dst)
    return {
        "ts": T0_US + round(at_s * SECOND_US), "event": event, "src_hi": src_hi, "src_lo": src_lo, "dst_hi": dst_hi,
        "dst_lo": dst_lo, "src_port": 8 if proto == PROTO_ICMP else 4_000, "dst_port": 0 if proto == PROTO_ICMP else 5_000,
        "proto": proto, "value": value, "flow_id": flow_id,
    }  # fmt: skip


def anomalies(rows: Iterable[Row]) -> Rows:
    """ANOMALY rows."""
    return rows_of(ANOMALY, list(rows))


def words_of(value: object) -> Iterator[str]:
    """Every text in a value of plain types."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from words_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from words_of(item)


def watch(spec: DetectorSpec, rows: Rows, portion: int = 0, **settings: Any) -> Seen:
    """What a fresh detector says about rows, handed over ``portion`` at a time (0: all at once).

    Every finding is held to what the page and the desk need of one.
    """
    detector = spec.detector(spec.settings(**settings), Surroundings(HOME))
    seen = Seen([], [], 0)
    for start in range(0, len(rows), portion or max(1, len(rows))):
        for item in detector.observe(rows.slice(start, start + (portion or len(rows)))):
            if isinstance(item, Finding):
                seen.findings.append(item)
            else:
                seen.near.append(item)
    seen.saturated = detector.saturated
    for finding in seen.findings:
        plain = msgspec.to_builtins(finding)
        assert not [word for word in words_of(plain) if "None" in word or "nan" in word.split()]
        assert finding.detector == spec.name
        assert set(spec.attack) & set(finding.techniques)
        assert finding.explain.what
        assert finding.explain.why
        assert finding.explain.next
        assert finding.explain.benign
        assert len(finding.flow_ids) <= 5
        assert finding.first_seen <= finding.ts
        assert finding.count >= 1
    return seen


def assert_same_in_portions(spec: DetectorSpec, rows: Rows, **settings: Any) -> None:
    """The same rows one by one, by seven and at once give the same findings and near misses, and some."""
    whole = watch(spec, rows, **settings)
    assert whole.findings
    assert watch(spec, rows, 1, **settings) == whole
    assert watch(spec, rows, 7, **settings) == whole


def measured(seen: Seen) -> list[float]:
    """What each finding measured."""
    return [finding.measured for finding in seen.findings]


def frame(src: str, dst: str, proto: int, segment: bytes, *, ttl: int = 64) -> bytes:
    """An Ethernet frame with an IPv4 packet; its checksums are not filled in."""
    ends = b"".join(struct.pack(">I", halves(text)[1] & 0xFFFFFFFF) for text in (src, dst))
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, ttl, proto, 0) + ends + segment
    return bytes.fromhex("020000000002020000000001") + b"\x08\x00" + packet


def tcp(sport: int, dport: int, flags: int, payload: bytes = b"") -> bytes:
    """A TCP segment."""
    return struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, flags, 64_240, 0, 0) + payload


def udp(sport: int, dport: int, payload: bytes = b"") -> bytes:
    """A UDP datagram."""
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def echo(number: int, size: int = 56, *, reply: bool = False) -> bytes:
    """An ICMP echo request, or the reply to it."""
    return struct.pack(">BBHHH", 0 if reply else 8, 0, 0, number, 1) + bytes(size)


def records_of(frames: Sequence[tuple[float, bytes]], portion: int = 0) -> Records:
    """Everything that a worker makes of (seconds after the start, frame)."""
    worker = Worker(WorkerSettings(home_net=HOME.texts, batch_packets=max(16, len(frames))))
    for start in range(0, len(frames), portion or max(1, len(frames))):
        part = frames[start : start + (portion or len(frames))]
        data = b"".join(content for _, content in part)
        batch = PacketBatch(np.frombuffer(data + bytes(64), np.uint8).copy(), len(part))
        sizes = np.array([len(content) for _, content in part], np.uint32)
        batch.ts_ns[:] = [(T0_US + round(at_s * SECOND_US)) * 1_000 for at_s, _ in part]
        batch.offset[:] = np.cumsum(sizes) - sizes
        batch.caplen[:] = batch.wirelen[:] = sizes
        batch.links[:] = 1
        batch.count, batch.first_number = len(part), start + 1
        worker.feed(batch)
    worker.finish()
    return worker.take()
