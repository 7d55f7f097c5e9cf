"""The job "read": what is in a capture that the service keeps, found as ``nsm read`` finds it, at low priority.

It has a store of its own for as long as the report takes: nothing of a capture gets into the history of the live network.
"""

from __future__ import annotations

import gc
import gzip
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.run.work import Done, JobSpec, Teller, run_job, settings_of

if TYPE_CHECKING:
    from nsm.model.batch import PacketBatch
    from nsm.pipeline import Result
    from nsm.run.storing import CaptureStore
    from nsm.run.summary import Summary

LIMIT_S: Final = 24 * 3_600.0 + 600  # beyond what the settings allow, which end it tidily
NICE: Final = 10
PROGRESS_S: Final = 0.5
ALERTS_MAX: Final = 100
LEVEL: Final = 4  # of gzip: three times faster than 9, and a tenth larger
MINUTE_US: Final = 60_000_000
TIMES_US: Final = (365 * 86_400 * 1_000_000, 7_258_118_400 * 1_000_000)  # 1971 to 2200: beyond, clocks are broken


class ReadTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which capture, by its id."""

    capture: str


def check(task: dict[str, Any]) -> dict[str, Any]:
    """The task; QueryError when it is none. Whether there is such a capture is found by the job."""
    try:
        asked = msgspec.convert(task, ReadTask)
    except msgspec.ValidationError as error:
        raise QueryError(f"not a capture to read: {error}", where="task") from error
    checked: dict[str, Any] = msgspec.to_builtins(asked)
    return checked


SPEC: Final = JobSpec(kind="read", module="nsm.run.jobs.read", check=check, limit_s=LIMIT_S)
STOPPING: Final = threading.Event()


class Events:
    """EVE lines, packed, up to a size; what does not fit is counted."""

    def __init__(self, path: Path, octets_max: int) -> None:
        self._raw = path.open("wb")
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=self._raw, mtime=0)
        self._octets_max = octets_max
        self.written = self.left_out = 0

    def write(self, line: bytes) -> None:
        """Add a line."""
        if self._raw.tell() >= self._octets_max:
            self.left_out += 1
            return
        self._file.write(line + b"\n")
        self.written += 1

    def close(self) -> None:
        """End the file."""
        self._file.close()
        self._raw.close()


class Watch:
    """What the job sees of its reading: it tells how far it is, and when it is to end."""

    def __init__(self, tell: Teller, size: int, seconds_max: int) -> None:
        self._tell, self._size, self._seconds_max = tell, size, seconds_max
        self._began = time.monotonic()
        self._told = -PROGRESS_S
        self._packets = self._octets = 0
        self.late = False  # has it taken as long as it may?

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    def ends(self) -> bool:
        """Is the reading to end now?"""
        self.late = self.seconds > self._seconds_max
        return self.late or STOPPING.is_set()

    def step(self, batch: PacketBatch) -> None:
        """A batch was used up."""
        self._packets += batch.count
        self._octets += int(batch.caplen[: batch.count].sum()) + 16 * batch.count
        if self.seconds - self._told >= PROGRESS_S:
            self._told = self.seconds
            known = self._octets <= self._size  # of a compressed file the share is not known
            header = {"stage": "reading packets", "packets": self._packets, "done": self._octets if known else 0}
            self._tell.progress({**header, "total": self._size if known else 0})


def work(task: dict[str, Any], tell: Teller) -> Done:
    """Read it, note what is in it; a capture that breaks off is read up to there."""
    from nsm.errors import CaptureError
    from nsm.output.eve import EveWriter
    from nsm.run.engine import Engine, engine_sections
    from nsm.run.reading import event_lines
    from nsm.run.storing import CaptureStore
    from nsm.run.summary import Summary, counted
    from nsm.run.watched import WatchedReading
    from nsm.settings.read_settings import ReadSettings
    from nsm.store.captures import EVENTS, SETTINGS, CaptureShelf, Found

    limits = settings_of(task, (SETTINGS,)).section("captures")
    shelf = CaptureShelf(Path(task["data"]), limits)
    number = msgspec.convert(task["task"], ReadTask).capture
    kept, path = shelf.about(number), shelf.path(number)
    if kept is None or path is None:
        raise QueryError(f"there is no capture {number[:32]}", mend="it may have been removed")
    engine = Engine(ReadSettings(), settings_of(task, engine_sections()))
    summary, watch = Summary(), Watch(tell, path.stat().st_size, limits.analysis_seconds_max)
    with shelf.workplace(number) as folder:
        events, store = Events(folder / EVENTS, limits.events_bytes_max), CaptureStore(folder / "store", engine.home)

        def seen(result: Result) -> None:
            summary.add(result)
            store.add(result)

        writer = EveWriter(engine.eve_options(capture_file=kept.name))
        reading = WatchedReading(path, engine, seen, watch.step, watch.ends)
        problem = ""
        try:
            for line in event_lines(reading, writer):
                events.write(line)
        except CaptureError as error:
            problem = str(error).replace(str(path), kept.name)
            if not summary.packets:
                raise CaptureError(problem, where=kept.name, mend=error.mend) from error
        finally:
            events.close()
        if STOPPING.is_set():
            raise QueryError("cancelled")
        if watch.late:
            problem = f"the analysis ended after {limits.analysis_seconds_max} s, the longest it may take"
        tell.progress({"stage": "writing the report", "done": 0, "total": 0, "packets": summary.packets})
        report, report_problem = _report(folder, store, summary, kept.name, engine.home)
        found = Found(
            made_us=int(time.time() * 1e6), seconds=round(watch.seconds, 3), **summary.figures(ALERTS_MAX),
            events=events.written, events_left_out=events.left_out, problem=problem, report_problem=report_problem,
        )  # fmt: skip
        if not shelf.note(number, found, {EVENTS: folder / EVENTS} | report):
            raise QueryError("the capture was removed while it was read")
    numbers = (found.packets, "packet"), (found.flows, "flow"), (found.alerts_count, "alert")
    text = ", ".join(counted(number_of, noun) for number_of, noun in numbers)
    return text + (f"; {problem}" if problem else ""), {"capture": number, "packets": found.packets,
                                                        "alerts": found.alerts_count, "problem": problem}  # fmt: skip


def _report(
    folder: Path, store: CaptureStore, summary: Summary, name: str, home: tuple[str, ...]
) -> tuple[dict[str, Path], str]:
    """The report as a file of the folder, or why there is none."""
    from nsm.errors import NsmError
    from nsm.report.gather import gather, us_now
    from nsm.report.html import page
    from nsm.report.period import LONGEST_US, Period
    from nsm.store.captures import REPORT

    store.finish()
    first, last = summary.span_us
    start, stop = first // MINUTE_US * MINUTE_US, -(-last // MINUTE_US) * MINUTE_US
    if not summary.packets:
        return {}, "there are no packets"
    if store.too_many:
        return {}, f"there are more than {store.flows - 1:,} flows"
    if not (TIMES_US[0] <= start < stop <= TIMES_US[1]):
        return {}, "its packets have impossible times"
    if stop - start > LONGEST_US:
        return {}, f"its packets span more than {LONGEST_US // 86_400_000_000} days"
    try:
        facts = gather(folder / "store", Period(start, stop), home, us_now())
        path = folder / REPORT
        path.write_text(page(msgspec.structs.replace(facts, subject=f"Capture {name}")), encoding="utf-8")
    except NsmError as error:
        return {}, str(error)
    return {REPORT: path}, ""


if __name__ == "__main__":
    os.nice(NICE)  # capture and analysis of the live network come first
    gc.disable()  # WatchedReading asks for it now and then
    run_job("read", work, STOPPING.set)
