"""The processes of the service: started, watched, started again when they die, ended in order.

What a process is to do is made anew for each start, since a capture worker needs a fresh socket; when that fails, it is tried
again until it works, and the fault is kept where the supervisor finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
import psutil

from nsm.errors import CaptureError, NsmError, ServiceError
from nsm.run.links import Splitter
from nsm.run.privileges import without_privileges

log = logging.getLogger(__name__)

RESTART_S: Final = (0.1, 0.5, 1.0, 2.0, 3.0)  # waits before a restart, by how often it died lately: back within 5 s
LATELY_S: Final = 60.0
STOP_S: Final = 5.0
USE_S: Final = 0.9  # between two looks at the CPU of a process
SETTLE_S: Final = 0.5  # from the start of a process to the moment when it is taken to work again

Task = Callable[[], tuple[dict[str, Any], tuple[int, ...]]]
"""Makes what a process reads from its standard input, and the file numbers that it inherits; NsmError when it cannot."""


class Process:
    """One process and how it is started. ``fault``: why it does not run, None while it does."""

    def __init__(self, name: str, module: str, task: Task) -> None:
        self.name, self.module, self.task = name, module, task
        self.process: asyncio.subprocess.Process | None = None
        self.deaths: list[float] = []
        self.died: float | None = None
        self.restarts = 0
        self.wanted = True
        self.watcher: asyncio.Task[None] | None = None
        self.fault: NsmError | None = None

    @property
    def ended(self) -> bool:
        """Was it told to end meanwhile?"""
        return not self.wanted

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self.process.pid if self.process is not None and self.process.returncode is None else None

    def pause(self, now: float) -> float:
        """Seconds to wait before the next start, longer the more often it died lately; notes this death."""
        lately = [at for at in self.deaths if now - at < LATELY_S]
        self.deaths = [*lately, now]
        return RESTART_S[min(len(lately), len(RESTART_S) - 1)]


class Processes:
    """All of them, by name.

    ``on_change`` is called when a fault comes or goes, ``on_back`` (name, when it died) when a process works again.
    """

    def __init__(self, kept_open: int, on_change: Callable[[], None], on_back: Callable[[str, float], None]) -> None:
        self._kept_open, self._on_change, self._on_back = kept_open, on_change, on_back
        self._all: dict[str, Process] = {}
        self._uses: dict[int | None, Use] = {}

    def add(self, name: str, module: str, task: Task) -> None:
        """Start a process, and keep it running until it is ended."""
        process = Process(name, module, task)
        self._all[name] = process
        process.watcher = asyncio.create_task(self._keep(process))

    def named(self, beginning: str) -> list[Process]:
        """Those whose name begins so."""
        return [process for name, process in self._all.items() if name.startswith(beginning)]

    async def end(self, beginning: str) -> None:
        """End those whose name begins so, and forget them."""
        ending = self.named(beginning)
        await asyncio.gather(*(self._end(process) for process in ending))
        for process in ending:
            del self._all[process.name]

    def health(self) -> list[dict[str, Any]]:
        """One entry a process, this one first: {name, pid, alive, restarts, rss_bytes, cpu_pct}."""
        own: dict[str, Any] = {"name": "supervisor", "pid": os.getpid(), "alive": True, "restarts": 0}
        others: list[dict[str, Any]] = [
            {"name": one.name, "pid": one.pid, "alive": one.pid is not None, "restarts": one.restarts}
            for one in self._all.values()
        ]
        self._uses = {entry["pid"]: self._uses.get(entry["pid"]) or Use(entry["pid"]) for entry in (own, *others)}
        return [{**entry, **self._uses[entry["pid"]].look(time.monotonic())} for entry in (own, *others)]

    async def _keep(self, process: Process) -> None:
        """Start a process again whenever it ends without being told to."""
        while process.wanted:
            try:
                task, handed = process.task()
                started = await self._start(process, handed)
            except Exception as error:  # noqa: BLE001 - the supervisor must outlive any fault of a start
                self._faulty(process, error if isinstance(error, NsmError) else _unexpected(process, error))
                process.died = process.died or time.time()
                await asyncio.sleep(RESTART_S[-1])
                continue
            if process.fault is not None:
                process.fault = None
                self._on_change()
            await self._watch(process, started, task)
            now = time.time()
            if process.ended:
                return
            process.died = process.died or now
            process.restarts += 1
            pause = process.pause(now)
            code = process.process.returncode if process.process is not None else None
            log.error("process ended name=%s code=%s restart_in=%.1f", process.name, code, pause)
            await asyncio.sleep(pause)

    async def _start(self, process: Process, handed: tuple[int, ...]) -> asyncio.subprocess.Process:
        """Start a process; the file numbers that it inherits are closed here, whether it starts or not."""
        try:
            process.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", process.module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                pass_fds=handed, preexec_fn=without_privileges(),
            )  # fmt: skip
        finally:
            for number in handed:
                if number != self._kept_open:
                    os.close(number)
        return process.process

    async def _watch(self, process: Process, started: asyncio.subprocess.Process, task: dict[str, Any]) -> None:
        """Give a process its task and wait for its end; what it said was wrong becomes its fault."""
        settled = asyncio.get_running_loop().call_later(SETTLE_S, self._settled, process)
        stdin = cast("asyncio.StreamWriter", started.stdin)
        with contextlib.suppress(ConnectionError):
            stdin.write(msgspec.msgpack.encode(task))
            await stdin.drain()
            stdin.close()
        stdout = cast("asyncio.StreamReader", started.stdout)
        said = await stdout.read()
        await started.wait()
        settled.cancel()
        for message in Splitter().feed(said):
            if message.kind == "fault" and process.wanted:
                header = message.header
                self._faulty(process, CaptureError(header["text"], where=header["where"], mend=header["mend"]))

    def _settled(self, process: Process) -> None:
        died, process.died = process.died, None
        if died is not None:
            self._on_back(process.name, died)

    def _faulty(self, process: Process, error: NsmError) -> None:
        process.fault = error
        self._on_change()

    async def _end(self, process: Process) -> None:
        process.wanted = False
        if process.process is not None and process.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.process.terminate()
            try:
                await asyncio.wait_for(process.process.wait(), STOP_S)
            except TimeoutError:
                process.process.kill()
        if process.watcher is not None:
            process.watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await process.watcher


def _unexpected(process: Process, error: Exception) -> ServiceError:
    """A fault of ours must not leave a process down without a word."""
    log.error("cannot start name=%s", process.name, exc_info=error)
    return ServiceError(
        f"cannot start {process.name}: {error}", where=type(error).__name__, mend="the traceback is in nsm.log"
    )


class Use:
    """Memory and CPU of one process; looked at once a second at most, since shorter times say little about CPU."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._process: psutil.Process | None = None
        self._looked = -USE_S
        self._told: dict[str, Any] = {"rss_bytes": 0, "cpu_pct": None}

    def look(self, now_s: float) -> dict[str, Any]:
        """{rss_bytes, cpu_pct}; CPU in percent of one core, None until two looks."""
        if self._pid is None or now_s - self._looked < USE_S:
            return self._told
        self._looked = now_s
        try:
            first, self._process = self._process is None, self._process or psutil.Process(self._pid)
            cpu = self._process.cpu_percent(None)
            self._told = {"rss_bytes": int(self._process.memory_info().rss), "cpu_pct": None if first else cpu}
        except psutil.Error:
            self._told = {"rss_bytes": 0, "cpu_pct": None}
        return self._told
