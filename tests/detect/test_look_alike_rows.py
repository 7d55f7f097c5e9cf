"""What only looks like an attack, as rows: no detector of flows says anything about any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from nsm.detect import block_scan, failed_connections, host_sweep, port_scan
from nsm.iana import PROTO_UDP
from nsm.model.flow import MARK_LATE_ANSWER, Outcome
from nsm.model.interfaces import DetectorSpec
from nsm.track.contacts import ACK, FIN, PSH
from tests.detect.rows import (
    INSIDE,
    OUTSIDE,
    TARGET_HOST,
    Row,
    address,
    flow,
    flows,
    frame,
    records_of,
    spread,
    tcp,
    watch,
)

SCANS = (port_scan.SPEC, host_sweep.SPEC, block_scan.SPEC, failed_connections.SPEC)
UNANSWERED, REFUSED, ANSWERED = Outcome.UNANSWERED, Outcome.REFUSED, Outcome.ANSWERED


def resolver() -> Iterator[Row]:
    for number in range(500):
        outcome = UNANSWERED if number % 2 else ANSWERED
        yield flow(number * 0.01, INSIDE, spread(number), 53, outcome, proto=PROTO_UDP, sport=1_024 + number)


def crawler() -> Iterator[Row]:
    for number in range(600):
        yield flow(number * 0.05, INSIDE, spread(number), 443, UNANSWERED if number % 4 == 0 else ANSWERED)


def peers() -> Iterator[Row]:
    for number in range(400):
        yield flow(number * 0.05, INSIDE, spread(number), 6_881, proto=PROTO_UDP)
        yield flow(number * 0.05, INSIDE, spread(number), 2_000 + number * 37 % 60_000)


def monitor() -> Iterator[Row]:
    for number in range(900):
        outcome = REFUSED if number % 20 == 0 else ANSWERED
        yield flow(
            number * 0.05, INSIDE, address(number % 30 + 1), (22, 80, 443, 25, 53, 110, 143)[number % 7], outcome
        )


def nated_office() -> Iterator[Row]:
    for number in range(1_000):
        outcome = REFUSED if number % 10 == 0 else ANSWERED
        yield flow(number * 0.02, OUTSIDE, spread(number % 400), 443, outcome, sport=1_024 + number)


def outage() -> Iterator[Row]:
    for number in range(1_500):
        yield flow(number * 0.01, address(number % 150 + 1, "10.1.0.0"), TARGET_HOST, 443)


def midstream() -> Iterator[Row]:
    for number in range(300):
        yield flow(number * 0.01, OUTSIDE, INSIDE, 50_000 + number, flags=PSH | ACK, payload=1_200, pkts=9, sport=443)
        yield flow(number * 0.01, OUTSIDE, INSIDE, 50_000 + number, flags=ACK, pkts=5, sport=80)


def ends_of_connections() -> Iterator[Row]:
    for number in range(300):
        yield flow(number * 0.01, INSIDE, spread(number), 443, flags=(ACK, FIN | ACK, 0x04)[number % 3])


def traceroute() -> Iterator[Row]:
    for number in range(90):  # thirty hops, three probes each, to a host that does not answer
        yield flow(number * 0.02, INSIDE, OUTSIDE, 33_434 + number, proto=PROTO_UDP, ttl=1 + number // 3)


def announcements() -> Iterator[Row]:
    for number in range(100):
        yield flow(number * 0.01, INSIDE, f"239.255.{number}.250", 1_900 + number, proto=PROTO_UDP)
        yield flow(number * 0.01, INSIDE, "192.168.1.255", 100 + number, proto=PROTO_UDP)


LOOK_ALIKES = [
    resolver, crawler, peers, monitor, nated_office, outage, midstream, ends_of_connections, traceroute, announcements,
]  # fmt: skip


@pytest.mark.parametrize("spec", SCANS, ids=lambda spec: str(spec.name))
@pytest.mark.parametrize("traffic", LOOK_ALIKES)
def test_detectors_of_scans_are_silent(traffic: Callable[[], Iterator[Row]], spec: DetectorSpec) -> None:
    assert not watch(spec, flows(traffic())).findings


@pytest.mark.parametrize(
    ("spec", "scan"),
    [
        (port_scan.SPEC, [flow(n * 0.01, OUTSIDE, TARGET_HOST, n + 1) for n in range(8)]),
        (host_sweep.SPEC, [flow(n * 0.01, OUTSIDE, address(n + 1), 22) for n in range(12)]),
    ],
)
def test_late_answers_are_taken_back(spec: DetectorSpec, scan: list[Row]) -> None:
    first = scan[0]
    late = {**first, "emit_us": scan[-1]["emit_us"] - 1, "outcome": ANSWERED, "marks": MARK_LATE_ANSWER}
    assert watch(spec, flows(scan)).findings
    assert not watch(spec, flows(scan, [late])).findings


def test_a_scanned_host_is_never_the_actor() -> None:
    frames = []
    for port in range(1, 31):
        frames.append((port * 0.02, frame(OUTSIDE, TARGET_HOST, 6, tcp(50_000, port, 0x02))))
        frames.append((port * 0.02 + 0.001, frame(TARGET_HOST, OUTSIDE, 6, tcp(port, 50_000, 0x14))))
    rows = records_of(frames).flows
    assert {actor for spec in SCANS for finding in watch(spec, rows).findings for actor in finding.actors} == {OUTSIDE}


def test_a_failing_uplink_is_no_sweep() -> None:
    """200 answered contacts, then 40 that nobody answers: the line is down, and nobody scans."""
    good = [flow(0.5 * n, address(1), f"203.0.{n}.7", 443, Outcome.ANSWERED) for n in range(200)]
    bad = [flow(100 + 0.1 * n, address(1), f"198.18.{n}.7", 443, Outcome.UNANSWERED) for n in range(40)]
    assert not watch(host_sweep.SPEC, flows(good, bad)).findings
    assert watch(host_sweep.SPEC, flows(bad)).findings
