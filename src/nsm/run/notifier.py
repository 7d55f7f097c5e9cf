"""The notifier process: hears of alerts from the analyst, decides what is told when, and carries it to the channels.

What is decided is in the outbox (``store.notices``) before it is sent. After a restart, or when the feed was away, alerts of
that time are read from the store, so that none is missed; the outbox knows which were told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sqlite3
import time
from datetime import tzinfo
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import DeliveryError, NsmError, QueryError
from nsm.model.finding import Alert
from nsm.model.notice import Notice, alert_of
from nsm.notify.settings import NotifySettings
from nsm.run.child import begin
from nsm.run.control import fault_of
from nsm.run.feed import SocketFeed
from nsm.run.links import ANALYST, LIVE, NOTIFY, Sender, Splitter, listen, socket_path
from nsm.run.notice_channels import outlets
from nsm.run.notice_courier import Courier
from nsm.run.notice_day import day_of
from nsm.run.notice_desk import Desk
from nsm.run.notice_rules import daily_due, day_before, local, rules_of
from nsm.run.notice_trial import trial
from nsm.run.notice_words import Scene, daily_notice, notice_of, unsure_notice
from nsm.run.transport import Message, encode
from nsm.store.notices import NoticeStore

log = logging.getLogger(__name__)

TURN_S: Final = 0.1
SAY_S: Final = 2.0  # between two words to the analyst on how the channels are
MARK_S: Final = 30.0  # ours: a longer one only means that more is read again after a restart
AGAIN_S: Final = (0.0, 3.0, 15.0)  # after the feed is there: alerts of the gap reach the store only then
OVERLAP_US: Final = 600 * 1_000_000  # alerts have the time of their packets, which may be older than the alert
BACK_US: Final = 24 * 3_600 * 1_000_000  # further back nothing is read again: it is no news
FIRST_US: Final = 60 * 1_000_000  # at the first start: what came while the processes started; older alerts are history
END_S: Final = 3.0  # for the messages in hand, when the process is asked to end


class Notifier:
    """State of the process; one event loop, and a thread for each channel."""

    def __init__(self, task: dict[str, Any], zone: tzinfo | None = None) -> None:
        self._data, self._runtime = Path(task["data"]), Path(task["runtime"])
        self._settings = msgspec.convert(task["notify"], NotifySettings)
        self._scene = Scene(socket.gethostname(), task.get("page", ""), zone)
        self._store = NoticeStore(self._data)
        self._desks: dict[str, tuple[Desk, Courier]] = {}
        for outlet in outlets(task["channels"]):
            rules = rules_of(self._settings, outlet.settings, each=outlet.spec.each)
            self._desks[outlet.name] = Desk(rules, zone), Courier(outlet, self._store, self._settings)
        self._sender = Sender(socket_path(self._runtime, ANALYST), encode("hello", {"role": "notifier"}))
        self._again: list[float] = []
        self._since = 0
        self._marked, self._said = 0.0, 0.0
        self._testing: set[str] = set()
        self._boot, self._made = os.urandom(6).hex(), 0

    async def run(self) -> None:
        """Serve until the process is asked to end."""
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        self._begin()
        server = await asyncio.start_unix_server(self._obey, sock=listen(socket_path(self._runtime, NOTIFY)))
        feed = asyncio.create_task(self._hear())
        try:
            while not stopping.is_set():
                try:
                    self._turn(time.time())
                except (sqlite3.Error, NsmError) as error:  # a full disk: it is tried again
                    log.warning("notifier reason=%s", error)
                    await asyncio.sleep(1)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), TURN_S)
        finally:
            feed.cancel()
            server.close()
            until = time.monotonic() + END_S
            for _, courier in self._desks.values():
                courier.stop(max(0.0, until - time.monotonic()))

    def _begin(self) -> None:
        """Take up what the last process left."""
        now = time.time()
        now_us = int(now * 1e6)
        first = self._store.mark("first")
        if first is None:
            first = now_us - FIRST_US
            self._store.set_mark("first", first)
        seen = self._store.mark("seen") or now_us
        self._since = max(first, seen - OVERLAP_US, now_us - BACK_US)
        at = local(now, self._scene.zone)
        if self._store.mark("daily") is None and at.hour >= self._settings.daily_hour:
            self._store.set_mark("daily", at.toordinal())  # the first day's hour is over
        for channel, lost in self._store.lose():
            log.warning("message unsure channel=%s id=%s", channel, lost.id)
            if channel in self._desks and lost.kind != "unsure":
                self._put(channel, unsure_notice(lost, f"{lost.id}-unsure", now, self._scene), ())
        for _, courier in self._desks.values():
            courier.start()

    # ------------------------------------------------------------ deciding

    async def _hear(self) -> None:
        """Alerts of the feed."""
        async for message in SocketFeed(socket_path(self._runtime, LIVE), self._connected):
            if message["type"] == "alert":
                try:
                    self._offer(alert_of(message["alert"]), time.time())
                except sqlite3.Error as error:  # it is in the store, and is read from there
                    log.warning("outbox reason=%s", error)
                    self._connected()

    def _connected(self) -> None:
        now = time.monotonic()
        self._again = [now + wait for wait in AGAIN_S]

    def _offer(self, alert: Alert, now: float) -> None:
        for name, (desk, _) in self._desks.items():
            if (alert.ended or desk.wants(alert, -1)) and desk.wants(alert, self._store.told(name, alert.id)):
                desk.offer(alert, now)

    def _turn(self, now: float) -> None:
        """What is due now."""
        if self._again and time.monotonic() >= self._again[0]:
            self._again.pop(0)
            for alert in self._store.alerts_since(self._since):
                self._offer(alert, now)
        for name, (desk, _) in self._desks.items():
            for parcel in desk.due(now):
                self._made += 1
                notice_id = f"{self._boot}-{self._made}"
                self._put(name, notice_of(parcel, notice_id, now, self._scene), parcel.alerts)
        self._daily(now)
        self._mark(now)
        self._say()

    def _put(self, channel: str, notice: Notice, alerts: tuple[Alert, ...]) -> None:
        dropped = self._store.put(channel, notice, alerts, self._settings.queue_max)
        if dropped:
            log.warning("queue full channel=%s dropped=%d", channel, dropped)
        self._desks[channel][1].wake()

    def _daily(self, now: float) -> None:
        """Once a day at its hour, to the channels for people."""
        hour, at = self._settings.daily_hour, local(now, self._scene.zone)
        if not daily_due(hour, at, self._store.mark("daily") if hour >= 0 else None):
            return
        start = day_before(at, hour).timestamp()
        day = day_of(self._data, self._store, int(start * 1e6), int(now * 1e6))
        for name, (_, courier) in self._desks.items():
            if not courier.outlet.spec.each:
                self._put(name, daily_notice(day, f"daily-{at:%Y-%m-%d}", self._scene), ())
        self._store.set_mark("daily", at.toordinal())

    def _mark(self, now: float) -> None:
        """Note up to when everything was decided, while nothing waits to be."""
        if time.monotonic() - self._marked > MARK_S and not any(desk.waiting for desk, _ in self._desks.values()):
            self._marked = time.monotonic()
            self._store.set_mark("seen", int(now * 1e6))
            self._since = max(self._since, int(now * 1e6) - OVERLAP_US)

    def _say(self) -> None:
        """Tell the analyst how the channels are; it makes outages of that."""
        if time.monotonic() - self._said > SAY_S:
            self._said = time.monotonic()
            for name, (_, courier) in self._desks.items():
                self._sender.send(0, encode("channel", {"name": name, "fails": courier.state().outage}))
        self._sender.turn()

    # ------------------------------------------------------------ answering

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        splitter = Splitter()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                for message in splitter.feed(data):
                    writer.write(encode("answer", await self._answer(message)))
                    await writer.drain()
        writer.close()

    async def _answer(self, message: Message) -> dict[str, Any]:
        try:
            if message.kind == "notify_test":
                await self._test(str(message.header["name"]))
                return {"ok": True}
        except NsmError as error:
            return fault_of(error)
        return {"channels": [courier.shape() for _, courier in self._desks.values()]}

    async def _test(self, name: str) -> None:
        """Deliver a test now, beside the queue; QueryError for an unknown name, DeliveryError when it does not arrive."""
        if name not in self._desks:
            names = ", ".join(self._desks) or "none is set"
            raise QueryError(f"there is no channel {name[:40]!r}", where="name", mend=f"one of: {names}")
        if name in self._testing:
            raise DeliveryError(f"{name}: a test is under way")
        self._testing.add(name)
        try:
            await asyncio.to_thread(trial, self._desks[name][1].outlet, self._scene.link)
        finally:
            self._testing.discard(name)


def main() -> None:
    """Entry of the process."""
    task = begin("notifier")
    asyncio.run(Notifier(task).run())
    os._exit(0)  # a thread whose endpoint hangs must not hold up the end; what it carries is noted as being tried


if __name__ == "__main__":
    main()
