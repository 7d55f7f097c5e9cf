"""How well a period was watched: every stretch that was not has its reason, and nothing unknown is called 0."""

from __future__ import annotations

from nsm.report.facts import Facts
from nsm.report.period import HOUR_US, MINUTE_US, Period
from nsm.report.quality import merged, overlap, quality
from nsm.report.summary import summary
from nsm.store.records import Gap
from nsm.store.report_sums import Minute
from tests.report.kit import DAY, START

TWO = Period(START, START + 2 * HOUR_US)


def minutes(*left_out: range, drops: dict[int, int] | None = None) -> list[Minute]:
    gone = {minute for part in left_out for minute in part}
    return [Minute(START + n * MINUTE_US, 100, 9_000, (drops or {}).get(n, 0), 0) for n in range(120) if n not in gone]


def test_everything_was_watched() -> None:
    found = quality(TWO, minutes(), [], START)
    assert (found.watched, found.seen, found.drops, found.blind) == (1.0, 1.0, 0, ())


def test_a_gap_counts_once_even_where_nothing_was_seen_either() -> None:
    gap = Gap(START + 30 * MINUTE_US, START + 60 * MINUTE_US, "capture", "it was started again", 7)
    found = quality(TWO, minutes(range(30, 60)), [gap], START)
    assert found.watched == 0.75
    assert [(one.why, one.lost) for one in found.blind] == [("it was started again", 7)]


def test_long_silence_is_said_and_short_silence_is_not() -> None:
    found = quality(TWO, minutes(range(10, 19), range(50, 60)), [], START)
    assert found.watched is not None
    assert round(found.watched * 120) == 110
    (one,) = found.blind
    assert (one.start_us, one.stop_us) == (START + 50 * MINUTE_US, START + 60 * MINUTE_US)
    assert one.why.startswith("no packet was seen")


def test_dropped_packets_are_a_stretch_with_their_number() -> None:
    found = quality(TWO, minutes(drops={5: 10, 6: 20, 40: 100}), [], START)
    assert [(one.start_us, one.stop_us, one.lost) for one in found.blind] == [
        (START + 5 * MINUTE_US, START + 7 * MINUTE_US, 30), (START + 40 * MINUTE_US, START + 41 * MINUTE_US, 100),
    ]  # fmt: skip
    assert found.seen == 12_000 / 12_130
    assert found.by_step[0][2:] == (500, 0)


def test_before_the_first_row_nothing_was_watched() -> None:
    found = quality(TWO, minutes(range(60)), [], START + HOUR_US)
    assert found.watched == 0.5
    assert [one.why for one in found.blind] == ["nothing is kept of this time"]


def test_without_counted_packets_nothing_is_measured_and_nothing_is_0() -> None:
    found = quality(TWO, [], [], START)
    assert (found.watched, found.seen, found.pkts, found.drops, found.malformed) == (None,) * 5
    assert all(step[1:] == (None, None, None) for step in found.by_step)


def test_spans_are_merged() -> None:
    assert merged([(5, 9), (1, 3), (2, 4), (9, 10)]) == [(1, 4), (5, 10)]
    assert overlap([(1, 4), (5, 10)], 3, 7) == 3


def test_the_day_says_when_it_was_blind(facts: Facts) -> None:
    assert facts.quality.drops == 80
    assert [one.why for one in facts.quality.blind] == ["The capture was started again", "packets were dropped"]
    assert "blind 05:10-05:40 (30 min)" in " ".join(summary(facts))
    assert len(facts.quality.by_step) == 25
    assert facts.period == DAY
