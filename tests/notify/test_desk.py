"""What is told when: filters, groups, rate, quiet hours. No clock, no network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.finding import Severity
from nsm.notify.settings import NotifySettings, quiet_span
from nsm.run import notice_desk
from nsm.run.notice_courier import WAIT_MAX_S, pause
from nsm.run.notice_desk import Desk, Parcel
from nsm.run.notice_rules import Filter, Rate, Rules, daily_due, day_before, is_quiet, rules_of
from nsm.run.notice_words import title_of
from tests.notify.notices import NOW, alert

DAY = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def desk(**more: Any) -> Desk:
    return Desk(Rules(**{"severity_min": Severity.MEDIUM, **more}), UTC)


def ids(parcels: list[Parcel]) -> list[tuple[str, ...]]:
    return [tuple(one.id for one in parcel.alerts) for parcel in parcels]


def test_alerts_of_one_group_within_a_short_time_are_one_message() -> None:
    one = desk()
    one.offer(alert(1), NOW)
    one.offer(alert(2), NOW + 1)
    one.offer(alert(3, src_ip="10.0.0.9"), NOW + 2)
    one.offer(msgspec.structs.replace(alert(1), rev=2), NOW + 3)
    assert one.due(NOW + 4.9) == []
    assert ids(one.due(NOW + 5)) == [("A1", "A2")]
    assert ids(one.due(NOW + 7)) == [("A3",)]
    assert one.waiting == 0


def test_the_same_group_is_not_told_again_soon_unless_it_is_worse() -> None:
    one = desk()
    one.offer(alert(1), NOW)
    one.due(NOW + 5)
    one.offer(alert(2), NOW + 10)
    assert one.due(NOW + 200) == []
    one.offer(alert(3, Severity.CRITICAL), NOW + 200)
    assert ids(one.due(NOW + 205)) == [("A2", "A3")]
    one.offer(alert(4), NOW + 210)
    assert one.due(NOW + 504) == []
    assert ids(one.due(NOW + 505)) == [("A4",)]


def test_beyond_the_rate_alerts_are_summed_up_when_there_is_room() -> None:
    one = desk(per_hour=2, group_s=0, again_s=0)
    for number in range(6):
        one.offer(alert(number, src_ip=f"10.0.0.{number}"), NOW + number)
        assert len(one.due(NOW + number)) == (number < 2)
    one.offer(alert(9, Severity.CRITICAL, src_ip="10.0.0.9"), NOW + 60)
    assert ids(one.due(NOW + 60)) == [("A9",)]
    (summary,) = one.due(NOW + 3_700)
    assert (summary.kind, {found.id for found in summary.alerts}) == ("summary", {"A2", "A3", "A4", "A5"})


def test_in_quiet_hours_only_what_is_critical_passes() -> None:
    one = desk(quiet=quiet_span("22:00-07:00"))
    one.offer(alert(1), DAY + 23 * 3600)
    one.offer(alert(2, Severity.CRITICAL, src_ip="10.0.0.2"), DAY + 23 * 3600)
    assert ids(one.due(DAY + 23 * 3600 + 5)) == [("A2",)]
    assert one.due(DAY + 30 * 3600) == []
    assert one.waiting == 1
    (summary,) = one.due(DAY + 31 * 3600)
    assert (summary.kind, ids([summary])) == ("summary", [("A1",)])
    strict = desk(quiet=quiet_span("22:00-07:00"), quiet_passes_critical=False)
    strict.offer(alert(2, Severity.CRITICAL), DAY + 23 * 3600)
    assert strict.due(DAY + 24 * 3600) == []


def test_what_is_held_and_becomes_critical_passes_at_once() -> None:
    one = desk(quiet=quiet_span("22:00-07:00"))
    one.offer(alert(1), DAY + 23 * 3600)
    assert one.due(DAY + 23 * 3600 + 5) == []
    one.offer(msgspec.structs.replace(alert(1, Severity.CRITICAL), rev=2), DAY + 23 * 3600 + 6)
    assert ids(one.due(DAY + 23 * 3600 + 11)) == [("A1",)]
    assert one.due(DAY + 32 * 3600) == []
    assert one.waiting == 0


def test_beyond_the_bound_only_the_number_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_desk, "WAITING_MAX", 3)
    one = desk()
    for number in range(10):
        one.offer(alert(number, src_ip=f"10.0.0.{number}"), NOW)
    assert (one.waiting, one.refused) == (3, 7)
    parcels = one.due(NOW + 5)
    assert [len(parcel.alerts) for parcel in parcels] == [1, 1, 1, 0]
    assert (parcels[-1].kind, parcels[-1].more) == ("summary", 7)
    assert (one.waiting, one.refused) == (0, 0)


def test_only_news_is_wanted() -> None:
    one = desk()
    assert one.wants(alert(1), -1)
    assert not one.wants(alert(1), int(Severity.HIGH))
    assert one.wants(alert(1, Severity.CRITICAL), int(Severity.HIGH))
    assert not one.wants(alert(1, Severity.LOW), -1)
    assert not one.wants(alert(1, state="muted"), -1)


def test_filters_of_kinds_and_hosts() -> None:
    kinds = Filter(Rules(severity_min=Severity.LOW, kinds=("flood",)))
    assert not kinds.wants(alert())
    assert kinds.wants(alert(kind="flood"))
    hosts = Filter(Rules(severity_min=Severity.LOW, hosts=("192.168.1.0/28", "fd77::/64")))
    assert hosts.wants(alert())
    assert hosts.wants(alert(victims=("fd77::5",), dest_ip=""))
    assert not hosts.wants(alert(victims=("10.0.0.1",), dest_ip="00:11:22:33:44:55"))


def test_that_it_is_over_is_news_where_it_was_told_or_waits() -> None:
    one = desk()
    over = alert(1, rev=2, state="over", ended=1)
    assert not one.wants(over, -1)
    assert one.wants(over, int(Severity.HIGH))
    one.offer(alert(1), NOW)
    assert one.wants(over, -1)
    one.offer(over, NOW + 1)
    assert [(found.id, found.rev) for parcel in one.due(NOW + 5) for found in parcel.alerts] == [("A1", 2)]
    quiet = desk(quiet=quiet_span("22:00-07:00"))
    quiet.offer(alert(1), DAY + 23 * 3600)
    quiet.due(DAY + 23 * 3600 + 5)
    assert quiet.wants(over, -1)
    quiet.offer(over, DAY + 23 * 3600 + 400)
    (summary,) = quiet.due(DAY + 32 * 3600)
    assert [(found.id, found.ended) for found in summary.alerts] == [("A1", 1)]
    assert title_of(over) == "Over: Port scan"


def test_a_channel_may_have_its_own_severity_and_one_that_keeps_a_log_no_groups() -> None:
    class Own(msgspec.Struct):
        severity_min: str = "critical"

    settings = NotifySettings(quiet="22:00-07:00")
    assert rules_of(settings, Own(), each=False).severity_min == Severity.CRITICAL
    rules = rules_of(settings, Own(""), each=True)
    assert (rules.severity_min, rules.group_s, rules.per_hour, rules.quiet) == (Severity.HIGH, 0, 0, None)


@pytest.mark.parametrize("text", ["22-7", "25:00-07:00", "22:00", "22:60-07:00", "night"])
def test_what_is_no_span_of_hours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a span"):
        NotifySettings(quiet=text)


def test_quiet_hours_over_midnight_and_within_a_day() -> None:
    hours = {hour: datetime(2026, 11, 21, hour, tzinfo=UTC) for hour in (0, 6, 7, 12, 21, 22)}
    assert [hour for hour, at in hours.items() if is_quiet(quiet_span("22:00-07:00"), at)] == [0, 6, 22]
    assert [hour for hour, at in hours.items() if is_quiet(quiet_span("6:00-12:00"), at)] == [6, 7]
    assert not is_quiet(None, hours[0])


def test_the_daily_message_is_due_once_after_its_hour() -> None:
    at = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
    assert daily_due(8, at, None)
    assert daily_due(8, at, at.toordinal() - 1)
    assert not daily_due(8, at, at.toordinal())
    assert not daily_due(9, at, None)
    assert not daily_due(-1, at, None)
    assert day_before(at, 8) == datetime(2026, 11, 20, 8, tzinfo=UTC)


def test_the_wait_doubles_and_is_bounded() -> None:
    assert [pause(count, 5.0) for count in (1, 2, 3)] == [5.0, 10.0, 20.0]
    assert pause(10_000, 5.0) == WAIT_MAX_S


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from(list(Severity)), st.integers(0, 3), st.floats(0, 2_000)),
        max_size=60,
    ),
    st.integers(0, 5),
    st.sampled_from(["", "22:00-07:00", "08:00-20:00"]),
)
def test_every_alert_that_is_wanted_is_told_once_or_counted_and_the_rate_is_kept(
    offers: list[tuple[int, Severity, int, float]], per_hour: int, quiet: str
) -> None:
    one = desk(per_hour=per_hour, quiet=quiet_span(quiet))
    now, told, times, offered = NOW, dict[str, int](), list[tuple[float, Severity]](), set[str]()
    for number, severity, source, step in [*offers, *[(0, Severity.INFO, 0, 1_800.0)] * 200]:
        now += step
        made = alert(number, severity, src_ip=f"10.0.0.{source}")
        if number and one.wants(made, told.get(made.id, -1)):
            one.offer(made, now)
            offered.add(made.id)
        for parcel in one.due(now):
            worst = max((found.severity for found in parcel.alerts), default=Severity.INFO)
            times.append((now, worst))
            for found in parcel.alerts:
                assert int(found.severity) > told.get(found.id, -1)
                told[found.id] = int(found.severity)
    assert set(told) == offered
    assert one.waiting == 0
    if per_hour:
        for at, _ in times:
            assert sum(at - 3_600 < other <= at for other, _ in times) <= 2 * per_hour


def test_the_rate_forgets_after_an_hour() -> None:
    rate = Rate(1)
    rate.count(NOW)
    assert not rate.free(NOW + 3_599, Severity.HIGH)
    assert rate.free(NOW + 3_599, Severity.CRITICAL)
    assert rate.free(NOW + 3_600, Severity.HIGH)
