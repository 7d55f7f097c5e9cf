"""The flow table beside its twin: random conversations of a few hosts, with silences that end flows."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nsm.kernels.jit import COMPILED
from nsm.model.flow import EndReason, Report
from nsm.track.settings import FlowSettings, WorkerSettings
from nsm.track.worker import Worker
from tests.kernels import naive
from tests.kernels.feeding import batch_of
from tests.kernels.frames import ACK, FIN, PSH, RST, SYN, framed, icmp_ip, ip, tcp_ip, udp_ip
from tests.kernels.naive_flows import Flow, track

HOSTS = ("10.0.0.1", "198.51.100.2", "fd00::1", "2001:db8::9")
PORTS = (22, 80, 53, 4_000)
FLAGS = (SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, 0, FIN, SYN | FIN)
GAPS_MS = (
    0,
    1,
    40,
    249,
    250,
    900,
    4_999,
    5_001,
    29_999,
    30_001,
    59_000,
    61_000,
    290_000,
    301_000,
    3_500_000,
    3_700_000,
)
Item = tuple[int, bytes]  # time in ns, frame


@st.composite
def packets(draw: st.DrawFn) -> list[Item]:
    now, out = draw(st.sampled_from((0, 1_700_000_000 * 10**9))), []
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from(GAPS_MS)) * 1_000_000 + draw(st.integers(0, 999))
        first = draw(st.sampled_from((0, 2)))  # both ends of one IP version
        a, b = HOSTS[first], HOSTS[first + 1]
        if draw(st.booleans()):
            a, b = b, a
        sport, dport = draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))
        kind = draw(st.sampled_from(("tcp", "tcp", "tcp", "udp", "echo", "other", "refusal", "tunnel")))
        body = bytes(draw(st.sampled_from((0, 0, 5, 900))))
        if kind in ("tcp", "tunnel"):
            packet = tcp_ip(
                a, b, sport, dport, draw(st.sampled_from(FLAGS)), body, draw(st.sampled_from((1, 6, 2**32 - 3)))
            )
            packet = ip(HOSTS[0], HOSTS[1], 41 if ":" in a else 4, packet) if kind == "tunnel" else packet
        elif kind == "udp":
            packet = udp_ip(a, b, sport, dport, body, draw(st.sampled_from((1, 64, 255))))
        elif kind == "echo":
            request = draw(st.booleans())
            packet = icmp_ip(a, b, (128 if request else 129) if ":" in a else (8 if request else 0), 0, body=body)
        elif kind == "other":
            packet = ip(a, b, 89, body)
        else:
            about = tcp_ip(b, a, dport, sport, SYN) if draw(st.booleans()) else udp_ip(b, a, dport, sport)
            packet = icmp_ip(a, b, 1 if ":" in a else 3, 4 if ":" in a else 3, bytes(4), about)
        out.append((now, framed(packet)))
    return out


def told(flow: Flow) -> tuple[Any, ...]:
    sides = [
        (side.pkts, side.bytes, side.payload, side.flags, side.ttl_min, side.ttl_max)
        for side in (flow.server, flow.client)
    ]
    return (
        flow.first // 1_000, flow.last // 1_000, flow.src, flow.dst, flow.proto, flow.depth, flow.outcome, flow.state,
        flow.flags_first, flow.syn_ack_us, flow.ack_us, flow.retrans, flow.reused, *sides,
    )  # fmt: skip


def ended(items: list[Item], portion: int) -> list[tuple[Any, ...]]:
    """The ended flows of a worker, in the words of ``told``."""
    settings_ = WorkerSettings(flow=FlowSettings(records_max=256, targets_max=256), batch_packets=32)
    with np.errstate(over="ignore"):
        worker = Worker(settings_)
        for at in range(0, len(items), portion):
            part = items[at : at + portion]
            worker.feed(batch_of([frame for _, frame in part], times=[ts for ts, _ in part]))
        worker.finish()
        rows = worker.take().flows
    rows = rows.take(rows["report"] == Report.ENDED)
    column = {
        name: rows[name].tolist()
        for name in (
            "ts", "dur_us", "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "proto", "depth", "outcome",
            "tcp_state", "tcp_first", "syn_ack_us", "ack_us", "retrans", "reason", "pkts_s", "pkts_c", "bytes_s", "bytes_c",
            "payload_s", "payload_c", "tcp_s", "tcp_c", "ttl_min_s", "ttl_min_c", "ttl_max_s", "ttl_max_c",
        )
    }  # fmt: skip
    found = []
    for i in range(len(rows)):
        row = {name: values[i] for name, values in column.items()}
        ends = [
            (row[f"{end}_hi"].to_bytes(8, "big") + row[f"{end}_lo"].to_bytes(8, "big"), row[f"{end}_port"])
            for end in ("src", "dst")
        ]
        sides = [
            tuple(row[f"{name}_{side}"] for name in ("pkts", "bytes", "payload", "tcp", "ttl_min", "ttl_max"))
            for side in "sc"
        ]
        found.append((
            row["ts"] - row["dur_us"], row["ts"], *ends, row["proto"], row["depth"], row["outcome"], row["tcp_state"],
            row["tcp_first"], row["syn_ack_us"], row["ack_us"], row["retrans"], row["reason"] == EndReason.TCP_REUSE, *sides,
        ))  # fmt: skip
    return sorted(found)


@given(packets(), st.integers(1, 30))
@settings(max_examples=300 if COMPILED else 40)
@example(
    [(0, framed(tcp_ip(HOSTS[0], HOSTS[1], 80, 80, SYN))), (1, framed(tcp_ip(HOSTS[1], HOSTS[0], 80, 80, SYN | ACK)))],
    1,
)
def test_flows_are_the_twins(items: list[Item], portion: int) -> None:
    rows = [(ts, len(frame), row) for ts, frame in items for row in naive.decode(frame, len(frame), 1)]
    assert ended(items, portion) == sorted(told(flow) for flow in track(rows))
