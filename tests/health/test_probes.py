"""Loss, late answers, percentiles and jitter, beside a slow twin that follows the definitions word by word."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.health.probes import LONG_S, PROBES_MAX, Probes, Window, percentile

TIMEOUT = 1.0
Fate = tuple[float, float | None]
"""When a probe is sent, and how long its answer takes (None: none)."""


def naive(fates: list[Fate], now: float, span: float) -> Window:
    """All probes of the window, one by one."""
    answered, lost, late = [], 0, 0
    for sent, rtt in fates:
        if sent < now - span or sent < now - LONG_S - TIMEOUT:
            continue
        come = rtt is not None and sent + rtt <= now
        if come and rtt is not None and (sent + rtt) - sent < TIMEOUT:
            answered.append(((sent + rtt) - sent) * 1000)
        elif come:
            late += 1
        elif now - sent >= TIMEOUT:
            lost += 1
    answered.sort()

    def rank(share: float) -> float | None:
        return next((v for i, v in enumerate(answered, 1) if i >= share * len(answered) - 1e-9), None)

    return Window(len(answered) + lost + late, lost, late, rank(0.5), rank(0.95), max(answered, default=None))


def play(fates: list[Fate], now: float) -> Probes:
    """The same through Probes, in the order of time; answers before questions of the same time."""
    probes, numbers = Probes(TIMEOUT), {}
    events = [(sent, 1, n) for n, (sent, _) in enumerate(fates) if sent <= now]
    events += [(sent + rtt, 0, n) for n, (sent, rtt) in enumerate(fates) if rtt is not None and sent + rtt <= now]
    for at, kind, n in sorted(events, key=lambda event: (event[0], -event[1])):
        if kind:
            numbers[n] = probes.ask(at)
        else:
            probes.answer(numbers[n], at)
    return probes


fates = st.lists(
    st.tuples(st.integers(0, 4_000).map(lambda n: n / 4), st.none() | st.integers(1, 3_000).map(lambda ms: ms / 1000)),
    max_size=120,
)


@given(fates, st.integers(1_000, 1_004), st.sampled_from([60.0, 900.0]))
def test_figures_are_those_of_the_definitions(fates: list[Fate], now: int, span: float) -> None:
    ordered = sorted(fates, key=lambda fate: fate[0])
    assert play(ordered, now).window(now, span) == naive(ordered, now, span)


@given(st.lists(st.floats(0.001, 0.9), min_size=2, max_size=50))
def test_jitter_is_that_of_the_standard(times: list[float]) -> None:
    probes, expected, before = Probes(), 0.0, None
    for n, took in enumerate(times):
        number = probes.ask(float(n))
        probes.answer(number, n + took)
        rtt = (n + took) - n
        if before is not None:
            expected += (abs(rtt - before) - expected) / 16.0
        before = rtt
    assert probes.jitter_s == pytest.approx(expected)


def test_a_late_answer_is_no_loss_and_no_latency() -> None:
    probes = Probes()
    slow, quick = probes.ask(0.0), probes.ask(1.0)
    probes.answer(quick, 1.02)
    assert probes.window(1.5).lost == 1
    probes.answer(slow, 1.8)
    window = probes.window(2.0)
    assert (window.sent, window.lost, window.late) == (2, 0, 1)
    assert window.max_ms == pytest.approx(20)


def test_a_second_answer_and_a_strange_one_count_nowhere() -> None:
    probes = Probes()
    number = probes.ask(0.0)
    assert probes.answer(number, 0.01)
    assert not probes.answer(number, 0.02)
    assert not probes.answer(999, 0.03)
    assert (probes.window(2.0).sent, probes.duplicates) == (1, 2)


def test_a_probe_on_its_way_is_not_lost_yet() -> None:
    probes = Probes()
    probes.ask(0.0)
    assert probes.window(0.9).loss is None
    assert probes.window(1.0).loss == 1.0


def test_after_loss_probes_come_closer() -> None:
    probes = Probes()
    probes.ask(0.0)
    assert probes.spacing_s(0.5) == 1.0
    assert probes.spacing_s(2.0) == 0.25
    assert probes.spacing_s(62.0) == 1.0


def test_only_so_many_are_kept() -> None:
    probes = Probes()
    for n in range(PROBES_MAX + 500):
        probes.ask(n / 100)
    assert probes.window(1_000.0, 1e9).sent == PROBES_MAX


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_value_with_enough_below(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found is not None
    assert found in ordered
    assert sum(value <= found for value in ordered) >= math.floor(share * len(ordered))
