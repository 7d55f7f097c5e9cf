"""Security score: 100 less what is wrong, every deduction named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.alert.score import INCIDENTS_CAP, SETTLED, Score, score

NOW_S = 1_700_000_000.0
DAY_S = 86_400.0


def alert(severity: str = "high", age_s: float = 0.0, **words: Any) -> dict[str, Any]:
    """An open alert that was last seen so many seconds ago."""
    last_seen = round((NOW_S - age_s) * 1e6)
    plain = {
        "id": "A1",
        "severity": severity,
        "kind": "flood",
        "confidence": 1.0,
        "last_seen": last_seen,
        "state": "new",
    }
    return plain | words


def scored(*alerts: dict[str, Any], watched_s: float = DAY_S, capturing: bool = True, drop_ratio: float = 0.0) -> Score:
    return score(alerts, NOW_S, watched_s, capturing, drop_ratio)


def test_a_network_without_alerts_has_100() -> None:
    assert scored() == Score(100, "")


def test_without_traffic_it_is_unknown_and_never_100() -> None:
    stopped = scored(capturing=False)
    assert stopped.score is None
    assert stopped.reason == "Capture is stopped"


@pytest.mark.parametrize(("watched_s", "minutes"), [(0, 11), (1, 10), (599, 1)])
def test_it_is_unknown_while_it_learns(watched_s: float, minutes: int) -> None:
    learning = scored(watched_s=watched_s)
    assert learning.score is None
    assert learning.reason == f"Learning - score in {minutes} min"
    assert scored(watched_s=600).score == 100


@pytest.mark.parametrize(("severity", "points"), [("critical", 30), ("high", 15), ("medium", 6), ("low", 2)])
def test_each_severity_takes_its_points(severity: str, points: float) -> None:
    result = scored(alert(severity))
    assert result.score == 100 - points
    (deduction,) = result.deductions
    assert (deduction.id, deduction.points, deduction.count) == (severity, points, 1)
    assert deduction.q == f"severity:{severity} state:open"


def test_information_takes_nothing() -> None:
    assert scored(*[alert("info")] * 50).score == 100


def test_points_are_halved_each_day_and_weighed_by_confidence() -> None:
    assert scored(alert("critical", DAY_S)).deductions[0].points == 15
    assert scored(alert("critical", 2 * DAY_S)).deductions[0].points == 7.5
    assert scored(alert("critical", confidence=0.5)).deductions[0].points == 15


def test_an_alert_of_the_future_counts_as_one_of_now() -> None:
    assert scored(alert("high", -DAY_S)).score == 85


def test_the_second_alert_of_a_severity_counts_half_and_the_newest_counts_first() -> None:
    assert scored(alert("high"), alert("high", id="A2")).deductions[0].points == 22.5
    old_first = scored(alert("high", DAY_S), alert("high", id="A2"))
    assert old_first.deductions[0].points == 18.8
    assert old_first.deductions[0].count == 2


def test_incidents_take_at_most_50_in_all() -> None:
    result = scored(*[alert("critical")] * 9, *[alert("high")] * 9, *[alert("medium")] * 9)
    assert result.score == 50
    assert sum(item.points for item in result.deductions) == INCIDENTS_CAP


@pytest.mark.parametrize("state", sorted(SETTLED))
def test_what_is_settled_takes_nothing(state: str) -> None:
    assert scored(alert("critical", state=state)).score == 100


def test_new_hosts_take_a_point_each_and_at_most_five() -> None:
    assert scored(*[alert("info", kind="new_host")] * 3).score == 97
    assert scored(*[alert("info", kind="new_host")] * 40).score == 95


@pytest.mark.parametrize(("ratio", "taken"), [(0.0009, 0), (0.001, 2.1), (0.01, 3), (0.08, 10), (1.0, 10)])
def test_packets_not_seen_take_at_most_ten(ratio: float, taken: float) -> None:
    result = scored(drop_ratio=ratio)
    assert sum(item.points for item in result.deductions) == taken
    assert result.score == round(100 - taken)


OPEN = st.builds(
    alert,
    st.sampled_from(["critical", "high", "medium", "low", "info"]),
    st.floats(-DAY_S, 400 * DAY_S),
    confidence=st.floats(0, 1),
    kind=st.sampled_from(["flood", "new_host", "monitor"]),
    state=st.sampled_from(["new", "done", "muted", "seen"]),
)


@given(st.lists(OPEN, max_size=30), st.floats(0, 1))
def test_any_alerts_give_a_score_that_its_deductions_explain(alerts: list[dict[str, Any]], ratio: float) -> None:
    alerts = [one | {"id": f"A{place}"} for place, one in enumerate(alerts)]  # as the desk names them: no two alike
    result = scored(*alerts, drop_ratio=ratio)
    assert result.score is not None
    assert 0 <= result.score <= 100
    assert result.score == max(0, round(100 - sum(item.points for item in result.deductions)))
    assert all(0 < item.points <= item.cap and item.count > 0 for item in result.deductions)
    assert scored(*reversed(alerts), drop_ratio=ratio).score == result.score
