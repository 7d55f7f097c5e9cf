"""What flows moved since the last call, beside the flows of the twin: everything is told, and told once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.kernels.jit import COMPILED
from nsm.model.table import Rows
from nsm.track.settings import FlowSettings, WorkerSettings
from nsm.track.tracker import FlowTracker
from nsm.track.worker import Worker
from tests.kernels import naive
from tests.kernels.feeding import batch_of
from tests.kernels.frames import ACK, RST, SYN, framed, tcp_ip
from tests.kernels.naive_flows import Flow, track
from tests.kernels.test_flows import HOSTS, Item, packets

SETTINGS = WorkerSettings(flow=FlowSettings(records_max=256, targets_max=256), batch_packets=32)
Key = tuple[bytes, bytes, int, int, str]  # client, server, its port, protocol, to whom
Bytes = Counter[Key]


def told(rows: Rows) -> Bytes:
    moved: Bytes = Counter()
    names = ("src_hi", "src_lo", "dst_hi", "dst_lo", "dst_port", "proto", "bytes_s", "bytes_c")
    for s_hi, s_lo, d_hi, d_lo, port, proto, to_server, to_client in zip(
        *(rows[name].tolist() for name in names), strict=True
    ):
        assert to_server or to_client
        src, dst = ((hi << 64 | lo).to_bytes(16, "big") for hi, lo in ((s_hi, s_lo), (d_hi, d_lo)))
        moved += Counter({(src, dst, port, proto, "server"): to_server, (src, dst, port, proto, "client"): to_client})
    return moved


def expected(flows: list[Flow]) -> Bytes:
    moved: Bytes = Counter()
    for flow in flows:
        key = flow.src[0], flow.dst[0], flow.dst[1], flow.proto
        moved += Counter({(*key, "server"): flow.server.bytes, (*key, "client"): flow.client.bytes})
    return moved


def flows_of(items: list[Item]) -> list[Flow]:
    return track([(ts, len(frame), row) for ts, frame in items for row in naive.decode(frame, len(frame), 1)])


def tracker_of(worker: Worker, rows_max: int) -> FlowTracker:
    """The worker's tracker, which tells of at most ``rows_max`` flows at once."""
    tracker = worker._tracker
    tracker._activity = np.zeros(rows_max * 7, np.uint64)
    return tracker


def drained(tracker: FlowTracker, rows_max: int) -> Bytes:
    """What calls tell until there is nothing left."""
    moved: Bytes = Counter()
    for _ in range(100):  # there are fewer flows
        rows = tracker.activity()
        assert len(rows) <= rows_max
        moved += told(rows)
        if not len(rows):
            return moved
    raise AssertionError("it tells the same again and again")


@given(packets(), st.sets(st.integers(0, 40)), st.sampled_from((1, 2, 3, 256)))
@settings(max_examples=150 if COMPILED else 20)
def test_calls_anywhere_tell_every_byte_once(items: list[Item], calls: set[int], rows_max: int) -> None:
    moved: Bytes = Counter()
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        tracker = tracker_of(worker, rows_max)
        for place, (ts, frame) in enumerate(items):
            if place in calls:
                moved += drained(tracker, rows_max)
            worker.feed(batch_of([frame], times=[ts]))
        moved += drained(tracker, rows_max)
    assert moved == expected(flows_of(items))


@given(packets(), st.integers(1, 4))
@settings(max_examples=150 if COMPILED else 20)
def test_each_call_tells_what_moved_since_the_one_before(items: list[Item], portion: int) -> None:
    items = [(0, frame) for _, frame in items]
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        before: Bytes = Counter()
        for at in range(0, len(items), portion):
            worker.feed(batch_of([frame for _, frame in items[at : at + portion]], times=[0] * len(items)))
            now = expected(flows_of(items[: at + portion]))
            assert told(worker.activity()) == now - before
            before = now


@given(packets(), st.integers(1, 5))
@settings(max_examples=100 if COMPILED else 15)
def test_what_finds_no_room_waits_for_the_next_call(items: list[Item], rows_max: int) -> None:
    items = [(0, frame) for _, frame in items]
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        tracker = tracker_of(worker, rows_max)
        worker.feed(batch_of([frame for _, frame in items] or [b""], times=[0] * len(items)))
        sizes: list[int] = []
        while (rows := len(tracker.activity())) and len(sizes) < 100:
            sizes.append(rows)
    flows = len(flows_of(items))
    assert sizes == [rows_max] * (flows // rows_max) + [flows % rows_max] * (flows % rows_max > 0)


def test_the_last_bytes_of_a_flow_that_begins_again_are_told() -> None:
    a, b = HOSTS[:2]
    syn, refusal = framed(tcp_ip(a, b, 9, 80, SYN)), framed(tcp_ip(b, a, 80, 9, RST | ACK))
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        worker.feed(batch_of([syn, refusal, syn], times=[0, 1, 2]))
        rows = worker.activity()
    assert (int(rows["bytes_s"].sum()), int(rows["bytes_c"].sum())) == (2 * 54, 54)


def test_late_records_have_their_turn_when_early_ones_never_rest() -> None:
    a, b = HOSTS[:2]
    frames = [framed(tcp_ip(a, b, 1_000 + place, 80, SYN)) for place in range(6)]
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        tracker = tracker_of(worker, 2)
        worker.feed(batch_of(frames, times=[0] * 6))
        first = 0
        for _ in range(3):
            first += int(tracker.activity()["bytes_s"].sum())
            worker.feed(batch_of(frames[:2], times=[0] * 2))
    assert first == 6 * 54


def test_what_ended_and_found_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsm.track.tracker.ENDED_ROWS", 1)
    a, b = HOSTS[:2]
    again = [framed(tcp_ip(a, b, 9, 80, SYN)), framed(tcp_ip(b, a, 80, 9, RST | ACK))] * 3
    with np.errstate(over="ignore"):
        worker = Worker(SETTINGS)
        assert not len(worker.activity())
        worker.feed(batch_of(again, times=list(range(6))))
        rows = worker.activity()
    assert int(rows["bytes_s"].sum()) == 2 * 54
    assert worker.counters.untold == 1
