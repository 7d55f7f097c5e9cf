"""Jobs of the service: started by a person or a schedule, watched, cancelled, noted; one of a kind at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import msgspec

from nsm.errors import QueryError
from nsm.run.links import Splitter
from nsm.run.privileges import with_net_raw, without_privileges
from nsm.run.work import JobSpec
from nsm.store.jobs import CANCELLED, DONE, FAILED, JobStore

log = logging.getLogger(__name__)

STOP_S: Final = 5.0  # from the request to end a job to its being killed
WAITING_MAX: Final = 16  # jobs of one kind that wait for their turn

Ended = tuple[str, str, dict[str, Any]]
"""State, a sentence, the result."""
News = Callable[[str, dict[str, Any]], Awaitable[None]]


class _Running:
    def __init__(self, number: int, spec: JobSpec, name: str, task: dict[str, Any], who: str) -> None:
        self.number, self.spec, self.name, self.task, self.who = number, spec, name, task, who
        self.process: asyncio.subprocess.Process | None = None
        self.progress: dict[str, Any] = {}
        self.since = time.time()
        self.cancelled = False

    def shape(self) -> dict[str, Any]:
        """What the page is told."""
        return {
            "id": self.number, "kind": self.spec.kind, "name": self.name, "since": self.since, "progress": self.progress,
            "state": "running" if self.process is not None else "waiting",
        }  # fmt: skip


class JobRunner:
    """Lives in the supervisor. ``tell`` gives news to the analyst, which judges findings and tells the page."""

    def __init__(self, specs: Mapping[str, JobSpec], store: JobStore, common: dict[str, Any], tell: News) -> None:
        self._specs, self._store, self._common, self._tell = specs, store, common, tell
        self._open: dict[int, _Running] = {}
        self._turns = {kind: asyncio.Lock() for kind in specs}
        self._tasks: set[asyncio.Task[None]] = set()

    def spec(self, kind: str) -> JobSpec:
        """The kind of that name; QueryError when there is none."""
        if kind not in self._specs:
            raise QueryError(f"there is no job {kind[:40]!r}", where="kind", mend=f"one of {', '.join(self._specs)}")
        return self._specs[kind]

    def start(self, kind: str, name: str, task: dict[str, Any], who: str, schedule: int = 0) -> int:
        """The number of a job that runs now, or when its turn comes; NsmError when it cannot be run."""
        spec = self.spec(kind)
        checked = spec.check(task)
        if sum(one.spec is spec for one in self._open.values()) >= WAITING_MAX:
            raise QueryError(f"too many jobs of the kind {kind} wait", mend="cancel one first")
        number = self._store.begin(kind, name, who, schedule)
        job = self._open[number] = _Running(number, spec, name, checked, who)
        work = asyncio.create_task(self._run(job))
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        return number

    def busy(self, schedule_kind: str, name: str) -> bool:
        """Does a job of that kind and name run or wait?"""
        return any(one.spec.kind == schedule_kind and one.name == name for one in self._open.values())

    def cancel(self, number: int) -> bool:
        """End a job; False when it has ended already."""
        job = self._open.get(number)
        if job is None:
            return False
        job.cancelled = True
        if job.process is not None:
            with contextlib.suppress(ProcessLookupError):
                job.process.terminate()
        return True

    def shapes(self) -> list[dict[str, Any]]:
        """Jobs that run or wait."""
        return [job.shape() for job in self._open.values()]

    async def end_all(self) -> None:
        """Cancel everything, and wait for it."""
        for number in list(self._open):
            self.cancel(number)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, job: _Running) -> None:
        async with self._turns[job.spec.kind]:
            ended: Ended = (CANCELLED, "cancelled before it began", {})
            if not job.cancelled:
                ended = await self._watched(job)
        state, text, result = ended
        found = result.pop("findings", [])
        await asyncio.to_thread(self._store.end, job.number, state, text, result)
        if found:
            await self._tell("findings", {"findings": found})
        log.info("job ended id=%d kind=%s state=%s", job.number, job.spec.kind, state)
        await self._news(job, state=state, text=text, result=result)
        del self._open[job.number]

    async def _watched(self, job: _Running) -> Ended:
        try:
            job.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", job.spec.module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                preexec_fn=with_net_raw() if job.spec.raw_sockets else without_privileges(),
            )  # fmt: skip
            async with asyncio.timeout(job.spec.limit_s):
                said = await self._talk(job, job.process)
        except TimeoutError:
            return FAILED, f"ended after {job.spec.limit_s:.0f} s, the longest a job of this kind may take", {}
        except OSError as error:
            return FAILED, f"cannot be started: {error}", {}
        finally:
            await _ended(job.process)
        if job.cancelled:
            return CANCELLED, said.get("text", "cancelled"), said.get("result", {})
        if "result" in said:
            return DONE, said["text"], said["result"]
        return FAILED, said.get("text", "its process went away; the reason is in nsm.log"), {}

    async def _talk(self, job: _Running, process: asyncio.subprocess.Process) -> dict[str, Any]:
        """Give the process its task and follow what it says; its last word."""
        stdin, stdout = cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)
        with contextlib.suppress(ConnectionError):
            stdin.write(msgspec.msgpack.encode({**self._common, "task": job.task, "job": job.number, "who": job.who}))
            await stdin.drain()
            stdin.close()
        splitter, last = Splitter(), {}
        while data := await stdout.read(1 << 16):
            for message in splitter.feed(data):
                if message.kind == "progress":
                    job.progress = message.header
                    await self._news(job)
                elif message.kind == "news":
                    await self._tell(message.header.pop("news"), message.header)
                else:
                    last = message.header
        await process.wait()
        return last

    async def _news(self, job: _Running, **more: Any) -> None:
        await self._tell("job", {"job": {**job.shape(), **more}})


async def _ended(process: asyncio.subprocess.Process | None) -> None:
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
