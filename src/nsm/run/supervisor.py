"""``nsm run``: starts the processes of the service, watches them, starts them again, and obeys the page.

The supervisor keeps CAP_NET_RAW alone: it opens capture sockets and hands them to workers, so that a worker can be
restarted and a capture started from the page. It reads no packet and no byte from strangers.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from nsm.capture.interfaces import interfaces
from nsm.errors import NsmError, ServiceError
from nsm.run.capture_desk import CaptureDesk
from nsm.run.control import fault_of
from nsm.run.job_desk import JOB_KINDS, Jobs
from nsm.run.links import ANALYST, CONTROL, HEALTH, STORE, Splitter, listen, socket_path
from nsm.run.live_settings import NEXT_JOB, NEXT_START, LiveSettings
from nsm.run.notice_control import NOTIFY_KINDS, ask_notifier, notify_task, notify_wanted
from nsm.run.processes import Processes
from nsm.run.transport import Message, encode
from nsm.serve.settings import page_address
from nsm.settings.load import Settings
from nsm.settings.read_settings import ReadSettings

log = logging.getLogger(__name__)

INTERFACE_S: Final = 1.0
ASK_S: Final = 30.0
LOOK_S: Final = 1.0  # for what the analyst answers at once


class Supervisor:
    """State of the service; one event loop."""

    def __init__(
        self, settings: Settings, data: Path, *, demo_speed: float = 0.0, log_level: int = logging.WARNING,
        listening: socket.socket, on_ready: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._live = LiveSettings(settings, data)
        self._data, self._demo, self._log_level = data, demo_speed, log_level
        self._runtime = data / "run"
        self._listening = listening
        self._processes = Processes(listening.fileno(), self._capture_changed, self._gap)
        self._capture = CaptureDesk(self._live, self._processes, self._common(), demo_speed, self._capture_changed)
        self._analyst: asyncio.StreamWriter | None = None
        self._stopping = asyncio.Event()
        self._telling: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected
        self._on_ready = on_ready

    # ------------------------------------------------------------ life

    async def run(self) -> None:
        """Run the service until SIGINT or SIGTERM."""
        self._runtime.mkdir(mode=0o700, exist_ok=True)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        common = {**self._common(), "values": self._live.now.values(), "page": self._page(), "demo": bool(self._demo)}
        self._jobs = Jobs(self._data, common, self._job_news)
        self._jobs.begin()
        control = await asyncio.start_unix_server(self._obey, sock=listen(socket_path(self._runtime, CONTROL)))
        for name in ("store", "analyst", "web", "health", "notifier"):
            self._begin(name)
        teller = asyncio.create_task(self._tell_analyst())
        try:
            if self._demo:
                self._capture.start_demo()
            else:
                with contextlib.suppress(NsmError):  # the page shows it, with its mend
                    await self._capture.start({})
            if self._on_ready is not None:
                self._on_ready()
            await self._stopping.wait()
        finally:
            teller.cancel()
            await self._jobs.close()
            await self._end_all()
            control.close()
            self._live.close()

    def _begin(self, name: str) -> None:
        """Start one of the processes that there is one of."""
        module, task = {
            "store": ("nsm.run.store_writer", self._store_task), "analyst": ("nsm.run.analyst", self._analyst_task),
            "web": ("nsm.run.web", self._web_task), "health": ("nsm.run.health_watch", self._health_task),
            "notifier": ("nsm.run.notifier", self._notifier_task),
        }[name]  # fmt: skip
        if name == "notifier" and (self._demo or not notify_wanted(self._live.now)):
            return  # what the demo makes up is nobody's news
        self._processes.add(name, module, task)

    async def _change(self, header: dict[str, Any]) -> dict[str, Any]:
        """Change a setting, and start anew what it concerns; {effect, settings}."""
        effect = self._live.change(str(header["key"]), header["value"])
        self._jobs.use(self._live.now.values())
        if effect == "capture":
            await self._capture.renew()
        elif effect not in {NEXT_JOB, NEXT_START}:
            await self._processes.end(effect)  # what the others send meanwhile waits: nothing is lost
            self._begin(effect)
        return {"effect": effect, "settings": self._live.shapes()}

    async def _end_all(self) -> None:
        """Workers first, so that what they hold arrives; then the others."""
        await self._processes.end("capture")
        await asyncio.sleep(0.3)
        for name in ("health", "analyst", "web", "notifier", "store"):
            await self._processes.end(name)

    def _gap(self, name: str, died: float) -> None:
        """A process is back: say what was not watched meanwhile."""
        what = {
            "analyst": "Detection was interrupted; packets were kept.", "store": "Storing was interrupted; rows were kept.",
            "web": "The page was interrupted.", "health": "Probes of health were interrupted.",
            "notifier": "Messages were interrupted; none is lost.",
        }.get(name, "Packets were not seen while a capture process was started again.")  # fmt: skip
        asyncio.get_running_loop().create_task(
            self._news("gap", {"what": what, "from": died, "to": time.time(), "process": name})
        )

    # ------------------------------------------------------------ tasks of the processes

    def _common(self) -> dict[str, Any]:
        return {"data": str(self._data), "runtime": str(self._runtime), "log_level": self._log_level}

    def _store_task(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        settings = msgspec.structs.replace(self._live.now.section("store"), home_net=self._capture.home())
        return {**self._common(), "settings": msgspec.to_builtins(settings)}, ()

    def _analyst_task(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        read = ReadSettings(home_net=self._capture.home())
        return {
            **self._common(), "read": msgspec.to_builtins(read), "values": self._live.now.values(), "demo": bool(self._demo),
            "eve": msgspec.to_builtins(self._live.now.section("output.eve_file")), "interfaces": self._capture.interfaces(),
            "capture": self._capture.shape(),
        }, ()  # fmt: skip

    def _web_task(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        number = self._listening.fileno()
        settings = msgspec.to_builtins(self._live.now.section("serve"))
        captures = msgspec.to_builtins(self._live.now.section("captures"))
        return {**self._common(), "settings": settings, "captures": captures, "fd": number}, (number,)

    def _health_task(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        from nsm.health.ping import open_raw  # late: it is the health process that sends

        opened = [(version, open_raw(version)) for version in (4, 6)] if not self._demo else []
        sockets = {str(version): sock.detach() for version, sock in opened if sock is not None}
        settings = msgspec.to_builtins(self._live.now.section("health"))
        task = {**self._common(), "settings": settings, "demo": bool(self._demo), "sockets": sockets}
        return task, tuple(sockets.values())

    def _notifier_task(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        return {**self._common(), "page": self._page(), **notify_task(self._live.now)}, ()

    def _page(self) -> str:
        """The address of the page."""
        return page_address(self._live.now.section("serve"), "/", self._listening.getsockname()[1])

    def _capture_changed(self) -> None:
        """Tell the page soon; a service that is only starting has nobody to tell."""
        with contextlib.suppress(RuntimeError):
            task = asyncio.get_running_loop().create_task(self._say_capture())
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    # ------------------------------------------------------------ talking

    async def _tell_analyst(self) -> None:
        """Keep a connection to the analyst, and tell it the state of the capture once a second."""
        while True:
            self._capture.rates.look()
            await self._say_capture()
            await asyncio.sleep(INTERFACE_S)

    async def _say_capture(self) -> None:
        shape = self._capture.shape()
        shape.pop("type")
        await self._news("capture", {**shape, "load": self._load()})

    def _load(self) -> dict[str, float]:
        """CPU of the machine in percent, and memory of this service in bytes."""
        sizes = [entry["rss_bytes"] for entry in self._processes.health()]
        return {"cpu_pct": psutil.cpu_percent(interval=None), "rss_bytes": sum(sizes)}

    async def _news(self, kind: str, header: dict[str, Any]) -> None:
        try:
            if self._analyst is None or self._analyst.is_closing():
                _, self._analyst = await asyncio.open_unix_connection(socket_path(self._runtime, ANALYST))
                self._analyst.write(encode("hello", {"role": "supervisor"}))
            self._analyst.write(encode(kind, header))
            await self._analyst.drain()
        except (OSError, ConnectionError):
            self._analyst = None
            if kind == "gap":  # the analyst itself may be what was away
                asyncio.get_running_loop().call_later(
                    0.5, lambda: asyncio.get_running_loop().create_task(self._news(kind, header))
                )

    async def _obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client of the control socket."""
        splitter = Splitter()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                for message in splitter.feed(data):
                    writer.write(encode("answer", await self._answer(message)))
                    await writer.drain()
        writer.close()

    async def _answer(self, message: Message) -> dict[str, Any]:
        header = message.header
        questions: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
            "start": lambda: self._capture.start(header),
            "stop": self._capture.stop, "state": self._now,
            "clear": lambda: self._clear(bool(header.get("keep_noted", True))), "health": self._health,
            "settings": self._shapes, "setting": lambda: self._change(header),
            "status": self._status, "own_scan": lambda: self._own_scan(header),
            **{kind: functools.partial(ask_notifier, self._runtime, kind, header) for kind in NOTIFY_KINDS},
        }  # fmt: skip
        try:
            if message.kind in JOB_KINDS:
                return self._jobs.answer(message.kind, header)
            if message.kind not in questions:
                raise ServiceError(f"the service does not know {message.kind!r}")
            return await questions[message.kind]()
        except NsmError as error:
            return fault_of(error)

    async def _job_news(self, kind: str, header: dict[str, Any]) -> None:
        if kind == "own_scan":
            await self._own_scan(header)
        else:
            await self._news(kind, header)

    async def _own_scan(self, header: dict[str, Any]) -> dict[str, Any]:
        """A scan from this machine runs: the analyst is told from which addresses to where."""
        sources = [address.partition("/")[0] for item in interfaces() for address in item.addresses]
        await self._news("own_scan", {"id": str(header["id"])[:64], "targets": header["targets"], "sources": sources})
        return {"ok": True}

    async def _now(self) -> dict[str, Any]:
        return self._capture.shape()

    async def _shapes(self) -> dict[str, Any]:
        return {"settings": self._live.shapes()}

    async def _clear(self, keep_noted: bool) -> dict[str, Any]:
        try:
            async with asyncio.timeout(ASK_S):
                reader, writer = await asyncio.open_unix_connection(socket_path(self._runtime, STORE))
                writer.write(encode("clear", {"keep_noted": keep_noted}))
                splitter = Splitter()
                while data := await reader.read(1 << 16):
                    for message in splitter.feed(data):
                        if message.kind == "done":
                            writer.close()
                            if "error" in message.header:
                                raise ServiceError(message.header["error"], where=message.header["where"])
                            await self._news("cleared", {})
                            return {"cleared": message.header["cleared"]}
        except (OSError, TimeoutError) as error:
            raise ServiceError("the store does not answer", where="store process", mend="nsm status") from error
        raise ServiceError("the store went away while it was clearing", mend="nsm status")

    async def _health(self) -> dict[str, Any]:
        second = await self._second()
        return {
            "processes": self._processes.health(), "queues": second.get("queues", {}),
            "store": second.get("store", {}), "capture": self._capture.shape(), "workers": second.get("workers", {}),
            "figures": await self._last(HEALTH),
        }  # fmt: skip

    async def _status(self) -> dict[str, Any]:
        """Everything that ``nsm status`` shows; ``second`` is empty while the analyst does not answer."""
        return {
            "processes": self._processes.health(), "capture": self._capture.shape(), "second": await self._second(),
            "page": self._page(),
        }  # fmt: skip

    async def _second(self) -> dict[str, Any]:
        """The analyst's last second; empty while it does not answer."""
        return await self._last(ANALYST)

    async def _last(self, name: str) -> dict[str, Any]:
        """What a process says of now; empty while it does not answer."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LOOK_S):
                reader, writer = await asyncio.open_unix_connection(socket_path(self._runtime, name))
                try:
                    writer.write(encode("last", {}))
                    splitter = Splitter()
                    while data := await reader.read(1 << 16):
                        for message in splitter.feed(data):
                            return message.header
                finally:
                    writer.close()
        return {}
