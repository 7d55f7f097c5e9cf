"""The live side: reads the feed and tells open pages. The only module that sends to sockets.

Every message to a page passes its client's gate (``clients.py``); there are no rooms and no broadcasts, so that
one client that stops reading costs nothing and delays nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import socketio

from nsm.errors import NsmError
from nsm.serve.answers import AlertCard
from nsm.serve.auth import Gate, check_csrf, check_role
from nsm.serve.backend import Control, LiveFeed, Message
from nsm.serve.clients import ALERTS_PER_SECOND_MAX, BACKLOG_MAX, SEED_ROWS_PER_SECOND_MAX, Client
from nsm.serve.match import live_fields_missing, live_match, parse
from nsm.serve.problems import internal, problem
from nsm.serve.sample import Sample
from nsm.serve.settings import ServeSettings
from nsm.serve.shapes import alert_card
from nsm.serve.state import LiveState
from nsm.store.accounts import Accounts

log = logging.getLogger(__name__)

SILENT_S: Final = 1.5  # without a second for so long, ticks say that the analyst is silent
CHECK_SESSIONS_S: Final = 10  # ours: a log-in ended elsewhere closes its pages within this time
MESSAGE_BYTES_MAX: Final = 100_000  # of a client's message; the largest of ours is a filter

Command = Callable[[], Awaitable[Mapping[str, Any]]]


class Live:
    """Socket.IO server of the page and of seed clients; ``run`` serves it until cancelled."""

    def __init__(
        self, state: LiveState, control: Control, gate: Gate, accounts: Accounts, settings: ServeSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._state, self._control, self._gate = state, control, gate
        self._accounts, self._settings, self._clock = accounts, settings, clock
        self._clients: dict[str, Client] = {}
        self._second_at = clock()
        self._chance = random.Random()  # noqa: S311  a sample for the eye, not a secret
        self.sio = socketio.AsyncServer(
            async_mode="asgi", max_http_buffer_size=MESSAGE_BYTES_MAX, ping_interval=15, ping_timeout=15
        )
        handlers: Mapping[str, Callable[..., Any]] = {
            "connect": self._connect, "disconnect": self._disconnect, "ack": self._ack, "hidden": self._hidden,
            "subscribe": self._subscribe, "unsubscribe": self._unsubscribe, "backfill": self._backfill,
            "start_capture": self._start_capture, "stop_capture": self._stop_capture,
        }  # fmt: skip
        for event, handler in handlers.items():
            self.sio.on(event, handler)

    async def run(self, feed: LiveFeed) -> None:
        """Serve the feed, the clock and the sessions; returns when the feed ends."""
        with contextlib.suppress(NsmError):
            self._state.capture = dict(await self._control.state())
        clock = asyncio.create_task(self._watch())
        try:
            async for message in feed:
                try:
                    await self._take(message)
                except Exception as error:  # noqa: BLE001  one bad message must not end the live page
                    internal(f"feed {message.get('type')}", error)
        finally:
            clock.cancel()

    async def end_session(self, token: str) -> None:
        """Tell every page of a log-in that it has ended, and close them."""
        for client in [client for client in self._clients.values() if client.token == token]:
            await self._send(client, "logout", {})
            await self.sio.disconnect(client.sid)

    async def capture_changed(self, capture: Mapping[str, Any]) -> None:
        """Take in a new state of the capture and tell everybody."""
        before = self._state.capture["state"]
        self._state.capture = dict(capture)
        for client in list(self._clients.values()):
            if client.proto2:
                client.capture_due = True
                await self._send_capture(client)
            elif self._state.capture["state"] != before:
                await self._send(client, "capture_status", self._state.seed_status())

    # What the feed says

    async def _take(self, message: Message) -> None:
        match message.get("type"):
            case "second":
                self._second_at = self._clock()
                await self._tick(self._state.second(message))
            case "rows":
                await self._rows(message)
            case "alert":
                await self._alert(alert_card(message["alert"]))
            case "capture":
                await self.capture_changed({key: value for key, value in message.items() if key != "type"})
            case "gap":
                self._state.gap(message)
                await self._to_pages("gaps", list(self._state.gaps))
            case "job":
                await self._to_pages("job", message["job"])
            case "cleared":
                self._state.rev += 1
                await self._to_pages("cleared", {"rev": self._state.rev})
            case other:
                log.warning("unknown message type=%s", other)

    async def _tick(self, tick: dict[str, Any]) -> None:
        now = self._clock()
        for client in list(self._clients.values()):
            if not client.proto2:
                continue
            if client.is_gone(now):
                await self.sio.disconnect(client.sid)
                continue
            if not client.take_tick(tick["seq"], now):
                continue
            # Taken only when it can be sent: a skipped second's rows stay in the sample, so counts are right.
            rows = client.sample.take(tick["seq"]) if client.sample and client.wants_rows(now) else None
            if rows is not None:
                await self._send(client, "new_log", rows)
            await self._send_capture(client)
            skipped, client.skipped = client.skipped, 0
            await self._send(client, "tick", {**tick, "skipped": skipped, "slow": client.is_slow(now)})

    async def _rows(self, message: Message) -> None:
        rows, now = list(message.get("rows") or ()), self._clock()
        seen = int(message.get("seen") or len(rows))
        for client in list(self._clients.values()):
            if client.sample is not None and client.wants_rows(now):
                client.sample.add(rows, seen)
            elif not client.proto2:
                for row in rows[:SEED_ROWS_PER_SECOND_MAX]:
                    if not client.take_one(SEED_ROWS_PER_SECOND_MAX, now):
                        break
                    await self._send(client, "new_log", self._state.seed_frame(row))

    async def _alert(self, card: AlertCard) -> None:
        self._state.rev += 1
        now = self._clock()
        for client in list(self._clients.values()):
            # What is left out here shows in the next tick: ``inbox.rev`` tells the page to read its list again.
            if client.proto2 and client.may_send() and client.take_one(ALERTS_PER_SECOND_MAX, now):
                await self._send(client, "alert", {"alert": card, "rev": self._state.rev})

    async def _watch(self) -> None:
        beat = 0
        while True:
            await asyncio.sleep(1)
            beat += 1
            if self._clock() - self._second_at > SILENT_S:
                await self._tick(self._state.silent_second(time.time()))
            if beat % CHECK_SESSIONS_S == 0:
                for token in {client.token for client in self._clients.values()}:
                    if not await asyncio.to_thread(self._gate.is_open, token):
                        await self.end_session(token)

    # Sending

    async def _send(self, client: Client, event: str, data: Any) -> bool:
        """True when it was sent; False, and counted, when too much is waiting for that client already."""
        if self._backlog(client.sid) >= BACKLOG_MAX:
            client.skipped += 1
            return False
        await self.sio.emit(event, data, to=client.sid)
        return True

    async def _send_capture(self, client: Client) -> None:
        if client.capture_due and client.may_send():
            client.capture_due = not await self._send(client, "capture", self._state.capture)

    async def _to_pages(self, event: str, data: Any) -> None:
        for client in list(self._clients.values()):
            if client.proto2:
                await self._send(client, event, data)

    def _backlog(self, sid: str) -> int:
        socket = self.sio.eio.sockets.get(self.sio.manager.eio_sid_from_sid(sid, "/"))
        return socket.queue.qsize() if socket is not None else 0

    # What clients say

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: Any = None) -> None:
        auth = auth if isinstance(auth, dict) else {}
        proto2 = auth.get("proto") == 2
        if len(self._clients) >= self._settings.clients_max:
            raise socketio.exceptions.ConnectionRefusedError("too many open pages")
        try:
            bearer = environ.get("HTTP_AUTHORIZATION") or (f"Bearer {auth['token']}" if auth.get("token") else "")
            if bearer:
                session, token = await asyncio.to_thread(self._gate.bearer, bearer), bearer.partition(" ")[2].strip()
            else:
                session, token = await asyncio.to_thread(self._gate.session, environ.get("HTTP_COOKIE"))
            if proto2 and not bearer:
                check_csrf(session, str(auth.get("csrf") or ""))
        except NsmError as error:
            raise socketio.exceptions.ConnectionRefusedError(str(error), problem(error)) from error
        client = Client(sid, token, session.name, session.role, self._clock(), proto2=proto2)
        self._clients[sid] = client
        # In a task: what is sent in here would reach the client before it knows that it is connected.
        self.sio.start_background_task(self._greet, client, auth)

    async def _greet(self, client: Client, auth: Mapping[str, Any]) -> None:
        if not client.proto2:
            await self._send(client, "capture_status", self._state.seed_status())
            return
        missed = self._state.history.since(auth["seq"]) if auth.get("boot") == self._state.boot and \
            isinstance(auth.get("seq"), int) else None  # fmt: skip
        if missed is not None:
            await self._send(client, "backfill", missed)
            client.capture_due = True
            await self._send_capture(client)
        else:
            await self._send(client, "snapshot", self._state.snapshot())

    async def _disconnect(self, sid: str, _reason: str = "") -> None:
        self._clients.pop(sid, None)

    async def _ack(self, sid: str, seq: Any = None) -> None:
        client = self._clients.get(sid)
        if client is not None and isinstance(seq, int):
            client.ack(seq, self._clock())

    async def _hidden(self, sid: str, hidden: Any = None) -> None:
        if (client := self._clients.get(sid)) is not None:
            client.hidden = hidden is True

    async def _subscribe(self, sid: str, data: Any = None) -> dict[str, Any]:
        """Live rows for a filter; {ok, live: False, fields} when live rows do not have what it asks for."""
        client = self._clients.get(sid)
        data = data if isinstance(data, dict) else {}
        if client is None or data.get("ch") != "rows":
            return {"ok": False}
        client.sample = None
        try:
            wanted = parse(str(data.get("q") or ""))
        except NsmError as error:
            return problem(error)
        missing = live_fields_missing(wanted)
        if missing:
            return {"ok": True, "live": False, "fields": missing}
        matches, only = live_match(wanted), data.get("type")
        if only in ("flow", "alert"):
            inner, alerts = matches, only == "alert"
            matches = lambda row: bool(row.get("alert_id")) == alerts and inner(row)  # noqa: E731
        most, loud = self._settings.rows_per_second_max, self._settings.loud_rows_per_second_max
        asked = data.get("max")
        client.sample = Sample(
            matches, min(most, asked) if isinstance(asked, int) and asked > 0 else most, loud, self._chance
        )
        return {"ok": True, "live": True}

    async def _unsubscribe(self, sid: str, _data: Any = None) -> None:
        if (client := self._clients.get(sid)) is not None:
            client.sample = None

    async def _backfill(self, sid: str, seq: Any = None) -> dict[str, Any] | None:
        """Ticks after ``seq``, asked for by a page that saw ``skipped``; None when they are too old."""
        return self._state.history.since(seq) if isinstance(seq, int) and sid in self._clients else None

    async def _start_capture(self, sid: str, data: Any = None) -> dict[str, Any]:
        data = data if isinstance(data, dict) else {}
        data = {**data, "iface": data.get("iface") or data.get("interface")}
        iface, bpf = (str(data[key]) if data.get(key) else None for key in ("iface", "bpf"))
        snaplen, ring = (data[key] if isinstance(data.get(key), int) else None for key in ("snaplen", "ring"))
        return await self._command(
            sid, "capture started", iface or "", lambda: self._control.start(iface, bpf, snaplen, ring)
        )

    async def _stop_capture(self, sid: str, _data: Any = None) -> dict[str, Any]:
        return await self._command(sid, "capture stopped", "", self._control.stop)

    async def _command(self, sid: str, action: str, detail: str, work: Command) -> dict[str, Any]:
        client = self._clients.get(sid)
        try:
            if client is None:
                return {"ok": False}
            check_role(client, "admin")
            await self.capture_changed(await work())
            await asyncio.to_thread(self._accounts.audit, client.name, action, detail)
        except NsmError as error:
            if client is not None and not client.proto2:
                await self._send(client, "capture_status", {**self._state.seed_status(), "error": str(error)})
            return problem(error)
        return {"ok": True}
