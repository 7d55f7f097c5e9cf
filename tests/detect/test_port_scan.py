"""Port scan: many ports of one host that refuse or do not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from nsm.detect.port_scan import SPEC
from nsm.iana import PROTO_UDP
from nsm.model.finding import Severity
from nsm.model.flow import MARK_LATE_ANSWER, Outcome
from nsm.track.contacts import ACK, ACK_SCAN, FIN_SCAN, MAIMON_SCAN, NULL_SCAN, PSH, XMAS_SCAN
from tests.detect.kit import (
    INSIDE,
    OUTSIDE,
    TARGET_HOST,
    Row,
    address,
    assert_same_in_portions,
    echo,
    flow,
    flows,
    frame,
    measured,
    records_of,
    spread,
    tcp,
    watch,
)


def scan(ports: int, gap_s: float = 0.01, src: str = OUTSIDE, first: int = 1, **words: int) -> Iterator[Row]:
    """That many ports of one host, one after the other, refused."""
    for number in range(ports):
        yield flow(number * gap_s, src, TARGET_HOST, first + number, Outcome.REFUSED, **words)


# (source, threshold, seconds between ports, window): each pace is too slow for the windows before its own.
PACES = [
    (OUTSIDE, 8, 0.1, 1),
    (OUTSIDE, 15, 4, 60),
    (OUTSIDE, 25, 140, 3_600),
    (OUTSIDE, 40, 2_000, 86_400),
    (INSIDE, 8, 0.1, 1),
    (INSIDE, 24, 2.5, 60),
    (INSIDE, 40, 88, 3_600),
    (INSIDE, 64, 1_300, 86_400),
]


@pytest.mark.parametrize(("src", "threshold", "gap_s", "window_s"), PACES)
def test_fires_at_its_threshold_and_not_one_below(src: str, threshold: int, gap_s: float, window_s: int) -> None:
    assert not watch(SPEC, flows(scan(threshold - 1, gap_s, src))).findings
    (finding,) = watch(SPEC, flows(scan(threshold, gap_s, src))).findings
    assert finding.measured == threshold
    assert finding.window_s == window_s
    assert finding.unit == "ports"
    assert finding.count == threshold


@pytest.mark.parametrize(
    ("src", "impact", "techniques"),
    [(OUTSIDE, Severity.LOW, ("T1046", "T1595.001")), (INSIDE, Severity.MEDIUM, ("T1046",))],
)
def test_says_who_scanned_whom_and_how(src: str, impact: Severity, techniques: tuple[str, ...]) -> None:
    (finding,) = watch(SPEC, flows(scan(8, src=src))).findings
    assert finding.actors == (src,)
    assert finding.victims == (TARGET_HOST,)
    assert (finding.src_ip, finding.dest_ip) == (src, TARGET_HOST)
    assert finding.key == (src, TARGET_HOST, "TCP")
    assert finding.kind == "network_scan"
    assert finding.impact == impact
    assert finding.techniques == techniques
    assert finding.threshold == 8
    assert finding.flow_ids == (4, 5, 6, 7, 8)
    assert "8 refused, 0 unanswered, 0 answered" in finding.explain.what


def test_tells_a_long_scan_at_each_doubling() -> None:
    assert measured(watch(SPEC, flows(scan(70, 0.005)))) == [8, 16, 32, 64]


def test_a_quarter_of_a_threshold_is_kept_as_a_near_miss() -> None:
    seen = watch(SPEC, flows(scan(2)))
    assert [(miss.measured, miss.threshold, miss.window_s) for miss in seen.near] == [(2, 8, 1)]
    assert not watch(SPEC, flows(scan(1))).near


@pytest.mark.parametrize(
    ("flags", "name"),
    [(NULL_SCAN, "NULL"), (FIN_SCAN, "FIN"), (XMAS_SCAN, "XMAS"), (ACK_SCAN, "ACK"), (MAIMON_SCAN, "Maimon")],
)
def test_names_the_kind_of_probe(flags: int, name: str) -> None:
    (finding,) = watch(SPEC, flows(scan(8, flags=flags))).findings
    assert finding.signature == f"Port scan ({name})"


def test_tells_udp_after_tcp_as_an_alert_of_its_own() -> None:
    rows = flows(scan(8), scan(8, proto=PROTO_UDP))
    assert {finding.key[2] for finding in watch(SPEC, rows).findings} == {"TCP", "UDP"}


def test_the_same_port_again_and_again_counts_once() -> None:
    knocks = [flow(number * 0.01, OUTSIDE, TARGET_HOST, number % 7) for number in range(100)]
    assert not watch(SPEC, flows(knocks)).findings


def test_is_silent_when_enough_ports_answer() -> None:
    closed = [flow(number * 0.01, OUTSIDE, TARGET_HOST, number, Outcome.REFUSED) for number in range(1, 9)]

    def opened(count: int) -> Iterator[Row]:
        return (flow(0.015, OUTSIDE, TARGET_HOST, 100 + number, Outcome.ANSWERED) for number in range(count))

    assert watch(SPEC, flows(closed, opened(3))).findings
    assert not watch(SPEC, flows(closed, opened(4))).findings


def test_is_silent_about_late_answers_that_are_taken_back() -> None:
    late = [flow(0.065, OUTSIDE, TARGET_HOST, 1, Outcome.ANSWERED, marks=MARK_LATE_ANSWER)]
    assert watch(SPEC, flows(scan(8))).findings
    assert not watch(SPEC, flows(scan(8), late)).findings


def resolver() -> Iterator[Row]:
    for number in range(400):
        outcome = Outcome.UNANSWERED if number % 5 == 0 else Outcome.ANSWERED
        yield flow(number * 0.01, INSIDE, spread(number), 53, outcome, proto=PROTO_UDP, sport=1_024 + number)


def crawler() -> Iterator[Row]:
    for number in range(500):
        yield flow(number * 0.01, INSIDE, spread(number), 443 if number % 2 else 80, Outcome.ANSWERED)


def peers() -> Iterator[Row]:
    for number in range(300):
        yield flow(number * 0.05, INSIDE, spread(number), 2_000 + number * 37 % 60_000, Outcome.UNANSWERED)


def monitor() -> Iterator[Row]:
    for number in range(600):
        outcome = Outcome.REFUSED if number % 20 == 0 else Outcome.ANSWERED
        yield flow(number * 0.02, INSIDE, TARGET_HOST, number % 20 + 20, outcome)


def outage() -> Iterator[Row]:
    for number in range(300):
        yield flow(number * 0.01, address(number % 150 + 1, "10.1.0.0"), TARGET_HOST, 443, Outcome.UNANSWERED)


def midstream() -> Iterator[Row]:
    for number in range(60):
        yield flow(number * 0.01, OUTSIDE, INSIDE, 50_000 + number, flags=PSH | ACK, payload=1_200, pkts=9, sport=443)


def bare_acknowledgements() -> Iterator[Row]:
    for number in range(60):
        yield flow(number * 0.01, OUTSIDE, INSIDE, 50_000 + number, flags=ACK, pkts=5, sport=443)


def traceroute() -> Iterator[Row]:
    for number in range(27):
        yield flow(number * 0.02, INSIDE, OUTSIDE, 33_434 + number, proto=PROTO_UDP, ttl=1 + number // 3)


def announcements() -> Iterator[Row]:
    for number in range(60):
        yield flow(number * 0.01, INSIDE, "239.255.255.250", 1_900 + number, proto=PROTO_UDP)


LOOK_ALIKES = [
    resolver, crawler, peers, monitor, outage, midstream, bare_acknowledgements, traceroute, announcements,
]  # fmt: skip


@pytest.mark.parametrize("traffic", LOOK_ALIKES)
def test_is_silent_about_what_only_looks_like_it(traffic: Callable[[], Iterator[Row]]) -> None:
    assert not watch(SPEC, flows(traffic())).findings


def test_a_scanned_host_is_silent_in_the_scan_of_itself() -> None:
    frames = []
    for port in range(1, 31):
        frames.append((port * 0.02, frame(OUTSIDE, TARGET_HOST, 6, tcp(50_000, port, 0x02))))
        frames.append((port * 0.02 + 0.001, frame(TARGET_HOST, OUTSIDE, 6, tcp(port, 50_000, 0x14))))
    findings = watch(SPEC, records_of(frames).flows).findings
    assert findings
    assert {finding.actors for finding in findings} == {(OUTSIDE,)}


def test_pings_are_silent() -> None:
    frames = [(number * 0.1, frame(OUTSIDE, TARGET_HOST, 1, echo(number))) for number in range(40)]
    assert not watch(SPEC, records_of(frames).flows).findings


def test_refuses_new_pairs_when_it_is_full_and_keeps_those_it_watches() -> None:
    others = [flow(0.001 + n * 1e-5, address(n + 1, "203.0.113.0"), TARGET_HOST, 80) for n in range(100)]
    seen = watch(SPEC, flows(scan(8), others), pairs_max=1)
    assert seen.saturated == 100
    assert [finding.actors for finding in seen.findings] == [(OUTSIDE,)]


def test_remembers_at_most_1024_ports_of_a_pair() -> None:
    seen = watch(SPEC, flows(scan(5_000, 0.0001)))
    assert measured(seen) == [8, 16, 32, 64, 128, 256, 512, 1_024]


def test_the_same_rows_in_other_portions_give_the_same() -> None:
    assert_same_in_portions(SPEC, flows(scan(40), resolver(), monitor()))
