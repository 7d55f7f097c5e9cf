"""The outbox: nothing twice, nothing forgotten, bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.model.finding import Severity
from nsm.store import notices
from nsm.store.notices import DEAD, SENT, NoticeStore
from tests.notify.notices import alert, notice


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> NoticeStore:
    return NoticeStore(tmp_path, clock)


def test_what_was_told_is_known_by_alert_and_severity(store: NoticeStore) -> None:
    assert store.told("mail", "A1") == -1
    store.put("mail", notice(), [alert()], 10)
    assert store.told("mail", "A1") == Severity.HIGH
    assert store.told("webhook", "A1") == -1
    store.put("mail", notice(), [alert(rev=2, state="over", ended=1)], 10)
    assert store.told("mail", "A1") == -1  # told that it is over: if it comes back, that is news
    store.put("mail", notice(), [alert(rev=3)], 10)
    assert store.told("mail", "A1") == Severity.HIGH


def test_messages_are_taken_in_order_and_the_same_one_is_kept_once(store: NoticeStore) -> None:
    for number in (1, 2, 2):
        store.put("mail", notice(notice_id=f"n{number}"), [], 10)
    first, second = store.take("mail"), store.take("mail")
    assert first is not None
    assert second is not None
    assert (first.notice.id, second.notice.id, store.take("mail"), store.take("webhook")) == ("n1", "n2", None, None)
    store.end(first.id, SENT)
    store.end(second.id, DEAD, "refused")
    assert store.counts("mail") == {"sent": 1, "dead": 1}
    assert store.last("mail") == {"sent": 1_000.0, "error": "refused"}


def test_another_try_is_due_later_or_as_soon_as_the_channel_works(store: NoticeStore, clock: Clock) -> None:
    store.put("mail", notice(), [], 10)
    taken = store.take("mail")
    assert taken is not None
    store.again(taken.id, 60, "refused")
    assert store.take("mail") is None
    clock.now += 60
    again = store.take("mail")
    assert again is not None
    assert again.tries == 2
    store.again(again.id, 600, "refused")
    store.hurry("mail")
    assert store.take("mail") is not None


def test_after_a_restart_what_was_being_tried_is_unsure_and_the_rest_waits(store: NoticeStore, tmp_path: Path) -> None:
    for number in (1, 2):
        store.put("mail", notice(notice_id=f"n{number}"), [], 10)
    store.take("mail")
    store.close()
    again = NoticeStore(tmp_path)
    assert [(channel, lost.id) for channel, lost in again.lose()] == [("mail", "n1")]
    assert again.lose() == []
    assert again.counts("mail") == {"unsure": 1, "waiting": 1}


def test_the_queue_is_bounded_and_the_oldest_leave(store: NoticeStore) -> None:
    dropped = [store.put("mail", notice(notice_id=f"n{number}"), [], 3) for number in range(5)]
    assert dropped == [0, 0, 0, 1, 1]
    taken = store.take("mail")
    assert taken is not None
    assert taken.notice.id == "n2"
    assert store.counts("mail")["dropped"] == 2


def test_what_ended_and_what_was_told_are_bounded(
    store: NoticeStore, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(notices, "HISTORY_MAX", 5)
    monkeypatch.setattr(notices, "TOLD_MAX", 10)
    for number in range(20):
        clock.now += 1
        store.put("mail", notice(notice_id=f"n{number}"), [alert(number)], 100)
        taken = store.take("mail")
        assert taken is not None
        store.end(taken.id, SENT)
    assert store.counts("mail")["sent"] <= 6
    assert store.told("mail", "A0") == -1
    assert store.told("mail", "A19") == Severity.HIGH


def test_marks_are_kept(store: NoticeStore) -> None:
    assert store.mark("seen") is None
    store.set_mark("seen", 7)
    store.set_mark("seen", 8)
    assert store.mark("seen") == 8
