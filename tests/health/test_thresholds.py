"""When a figure is raised and when it is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nsm.health.thresholds import Down, Hysteresis, Over, Raised, Usual


def raises(values: list[float | None], limit: float = 0.05) -> list[int]:
    """The minutes at which it was raised."""
    state = Hysteresis()
    return [n for n, value in enumerate(values) if isinstance(state.minute(n * 60.0, value, limit), Raised)]


def naive(values: list[float | None], limit: float) -> list[int]:
    """The rule from whole lists."""
    found: list[int] = []
    raised: int | None = None
    said: list[tuple[int, float]] = []
    since = 0
    for n, value in enumerate(values):
        if value is None:
            continue
        said.append((n, value))
        if raised is not None:
            calm = [v < limit * 0.6 for _, v in said[-5:]]
            if len(calm) == 5 and all(calm) and (n - raised) * 60 >= 300:
                raised, since = None, len(said)
        elif sum(v > limit for _, v in said[max(since, len(said) - 5) :]) >= 3:
            raised = n
            found.append(n)
    return found


def test_three_of_five_minutes_raise() -> None:
    assert raises([0.1, 0.1, 0, 0, 0, 0.1, 0.1]) == []
    assert raises([0.1, 0, 0.1, 0, 0.1]) == [4]
    assert raises([0.1, None, 0.1, None, None, None, 0.1]) == [6]


def test_it_is_over_after_five_minutes_well_below() -> None:
    state = Hysteresis()
    values = [0.1] * 3 + [0.04] * 10 + [0.01] * 5  # 0.04 is below the limit, not below 60 % of it
    raised = []
    for n, value in enumerate(values):
        state.minute(n * 60.0, value, 0.05)
        raised.append(state.raised)
    assert raised == [False] * 2 + [True] * 15 + [False]


@given(st.lists(st.none() | st.sampled_from([0.0, 0.029, 0.031, 0.05, 0.051, 0.5]), max_size=80))
def test_it_follows_the_rule(values: list[float | None]) -> None:
    assert raises(values) == naive(values, 0.05)


def test_what_comes_and_goes_is_one_alert_that_counts() -> None:
    state, found = Hysteresis(), []
    for n in range(50):
        raised = state.minute(n * 60.0, 0.1 if n % 10 < 3 else 0.0, 0.05)
        found.append((n, raised.count, raised.flapping) if isinstance(raised, Raised) else raised and (n, "over"))
    assert list(filter(None, found)) == [
        (2, 1, False), (7, "over"), (12, 2, False), (17, "over"), (22, 3, True), (32, 4, True), (42, 5, True)
    ]  # fmt: skip
    assert state.raised
    over = [n for n in range(50, 120) if isinstance(state.minute(n * 60.0, 0.0, 0.05), Over)]
    assert over == [82]  # the raises of minutes 32 and 42 alone are left within the hour


def test_what_an_earlier_process_raised_is_over_as_any_other() -> None:
    state, down = Hysteresis(), Down()
    state.resume(0.0)
    down.resume()
    assert state.raised
    assert [n for n in range(1, 9) if isinstance(state.minute(n * 60.0, 0.0, 0.05), Over)] == [5]
    assert [at for at in (1, 20, 31, 60) if isinstance(down.look(at, True), Over)] == [31]


def test_down_is_told_at_once_and_over_after_half_a_minute() -> None:
    state, told, raised = Down(), [], []
    for at, up in ((0, False), (1, True), (2, False), (3, False), (4, True), (33.9, True), (34, True), (35, False)):
        told.append(isinstance(state.look(at, up), Raised))
        raised.append(state.raised)
    assert told == [False, False, True, False, False, False, False, True]  # what never was up is not told
    assert raised == [False, False, True, True, True, True, False, True]


def test_a_target_has_its_own_usual_time() -> None:
    usual = Usual()
    assert [usual.limit(80.0, 100.0, 4.0) for _ in range(10)] == [100.0] * 10
    assert usual.limit(80.0, 100.0, 4.0) == 320.0
    assert usual.limit(None, 400.0, 4.0) == 400.0
