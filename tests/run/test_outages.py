"""Outages: told while they go on, kept once."""

from __future__ import annotations

import pytest

from nsm.run.outages import Outages


def test_an_outage_is_told_once_a_second_and_kept_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("nsm.run.outages.time.time", lambda: now[0])
    told: list[tuple[float, float, str, str]] = []
    kept: list[tuple[float, float, str, str]] = []
    both = Outages(lambda *gap: told.append(gap), lambda *gap: kept.append(gap))
    both.over("eve_file", "it never failed")
    for _ in range(5):
        both.goes_on("eve_file", "full")
        now[0] += 0.5
    assert told == [
        (100.0, 100.0, "eve_file", "full"),
        (100.0, 101.0, "eve_file", "full"),
        (100.0, 102.0, "eve_file", "full"),
    ]
    assert kept == []
    both.over("eve_file", "was full")
    both.over("eve_file", "was full")
    assert kept == [(100.0, 102.5, "eve_file", "was full")] == told[3:]
