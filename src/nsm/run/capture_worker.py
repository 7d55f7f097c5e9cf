"""A capture worker: one ring (or the demo's generator), decode, flows; records go to the analyst four times a second.

It has no privileges: the supervisor hands it an open socket. It never waits for anybody: what the analyst does not take is
kept, bounded, and flow rows are shed first and counted.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from nsm.capture.afpacket import RingSource
from nsm.capture.demo import DemoSource
from nsm.capture.settings import CaptureSettings
from nsm.capture.source import Source, SourceCounters
from nsm.errors import CaptureError
from nsm.kernels.constants import TICK_NS
from nsm.model.batch import PacketBatch
from nsm.model.records import Records, empty_records
from nsm.model.table import Rows
from nsm.run.capsule_records import Request
from nsm.run.child import begin, on_end
from nsm.run.links import ANALYST, Sender, socket_path
from nsm.run.recent import Keeper, Recent
from nsm.run.sums import SumSample
from nsm.run.transport import Message, encode
from nsm.track.settings import WorkerSettings
from nsm.track.worker import Worker

log = logging.getLogger(__name__)

FLUSH_S: Final = 0.05  # records are looked for at this interval; a tick is 250 ms
BEHIND_NS: Final = 250_000_000  # the clock of an idle worker stays so far behind the wall's
LOOK_S: Final = 1.0  # between samples of packets
COLLECT_S: Final = 10.0  # between collections of cyclic garbage
EXIT_FAULT: Final = 3


class CaptureWorker:
    """The loop of one worker."""

    def __init__(self, task: dict[str, Any]) -> None:
        settings = msgspec.convert(task["settings"], WorkerSettings)
        self._source = _source(task)
        self._worker = Worker(settings)
        self._iface = settings.iface
        boot = os.urandom(8).hex()
        hello = {"name": task["name"], "boot": boot, "iface": task["iface"], "number": settings.iface}
        self._sender = Sender(socket_path(Path(task["runtime"]), ANALYST), encode("hello", {"role": "worker", **hello}))
        capture = msgspec.convert(task["capture"], CaptureSettings)
        self._keeper = Keeper(Recent(capture.recent_mb, capture.recent_bytes)) if capture.recent_mb > 0 else None
        ring = self._source
        self._sums = SumSample(ring, settings.decode) if isinstance(ring, RingSource) else None
        self._offset_s: float | None = None
        self._looked = 0.0
        self._number = 0
        self._seen = SourceCounters()
        self._shed = 0
        self._second = 0.0
        self._collected = time.monotonic()
        self._stopping = False
        self._marked = -1

    def stop(self) -> None:
        """Finish after the batch in hand."""
        self._stopping = True

    def run(self) -> None:
        """Work until stopped; CaptureError when the source breaks."""
        flushed = 0.0
        for batch in self._source.batches():
            if batch.count:
                self._worker.feed(batch)
                if self._keeper is not None:
                    self._keeper.add(batch)
            now = time.monotonic()
            if batch.count and now - self._looked >= LOOK_S:
                self._looked = now
                self._look(batch)
            if now - flushed >= FLUSH_S:
                flushed = now
                if not batch.count:
                    self._worker.pass_time(time.time_ns() - BEHIND_NS)
                self._flush(now)
            if self._stopping:
                break
        self._source.close()
        self._worker.finish()
        # What it ends with is complete up to now, not for ever: whoever captures next goes on from here.
        self._send(msgspec.structs.replace(self._worker.take(), watermark=time.time_ns() // TICK_NS))
        self._drain()

    def _look(self, batch: PacketBatch) -> None:
        """Checksums of some packets, and how far the time of the newest lies behind the clock."""
        if self._sums is not None:
            self._offset_s = round((time.time_ns() - int(batch.ts_ns[batch.count - 1])) / 1e9, 3)
            self._sums.look()

    def _flush(self, now: float) -> None:
        self._capsules(self._sender.turn(), now)
        if self._worker.tick > self._marked:
            self._send(self._worker.take())
            self._marked = self._worker.tick
        elif self._worker.tick < 0 and isinstance(self._source, RingSource):
            self._pass_idle_time()
        if now - self._second >= 1.0:
            self._second = now
            self._status()
        if now - self._collected >= COLLECT_S:
            self._collected = now
            gc.collect(1)

    def _pass_idle_time(self) -> None:
        """Not one packet came yet: say up to when, since what other workers have is judged up to the slowest."""
        passed = (time.time_ns() - BEHIND_NS) // TICK_NS
        if passed > self._marked:
            self._send(empty_records(passed))
            self._marked = passed

    def _capsules(self, messages: list[Message], now: float) -> None:
        """Take the analyst's questions for packets, and answer those that are due."""
        if self._keeper is None:
            return
        for message in messages:
            if message.kind == "capsule":
                self._keeper.ask(msgspec.convert(message.header, Request), now)
        for answer in self._keeper.ready(now):
            self._sender.send(0, encode("capsule", answer))

    def _send(self, records: Records) -> None:
        seconds = records.seconds
        if len(seconds):
            counters = self._source.counters()
            drops = seconds["drops"]
            drops[-1] = max(0, counters.drops - self._seen.drops)
            seconds["drops"] = drops
            self._seen = counters
        tables = [rows for rows in records.tables if len(rows)]
        if self._sender.full and len(records.flows):
            self._shed += len(records.flows)
            tables = [rows for rows in tables if rows is not records.flows]
        if self._sender.overfull:
            self._shed += sum(map(len, tables))
            tables = []
        number = 0
        if tables:
            self._number += 1
            number = self._number
        header = {"watermark": records.watermark, "number": number, "shed": self._shed}
        self._sender.send(number, encode("records", header, tables))

    def _status(self) -> None:
        source, flows = self._source.counters(), self._worker.counters
        header = {
            "packets": source.packets, "drops": source.drops, "freezes": source.freezes, "cut": source.cut,
            "live": flows.live, "evicted": flows.evicted, "counted": flows.counted, "untracked": flows.untracked,
            "untold": flows.untold, "given_up": self._worker.given_up, "parser_faults": self._worker.faults,
            "shed": self._shed, "waiting": self._sender.waiting,
            "offset_s": self._offset_s,
        }  # fmt: skip
        self._offset_s = None
        if self._sums is not None:
            header |= {"sums": self._sums.judged, "sums_open": self._sums.unfinished, "sums_bad": self._sums.bad}
        activity: Rows = self._worker.activity()
        self._sender.send(0, encode("status", header, [activity] if len(activity) else []))

    def _drain(self) -> None:
        """Give the analyst a moment to take what is left."""
        until = time.monotonic() + 2.0
        while self._sender.waiting and time.monotonic() < until:
            self._sender.turn()
            time.sleep(0.02)


def _source(task: dict[str, Any]) -> Source:
    if task["kind"] == "demo":
        return DemoSource(task["speed"])
    sock = socket.socket(fileno=task["fd"])
    settings = msgspec.convert(task["capture"], CaptureSettings)
    return RingSource(sock, task["iface"], settings, task["settings"]["iface"])


def main() -> None:
    """Entry of the process."""
    task = begin("capture")
    gc.disable()
    np.seterr(over="ignore")
    try:
        worker = CaptureWorker(task)
        on_end(worker.stop)
        worker.run()
    except CaptureError as error:
        log.warning("capture ended iface=%s reason=%s", task.get("iface"), error)
        sys.stdout.buffer.write(encode("fault", {"text": str(error), "where": error.where, "mend": error.mend}))
        sys.stdout.buffer.flush()
        sys.exit(EXIT_FAULT)


if __name__ == "__main__":
    main()
