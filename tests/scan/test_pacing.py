"""Timer, window and rates against the formulas of their standards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.scan.pacing import WINDOW_MAX, WINDOW_MIN, WINDOW_START, Bucket, Thinning, Timer, Tries, Window


def rfc_6298(samples: list[float]) -> float:
    """Section 2, word for word, without the bounds."""
    srtt = samples[0]
    rttvar = samples[0] / 2
    for sample in samples[1:]:
        rttvar = (1 - 1 / 4) * rttvar + 1 / 4 * abs(srtt - sample)
        srtt = (1 - 1 / 8) * srtt + 1 / 8 * sample
    return srtt + 4 * rttvar


@given(st.lists(st.floats(1e-5, 5), min_size=1, max_size=50))
def test_the_timer_is_that_of_the_rfc_within_its_bounds(samples: list[float]) -> None:
    timer = Timer(0.3, 0.05, 1.0)
    assert timer.rto == 0.3
    for sample in samples:
        timer.sample(sample)
    assert timer.rto == pytest.approx(min(max(rfc_6298(samples), 0.05), 1.0))


def test_a_timer_may_have_to_wait_for_several_round_trips() -> None:
    timer = Timer(0.3, 0.1, 9.0, spread=3.0)
    for _ in range(100):
        timer.sample(0.2)
    assert timer.rto == pytest.approx(0.6)
    for _ in range(100):
        timer.sample(0.001)
    assert timer.rto == 0.1


@given(st.lists(st.one_of(st.none(), st.floats(0, 10)), max_size=300))
def test_the_window_stays_within_its_bounds(events: list[float | None]) -> None:
    window = Window()
    now = 0.0
    for event in events:
        if event is None:
            window.on_answer()
        else:
            now += event
            window.on_loss(now, 0.1)
        assert WINDOW_MIN <= window.size <= WINDOW_MAX


def test_the_window_opens_by_one_an_answer_and_halves_once_a_round_trip() -> None:
    window = Window()
    for _ in range(100):
        window.on_answer()
    assert window.size == WINDOW_START + 100
    window.on_loss(1.0, 0.1)
    window.on_loss(1.05, 0.1)
    assert window.size == 82
    window.on_loss(1.2, 0.1)
    assert window.size == WINDOW_MIN
    window.on_answer()
    assert window.size == WINDOW_MIN + 1 / WINDOW_MIN  # slow start is over


@given(st.floats(1, 20_000), st.lists(st.floats(0, 0.5), min_size=1, max_size=100))
def test_a_bucket_never_gives_more_than_its_rate(rate: float, steps: list[float]) -> None:
    bucket = Bucket(rate)
    now = given_out = 0.0
    for step in steps:
        now += step
        room = bucket.room(now)
        bucket.take(room)
        given_out += room
        assert given_out <= rate * now + max(1, rate * 0.01) + 1e-6


def test_a_bucket_without_a_rate_has_room() -> None:
    bucket = Bucket(0)
    assert bucket.room(0.0) == WINDOW_MAX
    bucket.take(WINDOW_MAX)
    assert (bucket.room(0.0), bucket.wait()) == (WINDOW_MAX, 0.0)


def test_a_bucket_says_how_long_to_wait() -> None:
    bucket = Bucket(10)
    bucket.take(bucket.room(5.0))
    assert bucket.room(5.0) == 0
    assert bucket.wait() == pytest.approx(0.1)
    assert bucket.room(5.1) == 1


def test_tries_grow_with_the_highest_that_helped() -> None:
    tries = Tries()
    tries.on_answer(1)
    assert tries.limit == 3
    tries.on_answer(2)
    assert tries.limit == 4
    tries.on_answer(1)
    assert tries.limit == 4
    tries.on_answer(10)
    assert tries.limit == 10


def test_icmp_thinning_doubles_until_more_is_lost_than_a_path_loses() -> None:
    thinning = Thinning()
    assert thinning.rate == 0
    for _ in range(4):
        thinning.on_answer(1, 0, 1)
    assert thinning.rate == 80
    thinning.on_answer(2, 0.5, 1)
    assert thinning.rate == 80  # one of six: so lossy are paths
    thinning.on_answer(3, 0.5, 1)
    assert thinning.rate == 6  # as many as came
    thinning.on_answer(3, 0.9, 2)
    assert thinning.rate == 6  # what was sent before the rate was cut says nothing of it
    thinning.on_answer(1, 0, 2)
    assert thinning.rate == 7.5
    for second in range(3, 40):
        thinning.on_answer(4, second, second)
    assert thinning.rate == 1
