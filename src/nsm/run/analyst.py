"""The analyst process: merges the workers' records in packet time, detects, alerts, stores, tells the live page.

A worker's batch is forwarded to the store's writer under the worker's own number once its time has been judged, and the
worker is told when the writer has it: so a batch is stored once, whichever process dies in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.alert.score import LEARN_S
from nsm.model.address import Networks
from nsm.model.finding import Alert, Finding
from nsm.model.flow import FLOW
from nsm.model.records import Records, empty_records
from nsm.model.table import Rows
from nsm.output.eve_file import EveFileSettings
from nsm.pipeline import Result
from nsm.run.capsules import Capsules
from nsm.run.child import begin
from nsm.run.engine import Engine, engine_sections
from nsm.run.eve_log import EveLog
from nsm.run.exchange import ExchangeFile
from nsm.run.hosts import HostsTold
from nsm.run.links import ANALYST, LIVE, STORE, Sender, Splitter, listen, socket_path
from nsm.run.live_view import LiveView, alert_row
from nsm.run.outages import Outages
from nsm.run.own_scans import OwnScans
from nsm.run.record_messages import records_of
from nsm.run.sight import Sights
from nsm.run.storing import stored_tables
from nsm.run.subscriber import Subscriber
from nsm.run.taking_up import Before, before
from nsm.run.transport import Message, encode
from nsm.settings.load import load
from nsm.settings.read_settings import ReadSettings
from nsm.track.merge import Merger

log = logging.getLogger(__name__)

TURN_S: Final = 0.02


class WorkerLink:
    """One worker's connection and what of its batches is on its way to the store."""

    def __init__(self, key: int, hello: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.key, self.writer = key, writer
        self.name, self.boot, self.number = hello["name"], hello["boot"], hello["number"]
        self.iface = hello["iface"]
        self.waiting: deque[tuple[int, Records]] = deque()
        self.shed = 0

    def acknowledge(self, numbers: list[int]) -> None:
        """Tell the worker what is stored."""
        if numbers and not self.writer.is_closing():
            self.writer.write(encode("ack", {"numbers": numbers}))


class AnalystProcess:
    """State of the process; the event loop calls in."""

    def __init__(self, task: dict[str, Any]) -> None:
        runtime = Path(task["runtime"])
        self._runtime, self._data = runtime, Path(task["data"])
        read = msgspec.convert(task["read"], ReadSettings)
        sections = engine_sections()
        names = {section.name for section in sections}
        values = {key: value for key, value in task["values"].items() if key.rpartition(".")[0] in names}
        engine = Engine(read, load(sections, environ={}, flags=values))
        self._analyst = engine.analyst()
        self._own_scans, self._sights = OwnScans(), Sights()
        self._analyst.unseen = self._own_scans.without
        self._home = Networks(engine.home)
        self._view = LiveView(self._home)
        self._exchange = ExchangeFile(self._data)
        self._merger = Merger(0)
        self._links: dict[int, WorkerLink] = {}
        self._next_key = 0
        self._boot = os.urandom(6).hex()
        self._seq = 0
        self._capture: dict[str, Any] = task["capture"]
        self._subscribers: list[Subscriber] = []
        self._store = Sender(socket_path(runtime, STORE), encode("hello", {"role": "analyst"}))
        self._on_way: dict[int, tuple[WorkerLink | None, int]] = {}
        self._store_number = 0
        self._interfaces: dict[int, str] = {}
        self._hosts = HostsTold(self._home)
        self._health: dict[str, Any] = {}
        self._load: dict[str, float] = {}
        self._capsules = Capsules()
        self._outages = Outages(self._publish_gap, self._keep_gap)
        self._last: dict[str, Any] = {}
        eve = msgspec.convert(task["eve"], EveFileSettings)
        self._eve = EveLog(eve, engine.eve_options(interfaces=tuple(task["interfaces"])), self._outages)
        self._gaps: list[dict[str, Any]] = []
        # The demo is short: it shows a score at once.
        self._take_up(Before([], LEARN_S) if task["demo"] else before(self._data, time.time_ns() // 1_000))
        self._store.send(0, encode("settings", {"hash": engine.settings.hash(), "values": engine.settings.values()}))

    def _take_up(self, known: Before) -> None:
        """Go on with what an earlier process found."""
        self._analyst.adopt(alert for alert in reversed(known.alerts) if not alert.ended)  # the newest of each cause
        self._view.resume(known.alerts, known.watched_s)
        for alert in known.alerts:
            self._exchange.threat(alert_row(alert))

    async def run(self) -> None:
        """Serve until the process is asked to end."""
        servers = [
            await asyncio.start_unix_server(handler, sock=listen(socket_path(self._runtime, name)))
            for name, handler in ((ANALYST, self._worker), (LIVE, self._subscribe))
        ]
        second = time.time()
        collected = 0.0
        try:
            while True:
                await asyncio.sleep(TURN_S)
                self._turn_store()
                capsules = self._capsules.ready(time.monotonic())
                if capsules:
                    self._store_extras({"capsules": capsules})
                if time.time() >= second + 1:
                    second = max(second + 1, time.time() - 1)
                    self._second()
                if time.monotonic() - collected > 10:
                    collected = time.monotonic()
                    gc.collect(1)
        finally:
            for server in servers:
                server.close()
            self._eve.close()

    # ------------------------------------------------------------ workers

    async def _worker(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One worker, or the supervisor with its news, until it goes."""
        splitter, link = Splitter(), None
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while data := await reader.read(1 << 20):
                for message in splitter.feed(data):
                    if message.kind == "hello":
                        link = self._join(message.header, writer) if message.header["role"] == "worker" else None
                    elif message.kind == "last":
                        writer.write(encode("last", self._last))
                    elif link is not None:
                        self._from_worker(link, message)
                    else:
                        self._from_supervisor(message)
        if link is not None:
            self._merger.leave(link.key)
            self._links.pop(link.key, None)
            self._view.forget(link.name)
            self._judge()
        writer.close()

    def _join(self, hello: dict[str, Any], writer: asyncio.StreamWriter) -> WorkerLink:
        key = self._next_key
        self._next_key += 1
        link = WorkerLink(key, hello, writer)
        self._links[key] = link
        self._merger.join(key)
        if self._interfaces.get(link.number) != link.iface:
            self._interfaces[link.number] = link.iface
            self._store.send(0, encode("interfaces", {"names": {str(n): name for n, name in self._interfaces.items()}}))
        log.info("worker joined name=%s", link.name)
        return link

    def _from_worker(self, link: WorkerLink, message: Message) -> None:
        if message.kind == "records":
            records = records_of(message)
            link.shed = message.header["shed"]
            if message.header["number"]:
                link.waiting.append((message.header["number"], records))
            self._merger.add(link.key, records)
            self._judge()
        elif message.kind == "capsule":
            self._capsules.answer(message.header, link.iface)
        elif message.kind == "status":
            self._view.status(link.name, {**message.header, "iface": link.iface})
            if "activity" in message.tables:
                self._view.activity(message.tables["activity"])

    def _judge(self) -> None:
        """Analyse what all workers have passed, and send the batches of that time to the store."""
        ready = self._merger.ready()
        if ready is not None:
            result = self._analyst.take(ready)
            self._tell(result)
            self._forward(result)

    def _tell(self, result: Result) -> None:
        records = result.records
        self._tell_alerts(result.alerts)
        if len(records.seconds):
            self._view.seconds(records.seconds)
        if len(records.flows):
            self._view.flows(records.flows)
            self._sights.flows(records.flows)
            self._exchange.flows(records.flows)
        self._eve.write(result.alerts, records)

    def _tell_alerts(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._view.alert(alert)
            if alert.rev == 1:
                self._exchange.threat(alert_row(alert))
                self._ask_packets(alert)
            self._publish("alert", {"type": "alert", "alert": alert.as_dict()})

    def _ask_packets(self, alert: Alert) -> None:
        """Ask every worker for the packets behind an alert: flows of one pair may be spread over all of them."""
        question = self._capsules.ask(alert, time.monotonic())
        if question is not None:
            data = encode("capsule", question)
            for link in self._links.values():
                if not link.writer.is_closing():
                    link.writer.write(data)

    def _forward(self, result: Result) -> None:
        """Each worker's batches up to the watermark, as they are; alerts and near misses travel with the first."""
        alerts: tuple[Alert, ...] = result.alerts
        near = result.near_misses
        sent = False
        for link in self._links.values():
            while link.waiting and link.waiting[0][1].watermark <= result.records.watermark:
                number, records = link.waiting.popleft()
                extra = {} if sent else self._extras(alerts, near)
                sent = True
                self._store_batch((link.name, link.boot, number), self._stored(records), records, extra, link, number)
        if not sent and (alerts or near or self._gaps):
            self._store_extras(self._extras(alerts, near))

    def _extras(self, alerts: Any, near: Any) -> dict[str, Any]:
        gaps, self._gaps = self._gaps, []
        return {
            "alerts": [msgspec.to_builtins(alert) for alert in alerts], "near": [msgspec.to_builtins(item) for item in near],
            "gaps": gaps,
        }  # fmt: skip

    def _stored(self, records: Records) -> list[Rows]:
        tables = stored_tables(records)
        for rows in tables:
            if rows.table is FLOW:
                self._analyst.mark(rows)
        return tables

    def _store_batch(
        self, batch_id: tuple[str, str, int], tables: list[Rows], records: Records, extra: dict[str, Any],
        link: WorkerLink | None, number: int,
    ) -> None:  # fmt: skip
        self._store_number += 1
        self._on_way[self._store_number] = (link, number)
        header = {
            "number": self._store_number, "batch_id": list(batch_id), "watermark": records.watermark * 250_000,
            "hosts": self._hosts.of(records.flows), **extra,
        }  # fmt: skip
        self._store.send(self._store_number, encode("batch", header, tables))

    def _turn_store(self) -> None:
        """Exchange with the writer; pass acknowledgements on."""
        before = {number for number, _ in self._store.kept}
        for message in self._store.turn():
            if message.kind == "health":
                self._store_health(message.header["store"])
        done = before - {number for number, _ in self._store.kept}
        by_link: dict[int, tuple[WorkerLink, list[int]]] = {}
        for number in done:
            link, own = self._on_way.pop(number, (None, 0))
            if link is not None:
                by_link.setdefault(id(link), (link, []))[1].append(own)
        for link, numbers in by_link.values():
            link.acknowledge(numbers)

    def _store_health(self, health: dict[str, Any]) -> None:
        self._health = health
        if health["state"] == "full":
            self._outages.goes_on("store", f"Flows are not stored, the disk is full: {health['reason']}")
        else:
            self._outages.over("store", "Flows were not stored: disk full")

    def _publish_gap(self, start_s: float, stop_s: float, process: str, what: str) -> None:
        self._publish("gap", {"type": "gap", "what": what, "from": start_s, "to": stop_s, "process": process})

    # ------------------------------------------------------------ supervisor and live feed

    def _from_supervisor(self, message: Message) -> None:
        if message.kind == "capture":
            self._load |= message.header.pop("load")
            self._sights.own(message.header["interfaces"])
            self._capture = {"type": "capture", **message.header}
            self._publish("capture", self._capture)
        elif message.kind == "gap":
            header = message.header
            self._publish("gap", {"type": "gap", **header})
            self._keep_gap(header["from"], header["to"], header["process"], header["what"])
        elif message.kind == "job":
            self._publish("job", {"type": "job", **message.header})
        elif message.kind == "health":
            self._load |= message.header["v"]
        elif message.kind == "own_scan":
            self._own_scans.heard(message.header, int(time.time() * 1e6))
        elif message.kind == "channel":
            self._outages.channel(message.header["name"], message.header["fails"])
        elif message.kind == "findings":
            self._raise([msgspec.convert(item, Finding) for item in message.header["findings"]])
        elif message.kind == "cleared":
            self._view.clear()
            self._exchange.clear()
            self._publish("cleared", {"type": "cleared"})

    def _raise(self, findings: list[Finding]) -> None:
        """Alerts of what a job found, told and stored like any other."""
        alerts = self._analyst.judge(findings)
        self._tell_alerts(alerts)
        self._eve.write(alerts, empty_records(0))
        self._store_extras(self._extras(alerts, ()))

    def _keep_gap(self, start_s: float, stop_s: float, process: str, what: str) -> None:
        self._gaps.append({
            "start_us": int(start_s * 1e6), "stop_us": int(stop_s * 1e6), "process": process, "what": what, "packets": 0,
        })  # fmt: skip
        self._store_extras(self._extras((), ()))

    def _store_extras(self, extras: dict[str, Any]) -> None:
        """Store what belongs to no worker's batch."""
        self._seq += 1
        empty = empty_records(max(self._merger.watermark, 0))
        self._store_batch(("analyst", self._boot, self._seq), [], empty, extras, None, 0)

    async def _subscribe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subscriber = Subscriber(writer)
        self._subscribers.append(subscriber)
        subscriber.send("capture", encode("live", {"message": self._capture}))
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass
        self._subscribers.remove(subscriber)
        writer.close()

    def _publish(self, kind: str, message: dict[str, Any]) -> None:
        data = encode("live", {"message": message})
        for subscriber in self._subscribers:
            subscriber.send(kind, data)

    def _second(self) -> None:
        rows = self._view.rows()
        if rows is not None:
            self._publish("rows", rows)
        capturing = self._capture.get("state") in ("running", "demo")
        shed = sum(link.shed for link in self._links.values())
        self._exchange.packets(self._view.packets_total)
        self._exchange.write(time.monotonic())
        message = self._view.second(self._boot, capturing, shed)
        message["v"] |= self._load
        message["store"] = self._health
        queues = {link.name: {"waiting": len(link.waiting), "shed": link.shed} for link in self._links.values()}
        self._last = {
            **message, "queues": {**queues, "store": {"waiting": self._store.waiting, "shed": 0}},
            "sight": self._sights.shape(self._interfaces), "workers": self._view.workers,
        }  # fmt: skip
        self._publish("second", message)


def main() -> None:
    """Entry of the process."""
    task = begin("analyst")
    gc.disable()
    process = AnalystProcess(task)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(process.run())


if __name__ == "__main__":
    main()
