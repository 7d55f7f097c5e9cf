"""The counters of each second beside their twin, with time that runs back."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.track.settings import FlowSettings, WorkerSettings
from nsm.track.worker import Worker
from tests.kernels import naive
from tests.kernels.feeding import batch_of
from tests.kernels.frames import arp, framed, ip
from tests.kernels.test_decode import A4, B4, PACKETS

FRAMES = [*map(framed, PACKETS), arp(1, A4, B4), framed(ip(A4, B4, 4, PACKETS[0])), framed(PACKETS[0])[:20], b""]
NAMES = (
    "pkts", "bytes", "bytes_in", "bytes_out", "tcp_bytes", "udp_bytes", "icmp_pkts", "other_bytes", "large_pkts",
    "fragments", "malformed",
)  # fmt: skip


def ours(address: bytes) -> bool:
    return address[10:13] == b"\xff\xff\x0a" or address[0] >> 1 == 0x7E  # 10.0.0.0/8, fc00::/7


@given(
    st.lists(st.tuples(st.sampled_from(FRAMES), st.integers(0, 5_000_000_000)), min_size=1, max_size=40),
    st.integers(1, 9),
)
@settings(max_examples=100)
def test_what_passed_in_each_second(items: list[tuple[bytes, int]], portion: int) -> None:
    flow = FlowSettings(records_max=64, targets_max=64)
    worker = Worker(WorkerSettings(flow=flow, home_net=("10.0.0.0/8", "fc00::/7"), batch_packets=16))
    for at in range(0, len(items), portion):
        part = items[at : at + portion]
        with np.errstate(over="ignore"):
            worker.feed(batch_of([frame for frame, _ in part], times=[ts for _, ts in part]))
    with np.errstate(over="ignore"):
        worker.finish()
        rows = worker.take().seconds
    found = {
        int(ts) // 1_000_000: {name: int(rows[name][place]) for name in NAMES} for place, ts in enumerate(rows["ts"])
    }
    packets = [(ts, len(frame), next(iter(naive.decode(frame, len(frame), 1)))) for frame, ts in items]
    assert found == naive.seconds(packets, ours)
