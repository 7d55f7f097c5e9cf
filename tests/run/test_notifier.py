"""The notifier as a process, with real receivers: some hang, refuse or fail, and it is killed; the rest is unharmed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from nsm.errors import DeliveryError, QueryError, ServiceError
from nsm.model.finding import Alert, Severity
from nsm.model.flow import FLOW
from nsm.model.table import Rows
from nsm.notify.settings import NotifySettings
from nsm.run.control import answer_of
from nsm.run.links import ANALYST, LIVE, NOTIFY, Splitter, socket_path
from nsm.run.notice_channels import found_specs, outlets
from nsm.run.notice_control import ask_notifier, notify_wanted
from nsm.run.notifier import Notifier
from nsm.run.transport import encode
from nsm.settings.load import load
from nsm.settings.section import SettingsSection
from nsm.store.findings import add_hosts
from nsm.store.notices import NoticeStore
from nsm.store.records import HostSeen
from tests.notify.notices import alert
from tests.notify.receivers import Hook, datagram_collector, http_receiver, mail_receiver, refused_port, until
from tests.serve.kit import Store

pytestmark = pytest.mark.slow
SECRET = "t0ken-of-the-webhook"  # noqa: S105  of tests alone


class FakeAnalyst:
    """The two sockets of the analyst: pushes alerts to whoever listens, and keeps what it is told."""

    def __init__(self, runtime: Path) -> None:
        runtime.mkdir(parents=True, exist_ok=True)
        self.heard: list[dict[str, Any]] = []
        self._readers: list[socket.socket] = []
        self._stop = threading.Event()
        self._sockets = []
        for name, handle in ((LIVE, self._readers.append), (ANALYST, self._hear)):
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(socket_path(runtime, name))
            listening.listen()
            listening.settimeout(0.05)
            self._sockets.append(listening)
            threading.Thread(target=self._accept, args=(listening, handle), daemon=True).start()

    def _accept(self, listening: socket.socket, handle: Any) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                handle(listening.accept()[0])

    def _hear(self, sock: socket.socket) -> None:
        splitter = Splitter()

        def read() -> None:
            with contextlib.suppress(OSError), sock:
                while data := sock.recv(65_536):
                    self.heard += [message.header for message in splitter.feed(data) if message.kind == "channel"]

        threading.Thread(target=read, daemon=True).start()

    def push(self, *alerts: Alert) -> None:
        """Say alerts to all who listen, once somebody does."""
        assert until(lambda: self._readers)
        for one in alerts:
            data = encode("live", {"message": {"type": "alert", "alert": one.as_dict()}})
            for sock in list(self._readers):
                try:
                    sock.sendall(data)
                except OSError:
                    self._readers.remove(sock)
                    sock.close()

    def forget(self) -> None:
        """Who listened was killed."""
        while self._readers:
            self._readers.pop().close()

    def fails(self, name: str) -> str:
        """What was said last of a channel."""
        return next((one["fails"] for one in reversed(self.heard) if one["name"] == name), "")

    def close(self) -> None:
        self._stop.set()
        self.forget()
        for sock in self._sockets:
            sock.close()


class Running:
    """The process, which can be killed and started again."""

    def __init__(self, data: Path, channels: dict[str, Any], **settings: Any) -> None:
        self.data, self.runtime = data, data / "run"
        self.analyst = FakeAnalyst(self.runtime)
        fast = {"group_s": 0.0, "again_s": 0.0, "retry_s": 0.2, "severity_min": "medium"}
        self._task = {
            "data": str(data), "runtime": str(self.runtime), "page": "http://127.0.0.1:8052/", "channels": channels,
            "notify": msgspec.to_builtins(NotifySettings(**{**fast, **settings})),
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with (self.data / "err").open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nsm.run.notifier"], stdin=subprocess.PIPE, stderr=err
            )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.msgpack.encode(self._task))
        self.process.stdin.close()
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.analyst.forget()

    def ask(self, kind: str = "notify", **header: Any) -> dict[str, Any]:
        return answer_of(asyncio.run(ask_notifier(self.runtime, kind, header)))

    def state(self, name: str) -> dict[str, Any]:
        assert until(lambda: self.ask()["channels"])  # it may just have been started
        return next(one for one in self.ask()["channels"] if one["name"] == name)

    def said(self) -> str:
        """Everything that it wrote."""
        return "".join(path.read_text(errors="replace") for path in (self.data / "err", self.data / "nsm.log"))

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(10) == 0
        self.analyst.close()


@contextlib.contextmanager
def running(data: Path, channels: dict[str, Any], **settings: Any) -> Iterator[Running]:
    made = Running(data, channels, **settings)
    try:
        yield made.start()
    finally:
        made.close()


def web(hook: Hook | int, **more: Any) -> dict[str, Any]:
    port = hook if isinstance(hook, int) else hook.port
    return {"webhook": {"url": f"http://127.0.0.1:{port}/{SECRET}", **more}}


def now_alert(number: int, severity: Severity = Severity.HIGH, **more: Any) -> Alert:
    return alert(number, severity, now=time.time(), **more)


def told(hook: Hook) -> list[str]:
    """Ids of the alerts that a webhook was told, in order."""
    return [one["id"] for body in hook.bodies() for one in body["alerts"]]


def test_one_that_hangs_refuses_or_fails_leaves_the_others_unharmed(tmp_path: Path) -> None:
    with (
        http_receiver(0) as hanging,
        http_receiver(500) as failing,
        datagram_collector() as collector,
        mail_receiver() as box,
    ):
        urls = f"json://127.0.0.1:{failing.port}/{SECRET} json://127.0.0.1:{refused_port()}/{SECRET}"
        channels = {
            **web(hanging, timeout_s=30.0), "apprise_urls": {"urls": urls, "timeout_s": 1.0},
            "syslog": {"host": "127.0.0.1", "port": collector.port},
            "mail": {"host": "127.0.0.1", "port": box.port, "security": "none", "sender": "a@b.org", "to": ["c@d.org"]},
        }  # fmt: skip
        with running(tmp_path, channels) as one:
            for number in range(1, 4):
                pushed = time.monotonic()
                one.analyst.push(now_alert(number, src_ip=f"10.0.0.{number}"))
                assert until(lambda number=number: len(box.mails) == len(collector.lines) == number)
                assert time.monotonic() - pushed < 3.0
            assert hanging.asked == 1
            assert until(lambda: one.analyst.fails("apprise_json") and one.analyst.fails("apprise_json_2"), 20)
            states = {name: one.state(name)["state"] for name in ("mail", "syslog", "apprise_json", "apprise_json_2")}
            assert states == {
                "mail": "works",
                "syslog": "works",
                "apprise_json": "failing",
                "apprise_json_2": "failing",
            }
            assert one.analyst.fails("mail") == ""
            assert SECRET not in one.said() + repr(one.ask()) + repr(one.analyst.heard)


def test_after_a_kill_nothing_is_sent_twice_and_what_was_missed_is_sent(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with http_receiver() as hook, running(tmp_path, web(hook)) as one:
        alerts = [now_alert(number, src_ip=f"10.0.0.{number}") for number in range(6)]
        store.add(Rows.empty(FLOW), alerts=alerts[:3])
        one.analyst.push(*alerts[:3])
        assert until(lambda: sorted(told(hook)) == ["A0", "A1", "A2"])
        one.kill()
        store.add(Rows.empty(FLOW), alerts=[*alerts[3:5], msgspec.structs.replace(alerts[0], rev=2, count=9)])
        one.start()
        assert until(lambda: sorted(told(hook)) == ["A0", "A1", "A2", "A3", "A4"])
        one.analyst.push(*alerts, msgspec.structs.replace(alerts[1], rev=5))
        assert until(lambda: "A5" in told(hook))
        worse = msgspec.structs.replace(alerts[2], rev=2, severity=Severity.CRITICAL)
        one.analyst.push(worse, worse)
        assert until(lambda: len(told(hook)) == 7)
        time.sleep(0.5)
        assert sorted(told(hook)) == ["A0", "A1", "A2", "A2", "A3", "A4", "A5"]
        assert len({body["id"] for body in hook.bodies()}) == len(hook.got)
    store.close()


def test_that_it_is_over_is_told_once_and_a_restart_repeats_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with http_receiver() as hook, running(tmp_path, web(hook)) as one:
        first = now_alert(1)
        over = msgspec.structs.replace(first, rev=2, state="over", ended=first.last_seen + 1)
        store.add(Rows.empty(FLOW), alerts=[first])
        one.analyst.push(first)
        assert until(lambda: told(hook) == ["A1"])
        assert until(lambda: one.state("webhook")["counts"] == {"sent": 1})  # noted too: else it would be "unsure"
        one.kill()
        store.add(Rows.empty(FLOW), alerts=[over])  # it ends while nobody listens
        one.start()
        assert until(lambda: told(hook) == ["A1", "A1"])
        one.analyst.push(over, msgspec.structs.replace(now_alert(2), rev=2, state="over", ended=1))
        time.sleep(0.5)
        one.analyst.push(msgspec.structs.replace(first, rev=3))
        assert until(lambda: told(hook) == ["A1", "A1", "A1"])
        assert [body["title"] for body in hook.bodies()] == ["High: Port scan", "Over: Port scan", "High: Port scan"]
    store.close()


def test_killed_in_the_middle_of_a_delivery_it_says_so_and_does_not_repeat_it(tmp_path: Path) -> None:
    with http_receiver(0) as hook, running(tmp_path, web(hook, timeout_s=30.0)) as one:
        one.analyst.push(now_alert(1))
        assert until(lambda: hook.asked == 1)
        one.kill()
        hook.answer = 200
        one.start()
        assert until(lambda: hook.got)
        one.analyst.push(now_alert(2, src_ip="10.0.0.2"))
        assert until(lambda: len(hook.got) == 2)
        assert [(body["kind"], len(body["alerts"])) for body in hook.bodies()] == [("unsure", 0), ("alert", 1)]
        assert "High: Port scan" in hook.bodies()[0]["text"]
        assert told(hook) == ["A2"]
        assert one.state("webhook")["counts"] == {"sent": 2, "unsure": 1}


def test_killed_again_and_again_under_load_nothing_comes_twice_and_nothing_is_forgotten(tmp_path: Path) -> None:
    store, all_ids = Store(tmp_path), set[str]()
    with http_receiver() as hook, running(tmp_path, web(hook), per_hour=0) as one:
        for turn in range(4):
            alerts = [now_alert(turn * 100 + n, src_ip=f"10.{turn}.0.{n}") for n in range(15)]
            all_ids |= {made.id for made in alerts}
            store.add(Rows.empty(FLOW), alerts=alerts)
            one.analyst.push(*alerts)
            time.sleep(0.05 * turn)
            one.kill()
            one.start()
        unsure: list[str] = []

        def known() -> set[str]:
            unsure[:] = [body["text"] for body in hook.bodies() if body["kind"] == "unsure"]
            return {*told(hook), *(found for found in all_ids if any(f"explain {found}\n" in text for text in unsure))}

        assert until(lambda: known() == all_ids, 20)
        time.sleep(0.5)
    assert len(told(hook)) == len(set(told(hook)))
    assert len({body["id"] for body in hook.bodies()}) == len(hook.got)
    assert len(unsure) <= 4
    store.close()


def test_what_fails_is_tried_again_and_given_up_after_so_many_tries(tmp_path: Path) -> None:
    with http_receiver(500) as hook, running(tmp_path, web(hook), tries_max=3, retry_s=0.1) as one:
        one.analyst.push(now_alert(1))
        assert until(lambda: one.state("webhook")["counts"].get("dead") == 1)
        assert hook.asked == 3
        assert until(lambda: one.analyst.fails("webhook"))
        assert one.analyst.fails("webhook") == "Messages do not reach webhook: webhook: the receiver answered 500"
        hook.answer = 200
        one.analyst.push(now_alert(2, src_ip="10.0.0.2"))
        assert until(lambda: told(hook) == ["A2"])
        assert until(lambda: one.analyst.fails("webhook") == "")
        assert SECRET not in one.said()


def test_a_channel_is_tested_beside_its_queue(tmp_path: Path) -> None:
    with (
        http_receiver() as hook,
        running(tmp_path, {**web(hook), "syslog": {"host": "127.0.0.1", "port": refused_port()}}) as one,
    ):
        assert until(lambda: Path(socket_path(one.runtime, NOTIFY)).exists())
        assert one.ask("notify_test", name="webhook") == {"ok": True}
        assert [body["kind"] for body in hook.bodies()] == ["test"]
        with pytest.raises(QueryError, match="there is no channel"):
            one.ask("notify_test", name="pigeon")


def test_without_a_notifier_there_are_no_channels(tmp_path: Path) -> None:
    assert asyncio.run(ask_notifier(tmp_path, "notify", {})) == {"channels": []}
    with pytest.raises(ServiceError, match="no channel"):
        asyncio.run(ask_notifier(tmp_path, "notify_test", {"name": "mail"}))


def test_a_notifier_is_wanted_when_a_channel_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = [SettingsSection(f"notify.{name}", spec.settings) for name, spec in found_specs().items()]
    assert not notify_wanted(load(sections, environ={}))
    path = tmp_path / "url"
    path.write_text("http://127.0.0.1:1/\n")
    assert notify_wanted(load(sections, environ={}, flags={"notify.webhook.url": f"file:{path}"}))
    assert [one.name for one in outlets(web(1))] == ["webhook"]


def test_once_a_day_people_are_told_what_changed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(Rows.empty(FLOW), alerts=[now_alert(1), alert(2, now=time.time() - 3 * 86_400)])
    with store._writer._connection as database:
        add_hosts(database, (HostSeen("192.168.1.77", int(time.time() * 1e6) - 1_000_000, 1, name="tv"),))
    store.close()
    channels = {**web(1), "syslog": {"host": "127.0.0.1", "port": 1}}
    settings = msgspec.to_builtins(NotifySettings(daily_hour=0))
    (tmp_path / "run").mkdir()
    one = Notifier(
        {"data": str(tmp_path), "runtime": str(tmp_path / "run"), "channels": channels, "notify": settings}, UTC
    )
    for _ in range(3):
        one._daily(time.time())
    outbox = NoticeStore(tmp_path)
    assert (outbox.counts("webhook"), outbox.counts("syslog")) == ({"waiting": 1}, {})
    taken = outbox.take("webhook")
    assert taken is not None
    assert "192.168.1.77 tv" in taken.notice.text
    assert taken.notice.title == "Since yesterday: 1 alert, 1 new host, 0 scan differences"
    outbox.close()


def test_a_test_fails_like_a_delivery(tmp_path: Path) -> None:
    with http_receiver(500) as hook, running(tmp_path, web(hook)) as one:
        assert until(lambda: Path(socket_path(one.runtime, NOTIFY)).exists())
        with pytest.raises(DeliveryError, match="answered 500"):
            one.ask("notify_test", name="webhook")
