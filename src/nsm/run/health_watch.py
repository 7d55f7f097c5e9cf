"""The health process: probes, figures every second, samples and judgements every minute.

It has no privileges; a raw socket for echoes comes from the supervisor where it may open one. Findings go to the
analyst, samples to the store, and whoever asks on its socket is told the figures of now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.errors import NsmError
from nsm.health import resolver
from nsm.health.findings import DETECTOR
from nsm.health.forecast import DAY_S, DAYS, HOUR_S, Forecast, forecast, without_deletions
from nsm.health.gateway import resolver as configured_resolver
from nsm.health.gateway import targets
from nsm.health.interfaces import InterfaceHealth, InterfaceReader
from nsm.health.machine import Machine, MachineReader
from nsm.health.ping import Raw, ways
from nsm.health.prober import Prober
from nsm.health.settings import HealthSettings
from nsm.health.working import Verdict, judge
from nsm.model.finding import Finding
from nsm.run.child import begin
from nsm.run.control import ask
from nsm.run.health_facts import LOOKS_S, Counts, ages, answered_of, counters_of, facts_of, offset_of, troubles_of
from nsm.run.health_minutes import Minutes, samples
from nsm.run.links import ANALYST, HEALTH, Sender, Splitter, listen, socket_path
from nsm.run.transport import encode
from nsm.store.findings import open_alerts
from nsm.store.health import HealthStore

log = logging.getLogger(__name__)

STATUS_S, QUESTION_S, TARGETS_S, FORECAST_S = 10.0, 10.0, 30.0, 600.0
FINDINGS_MAX: Final = 100  # kept while the analyst is away; the oldest leave
SYS: Final = Path("/sys/class/net")


class HealthWatch:
    """State of the process; one event loop."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._data, self._runtime = Path(task["data"]), Path(task["runtime"])
        self._settings = msgspec.convert(task["settings"], HealthSettings)
        handed = {int(version): socket.socket(fileno=number) for version, number in task["sockets"].items()}
        found = ways(handed)
        self._probing = self._settings.probes and not task["demo"]
        self._store = HealthStore(self._data)
        now = int(time.time())
        self._prober = Prober(
            lambda: targets(self._settings.targets) if self._probing else (), found, self._settings.timeout_s,
            answered_of(self._store.series("probe.", now - int(DAY_S), now, int(HOUR_S))),
        )  # fmt: skip
        for version, sock in handed.items():  # one that nobody reads would only fill up
            if not isinstance(found.get(version), Raw):
                sock.close()
        self._sender = Sender(socket_path(self._runtime, ANALYST), encode("hello", {"role": "health"}))
        self._minutes = Minutes(self._settings)
        self._minutes.resume((one.finding for one in open_alerts(self._data, DETECTOR)), time.monotonic())
        self._machine_reader = MachineReader(self._data)
        self._machine: Machine | None = None
        self._interface_reader = InterfaceReader()
        self._interfaces: list[InterfaceHealth] = []
        self._questions: list[float | None] = []
        self._asked_last: dict[str, Any] = {}
        self._status: dict[str, Any] = {}
        self._counts = Counts()
        self._verdicts: tuple[Verdict, ...] = ()
        self._forecast: Forecast | None = None
        self._findings: deque[Finding] = deque(maxlen=FINDINGS_MAX)

    async def run(self) -> None:
        """Watch until the process is asked to end."""
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        server = await asyncio.start_unix_server(self._answer, sock=listen(socket_path(self._runtime, HEALTH)))
        self._prober.begin()
        tasks = [
            asyncio.create_task(self._every(span, work))
            for span, work in (
                (1.0, self._second), (STATUS_S, self._look), (60.0, self._minute), (QUESTION_S, self._question),
                (FORECAST_S, self._foresee), (TARGETS_S, self._refresh),
            )
        ]  # fmt: skip
        await stopping.wait()
        for task in tasks:
            task.cancel()
        self._prober.end()
        server.close()
        self._store.close()

    async def _every(self, span_s: float, work: Any) -> None:
        """Do something again and again; what fails is said and tried again next time."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        failed = 0
        while True:
            try:
                made: Coroutine[Any, Any, None] = work()
                await made
                failed = 0
            except (OSError, NsmError, ValueError, KeyError) as error:
                failed += 1
                if failed.bit_count() == 1:  # said at the first, second, fourth, eighth ... time
                    log.warning("health work=%s failed=%d reason=%r", work.__name__, failed, error)
            due = max(due + span_s, loop.time())
            await asyncio.sleep(due - loop.time())

    # ------------------------------------------------------------ every second

    async def _second(self) -> None:
        now = time.monotonic()
        self._machine = self._machine_reader.read()
        self._interfaces = self._interface_reader.read(now)
        watched = self._watched()
        wanted = watched | {item.name for item in self._interfaces if (SYS / item.name / "device").exists()}
        self._tell(self._minutes.interfaces(self._interfaces, wanted, watched, now, _now_us()))
        self._sender.send(0, encode("health", {"v": self._values(now)}))
        self._sender.turn()

    def _values(self, now: float) -> dict[str, float | None]:
        """Round trip and loss of the gateway (else of the first target) over the last minute, for the live page."""
        for one in self._prober.asked[:1]:
            window = one.probes.window(now)
            rtt = None if window.p50_ms is None else round(window.p50_ms, 2)
            return {"rtt_ms": rtt, "loss_pct": None if window.loss is None else round(100 * window.loss, 2)}
        return {"rtt_ms": None, "loss_pct": None}

    def _tell(self, found: Iterable[Finding]) -> None:
        """Hand findings to the analyst, at once or when it is back."""
        self._findings.extend(found)
        if self._findings and self._sender.connected:
            self._sender.send(0, encode("findings", {"findings": [msgspec.to_builtins(one) for one in self._findings]}))
            self._findings.clear()

    def _watched(self) -> frozenset[str]:
        capture = self._status.get("capture") or {"interfaces": ()}
        return frozenset(one["name"] for one in capture["interfaces"] if one["selected"])

    # ------------------------------------------------------------ now and then

    async def _look(self) -> None:
        """Ask the service how it is, and judge."""
        self._status = await asyncio.to_thread(ask, self._data, "status")
        if self._status["second"]:
            since = self._status["capture"]["since"]
            fresh = bool(since) and time.time() - since < LOOKS_S
            self._counts.add(time.monotonic(), counters_of(self._status["second"]), fresh=fresh)
            self._counts.offset(offset_of(self._status["second"]))
        gaps = await asyncio.to_thread(self._store.gaps_since, _now_us() - int(DAY_S * 1e6))
        now_s, settings = time.time(), self._settings
        facts = facts_of(self._status, self._counts, self._machine, self._interfaces, self._forecast, gaps, now_s)
        files = await asyncio.to_thread(ages, settings.files, now_s)
        self._verdicts = judge(msgspec.structs.replace(
            facts, files=files, files_days_max=settings.files_days_max, troubles=troubles_of(self._minutes.open.values())
        ))  # fmt: skip

    async def _question(self) -> None:
        address = configured_resolver()
        if address is not None and self._probing:
            asked = await resolver.ask(address, self._settings.resolver_name, self._settings.timeout_s)
            self._questions.append(asked.time_s)
            took = None if asked.time_s is None else asked.time_s * 1_000
            self._asked_last = {"address": address, "time_ms": took, "rcode": asked.rcode}

    async def _refresh(self) -> None:
        self._prober.refresh()

    async def _minute(self) -> None:
        """Keep this minute's values, and judge them."""
        await asyncio.sleep(60.0)  # the first minute has to pass first
        before = {item.name: item for item in self._interfaces}
        while True:
            now, now_us = time.monotonic(), _now_us()
            questions, self._questions = self._questions, []
            self._tell(self._minutes.targets(self._prober.asked, now, now_us))
            self._tell(self._minutes.resolver(self._asked_last.get("address", ""), questions, now, now_us))
            kept = [item for item in self._interfaces if item.name != "lo"]
            values = samples(self._machine, kept, before, self._prober.asked, questions, self._status, now)
            before = {item.name: item for item in self._interfaces}
            try:
                await asyncio.to_thread(self._store.add, now_us // 1_000_000, values, self._settings.keep_days)
            except NsmError as error:  # a full disk ends no judgement
                log.warning("samples not kept reason=%s", error)
            await asyncio.sleep(60.0 - (time.monotonic() - now))

    async def _foresee(self) -> None:
        """Work out when the disk is full, from the kept values."""
        machine = self._machine or self._machine_reader.read()
        stop = int(time.time())
        since = stop - int(DAYS * DAY_S)
        found = await asyncio.to_thread(self._store.series, "machine.disk_used_bytes", since, stop, int(HOUR_S))
        deleted = await asyncio.to_thread(self._store.series, "store.bytes_dropped", since, stop, int(HOUR_S))
        used = without_deletions(
            [(float(ts), value) for ts, value in found.get("machine.disk_used_bytes", ())],
            [(float(ts), value) for ts, value in deleted.get("store.bytes_dropped", ())],
        )
        settings = self._settings
        self._forecast = forecast(
            used, machine.disk_free_bytes, machine.disk_total_bytes, days_min=settings.disk_days_min,
            free_min=settings.disk_free_min,
        )  # fmt: skip
        store = (self._status.get("second") or {}).get("store") or {}
        freeable = f"Retention can free {store['bulk_bytes'] / 1e9:.1f} GB of nsm's own." if store else ""
        self._tell(self._minutes.disk(self._forecast, machine, freeable, time.monotonic(), _now_us()))

    # ------------------------------------------------------------ answers

    def figures(self) -> dict[str, Any]:
        """Everything that is known now."""
        now = time.monotonic()
        probes = [{**one.shape(now), "raised": self._minutes.raised(one.target.address)} for one in self._prober.asked]
        return {
            "ts": time.time(), "machine": msgspec.to_builtins(self._machine),
            "interfaces": [msgspec.to_builtins(item) for item in self._interfaces], "probes": probes,
            "resolver": self._asked_last, "forecast": msgspec.to_builtins(self._forecast),
            "verdicts": [msgspec.to_builtins(one) for one in self._verdicts],
        }  # fmt: skip

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One who asks: every message is answered with the figures of now."""
        splitter = Splitter()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                for _ in splitter.feed(data):
                    writer.write(encode("figures", self.figures()))
                    await writer.drain()
        writer.close()


def _now_us() -> int:
    return int(time.time() * 1e6)


def main() -> None:
    """Entry of the process."""
    watch = HealthWatch(begin("health"))
    asyncio.run(watch.run())


if __name__ == "__main__":
    main()
