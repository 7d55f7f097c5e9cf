"""What a new analyst goes on from is what the store has."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.model.address import Networks
from nsm.run.live_view import LiveView
from nsm.run.taking_up import DAY_US, before
from nsm.store.triage import triage
from nsm.store.writer import Writer
from tests.store.conftest import T0_S, US, alert, batch, seconds


def test_without_a_store_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert before(tmp_path, T0_S * US) == ([], 0.0)


@pytest.mark.parametrize("state", ["new", "done"])
def test_alerts_of_the_last_day_count_on_and_are_no_news(writer: Writer, tmp_path: Path, state: str) -> None:
    now = (T0_S + 100) * US
    old = alert(1, last_seen=now - DAY_US - 1)
    writer.store([batch(1, seconds(90), alerts=(old, alert(3), alert(2)))])
    triage(tmp_path, ["A2"], state=state)
    writer.maintain()
    known = before(tmp_path, now)
    assert [(one.id, one.state) for one in known.alerts] == [("A2", state), ("A3", "new")]
    assert known.watched_s == 90
    view = LiveView(Networks(("10.0.0.0/8",)))
    view.resume(known.alerts, known.watched_s)
    assert view.rows() is None
