"""What a message says."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from nsm.model.finding import Explain, Severity
from nsm.model.notice import alert_of, one_line
from nsm.run.notice_desk import Parcel
from nsm.run.notice_words import MAX, Day, Scene, daily_notice, notice_of, unsure_notice
from tests.notify.notices import HOSTILE, NOW, alert, notice

SCENE = Scene("sensor-1", "http://127.0.0.1:8052/", UTC)


def test_one_alert_is_told_in_five_parts() -> None:
    made = notice_of(Parcel("alert", (alert(),)), "n1", NOW, SCENE)
    assert made.title == "High: Port scan"
    assert (
        made.text
        == """What happened
  laptop-7 tried 214 ports on nas.

Why it matters
  It is often the first step.

How sure: 85%
  Measured 214.
  Speaks against it: No log-in after.
  Innocent cause: An inventory tool.

What to do next
  1. Ask the owner.
  2. Look what it did next.

Evidence
  Measured 214 ports in 300 s, threshold 25 (detector port_scan)
  From 192.168.1.23
  To 192.168.1.5
  3 times, 2026-09-21 14:13:19 to 2026-09-21 14:13:20
  nsm explain A1

http://127.0.0.1:8052/"""
    )


def test_what_is_not_known_is_left_out() -> None:
    text = notice(alert(explain=Explain("", ""))).text
    assert "What happened" not in text
    assert "None" not in text


def test_many_alerts_are_listed_with_the_worst_first_and_the_rest_as_a_number() -> None:
    many = tuple(alert(number, Severity.MEDIUM) for number in range(MAX + 5))
    made = notice_of(Parcel("alert", (*many, alert(99, Severity.CRITICAL)), more=3), "n1", NOW, SCENE)
    assert made.title == "Critical: Port scan and 28 more alerts"
    assert (len(made.alerts), made.more, made.alerts[0].id) == (MAX, 9, "A99")
    assert "and 9 more alerts" in made.text
    held = notice_of(Parcel("summary", (alert(),)), "n1", NOW, SCENE)
    assert held.title == "1 alert held back until now"


def test_the_day_says_what_changed_and_also_that_nothing_did() -> None:
    day = Day(0, int(NOW * 1e6), (("192.168.1.77", "tv"),), (alert(),), ("22/tcp opened on nas",))
    made = daily_notice(day, "daily-1", SCENE)
    assert made.title == "Since yesterday: 1 alert, 1 new host, 1 scan difference"
    assert "192.168.1.77 tv" in made.text
    assert "22/tcp opened on nas" in made.text
    quiet = daily_notice(Day(0, 1), "daily-2", SCENE)
    assert quiet.title == "Since yesterday: 0 alerts, 0 new hosts, 0 scan differences"


def test_what_may_not_have_arrived_is_said_and_not_sent_again() -> None:
    made = unsure_notice(notice(), "n2", NOW, SCENE)
    assert made.alerts == ()
    assert "High: Port scan" in made.text
    assert "nsm explain A1" in made.text


def test_names_from_the_wire_forge_nothing() -> None:
    made = notice(alert(signature=HOSTILE, explain=Explain(HOSTILE, HOSTILE, next=(HOSTILE,))))
    assert "\r" not in made.title + made.text
    assert "\x1b" not in made.title + made.text
    assert "\nBcc" not in made.title + made.text


@given(st.text())
def test_one_line_is_one_line_and_bounded(text: str) -> None:
    made = one_line(text, 50)
    assert len(made.splitlines()) <= 1
    assert len(made) <= 50
    made.encode()


def test_an_alert_comes_back_from_its_plain_form() -> None:
    assert alert_of(alert().as_dict()) == alert()
