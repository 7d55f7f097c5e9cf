"""Every detector by its numbers: at its threshold and not one below, again at each doubling, never beyond its bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest

from nsm.detect import (
    arp_sweep,
    block_scan,
    failed_connections,
    flood,
    host_sweep,
    large_packet,
    new_external,
    new_host,
    port_scan,
)
from nsm.iana import PROTO_ICMP, PROTO_TCP, PROTO_UDP
from nsm.model.flow import Outcome
from nsm.model.interfaces import DetectorSpec
from nsm.model.table import Rows
from nsm.model.traffic import FRAGMENT_TOO_LARGE, LARGE_PACKET, TINY_FRAGMENT
from tests.detect.rows import (
    INSIDE,
    OUTSIDE,
    TARGET_HOST,
    Row,
    address,
    anomalies,
    anomaly,
    arp,
    arps,
    assert_same_in_portions,
    flow,
    flows,
    measured,
    spread,
    target,
    targets,
    watch,
)

Traffic = Callable[[int, float, str], Iterator[Row]]
PORTS = (21, 22, 23, 80, 135, 139, 443)
DAY_S = 86_400


def ports(count: int, gap_s: float, src: str) -> Iterator[Row]:
    return (flow(n * gap_s, src, TARGET_HOST, n + 1, Outcome.REFUSED) for n in range(count))


def hosts(count: int, gap_s: float, src: str) -> Iterator[Row]:
    return (flow(n * gap_s, src, address(n + 1), 22) for n in range(count))


def pairs(count: int, gap_s: float, src: str) -> Iterator[Row]:
    return (flow(n * gap_s, src, address(n // 7 + 1), PORTS[n % 7], Outcome.REFUSED) for n in range(count))


def knocks(count: int, gap_s: float, src: str) -> Iterator[Row]:
    return (flow(n * gap_s, src, TARGET_HOST, 22, Outcome.REFUSED, sport=30_000 + n) for n in range(count))


def questions(count: int, gap_s: float, src: str) -> Iterator[Row]:
    return (arp(n * gap_s, arp_sweep.REQUEST, src, address(n + 1)) for n in range(count))


PORT, HOST, BLOCK = port_scan.SPEC, host_sweep.SPEC, block_scan.SPEC
KNOCK, ASK = failed_connections.SPEC, arp_sweep.SPEC
# (detector, traffic, source, threshold, seconds between, window): each pace is too slow for the windows before its own.
PACES = [
    (PORT, ports, OUTSIDE, 8, 0.1, 1), (PORT, ports, OUTSIDE, 15, 4, 60), (PORT, ports, OUTSIDE, 25, 140, 3_600),
    (PORT, ports, OUTSIDE, 40, 2_000, DAY_S), (PORT, ports, INSIDE, 8, 0.1, 1), (PORT, ports, INSIDE, 24, 2.5, 60),
    (PORT, ports, INSIDE, 40, 88, 3_600), (PORT, ports, INSIDE, 64, 1_300, DAY_S),
    (HOST, hosts, OUTSIDE, 12, 0.2, 3), (HOST, hosts, OUTSIDE, 20, 3, 60), (HOST, hosts, OUTSIDE, 40, 88, 3_600),
    (HOST, hosts, OUTSIDE, 100, 860, DAY_S), (HOST, hosts, INSIDE, 12, 0.2, 3), (HOST, hosts, INSIDE, 32, 1.9, 60),
    (HOST, hosts, INSIDE, 64, 56, 3_600), (HOST, hosts, INSIDE, 160, 540, DAY_S),
    (BLOCK, pairs, OUTSIDE, 40, 1, 60), (BLOCK, pairs, OUTSIDE, 80, 44, 3_600), (BLOCK, pairs, INSIDE, 160, 530, DAY_S),
    (KNOCK, knocks, OUTSIDE, 20, 15, 300), (KNOCK, knocks, INSIDE, 60, 60, 3_600),
    (ASK, questions, INSIDE, 15, 0.2, 3), (ASK, questions, INSIDE, 30, 1, 30), (ASK, questions, INSIDE, 120, 30, 3_600),
]  # fmt: skip


def rows_for(spec: DetectorSpec, rows: Iterator[Row]) -> Rows:
    return arps(rows) if spec is ASK else flows(rows)


@pytest.mark.parametrize(("spec", "traffic", "src", "threshold", "gap_s", "window_s"), PACES)
def test_each_window_is_reached_at_its_number_and_not_one_below(
    spec: DetectorSpec, traffic: Traffic, src: str, threshold: int, gap_s: float, window_s: int
) -> None:
    assert not watch(spec, rows_for(spec, traffic(threshold - 1, gap_s, src))).findings
    (finding,) = watch(spec, rows_for(spec, traffic(threshold, gap_s, src))).findings
    assert finding.measured == finding.threshold == finding.count == threshold
    assert finding.window_s == window_s
    assert finding.actors == (src,)


# (detector, traffic, what it tells at): the last is what fits into what it remembers.
SCALES = [
    (PORT, ports, [8, 16, 32, 64, 128, 256, 512, 1_024]),
    (HOST, hosts, [12, 24, 48, 96, 192, 384, 768]),
    (BLOCK, pairs, [40, 80, 160, 320, 640]),
    (KNOCK, knocks, [20, 40, 80, 160, 320]),
    (ASK, questions, [15, 30, 60, 120, 240, 480, 960]),
]


@pytest.mark.parametrize(("spec", "traffic", "told"), SCALES)
def test_told_at_each_doubling_until_what_is_remembered_is_full(
    spec: DetectorSpec, traffic: Traffic, told: list[int]
) -> None:
    assert measured(watch(spec, rows_for(spec, traffic(3_000, 0.0001, OUTSIDE)))) == told


@pytest.mark.parametrize(
    ("spec", "traffic", "count", "measured", "threshold", "window_s"),
    [(PORT, ports, 2, 2, 8, 1), (HOST, hosts, 3, 3, 12, 3), (BLOCK, pairs, 36, 10, 40, 60), (KNOCK, knocks, 5, 5, 20, 300),
     (ASK, questions, 3, 3, 15, 3)],
)  # fmt: skip
def test_a_quarter_of_a_threshold_is_a_near_miss(
    spec: DetectorSpec, traffic: Traffic, count: int, measured: int, threshold: int, window_s: int
) -> None:
    (miss,) = watch(spec, rows_for(spec, traffic(count, 0.01, OUTSIDE))).near
    assert (miss.measured, miss.threshold, miss.window_s) == (measured, threshold, window_s)
    assert not watch(spec, rows_for(spec, traffic(count - 1, 0.01, OUTSIDE))).near


PROTO = {"SYN": PROTO_TCP, "UDP": PROTO_UDP, "ICMP": PROTO_ICMP, "TCP": PROTO_TCP}
RATE = {"SYN": 1_000, "UDP": 5_000, "ICMP": 2_000, "TCP": 5_000}


def flooded(kind: str, counts: list[int], dst: str = TARGET_HOST) -> Iterator[Row]:
    for tick, count in enumerate(counts):
        syns = count if kind == "SYN" else 0
        yield target(tick, dst, 0 if kind == "ICMP" else 80, PROTO[kind], count, syns=syns)


@pytest.mark.parametrize("kind", RATE)
def test_a_flood_begins_at_its_rate_and_not_one_packet_below(kind: str) -> None:
    quarter = RATE[kind] // 4
    assert not watch(flood.SPEC, targets(flooded(kind, [quarter] * 3 + [quarter - 1]))).findings
    seen = watch(flood.SPEC, targets(flooded(kind, [quarter] * 4)))
    (finding,) = seen.findings
    assert finding.measured == finding.threshold == RATE[kind]
    assert finding.victims == (TARGET_HOST,)
    assert [(miss.measured, miss.threshold, miss.window_s) for miss in seen.near] == [(quarter, RATE[kind], 1)]
    assert not watch(flood.SPEC, targets(flooded(kind, [quarter - 1]))).near


def test_a_growing_flood_is_told_at_each_doubling_and_a_steady_one_once() -> None:
    growing = [250] * 4 + [500] * 4 + [1_000] * 4
    assert measured(watch(flood.SPEC, targets(flooded("SYN", growing)))) == [1_000, 2_000, 4_000]
    assert measured(watch(flood.SPEC, targets(flooded("SYN", [250] * 400)))) == [1_000]


def test_from_a_fifth_of_completed_handshakes_up_a_crowd_is_silent() -> None:
    def crowd(completed: int) -> Iterator[Row]:
        return (target(n, TARGET_HOST, 443, PROTO_TCP, 500, syns=500, completed=completed) for n in range(40))

    assert watch(flood.SPEC, targets(crowd(99))).findings
    assert not watch(flood.SPEC, targets(crowd(100))).findings


def odd(count: int, event: str = LARGE_PACKET, src: str = INSIDE) -> list[Row]:
    return [anomaly(n, event, src, OUTSIDE, PROTO_ICMP, 1_400 + n, flow_id=n + 1) for n in range(count)]


@pytest.mark.parametrize(("event", "first"), [(LARGE_PACKET, 1), (FRAGMENT_TOO_LARGE, 1), (TINY_FRAGMENT, 20)])
def test_odd_packets_are_told_at_their_count_and_each_doubling(event: str, first: int) -> None:
    assert not watch(large_packet.SPEC, anomalies(odd(first - 1, event))).findings
    counts = [finding.count for finding in watch(large_packet.SPEC, anomalies(odd(first * 8 + 3, event))).findings]
    assert counts == [first, first * 2, first * 4, first * 8]


def talks(count: int, at_s: float = DAY_S, src: str = INSIDE) -> list[Row]:
    learned = [flow(0, INSIDE, "203.0.113.1", 443, Outcome.ANSWERED)]
    return learned + [flow(at_s + n, src, spread(n), 443, Outcome.ANSWERED) for n in range(count)]


def newcomers(count: int, at_s: float = 600) -> list[Row]:
    return [flow(0, INSIDE, OUTSIDE, 443)] + [flow(at_s + n, address(n + 1), OUTSIDE, 443) for n in range(count)]


def test_what_is_new_is_told_from_the_end_of_learning_on() -> None:
    assert not watch(new_external.SPEC, flows(talks(1, DAY_S - 1))).findings
    assert measured(watch(new_external.SPEC, flows(talks(9)))) == [1, 2, 4, 8]
    assert not watch(new_host.SPEC, flows(newcomers(1, 599))).findings
    assert len(watch(new_host.SPEC, flows(newcomers(9))).findings) == 9


FULL: list[tuple[DetectorSpec, Rows, dict[str, int], int]] = [
    (PORT, flows(ports(8, 0.01, OUTSIDE), (flow(0.001, address(n), TARGET_HOST, 80) for n in range(90))),
     {"pairs_max": 1}, 90),
    (HOST, flows(hosts(12, 0.01, OUTSIDE), (flow(0.001, address(n), TARGET_HOST, 22) for n in range(90))),
     {"keys_max": 1}, 90),
    (BLOCK, flows(pairs(40, 0.01, OUTSIDE), (flow(0.001, address(n), TARGET_HOST, 22) for n in range(90))),
     {"sources_max": 1}, 90),
    (KNOCK, flows(knocks(20, 0.01, OUTSIDE), (flow(0.001, OUTSIDE, address(n + 100), 22) for n in range(90))),
     {"keys_max": 1}, 90),
    (ASK, arps(questions(15, 0.01, INSIDE), (arp(0.001, 1, address(n), "10.0.0.1") for n in range(90))),
     {"sources_max": 1}, 90),
    (flood.SPEC, targets(chain(*(flooded("SYN", [100], address(n)) for n in range(50)), flooded("SYN", [1_000]))),
     {"targets_max": 10}, 41),
    (large_packet.SPEC, anomalies(odd(1, src=address(n + 1))[0] for n in range(30)), {"pairs_max": 10}, 20),
    (new_external.SPEC, flows(talks(30)), {"networks_max": 10}, 21),
    (new_host.SPEC, flows(newcomers(30)), {"hosts_max": 10}, 21),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "rows", "bound", "beyond"), FULL, ids=lambda value: getattr(value, "name", None))
def test_a_full_table_counts_what_it_turns_away_and_still_finds_what_it_watches(
    spec: DetectorSpec, rows: Rows, bound: dict[str, Any], beyond: int
) -> None:
    seen = watch(spec, rows, **bound)
    assert seen.saturated == beyond
    assert seen.findings
    assert watch(spec, rows).saturated == 0


PORTIONS = [
    (PORT, flows(ports(40, 0.01, OUTSIDE), hosts(60, 0.01, INSIDE), knocks(40, 0.02, INSIDE))),
    (HOST, flows(ports(40, 0.01, OUTSIDE), hosts(60, 0.01, INSIDE), hosts(60, 0.02, OUTSIDE))),
    (BLOCK, flows(pairs(90, 0.01, OUTSIDE), pairs(90, 0.02, INSIDE), hosts(60, 0.01, INSIDE))),
    (KNOCK, flows(knocks(90, 0.5, OUTSIDE), knocks(90, 0.7, INSIDE), hosts(60, 0.01, INSIDE))),
    (ASK, arps(questions(70, 0.02, INSIDE), (arp(n, 2, address(n + 1), INSIDE) for n in range(9)))),
    (flood.SPEC, targets(flooded("SYN", [n * 20 for n in range(80)]))),
    (large_packet.SPEC, anomalies(odd(40) + odd(50, TINY_FRAGMENT) + odd(5, FRAGMENT_TOO_LARGE))),
    (new_external.SPEC, flows(talks(40), (flow(DAY_S + n + 0.5, "10.0.0.9", spread(2 * n), 80, Outcome.ANSWERED)
                                          for n in range(30)))),
    (new_host.SPEC, flows(newcomers(40), (flow(600 + n * 0.7, OUTSIDE, address(n + 20), 80, Outcome.ANSWERED, pkts_c=1)
                                          for n in range(40)))),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "rows"), PORTIONS, ids=lambda value: getattr(value, "name", None))
def test_the_same_rows_one_by_one_by_seven_and_at_once_give_the_same(spec: DetectorSpec, rows: Rows) -> None:
    assert_same_in_portions(spec, rows)
