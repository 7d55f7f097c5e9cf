"""CPU of the engine's stages over one capture, in a process of its own, start-up left out; one JSON object on stdout.

    python bench/stages.py FILE TINY   seconds of CPU up to and including each stage, best of 3 passes

A tiny capture is read first, so that imports, kernels and the flow table's memory are there before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nsm.capture.files import open_bytes
from nsm.capture.reading import open_capture
from nsm.decode.rows import Decoder, DecodeSettings
from nsm.pipeline import TAKE_ROWS, run_worker
from nsm.track.settings import FlowSettings
from nsm.track.tracker import FlowTracker, TrackOptions
from nsm.track.worker import Worker, WorkerSettings

PASSES = 3
BATCH = 2_048


def read(path: str) -> int:
    """Bytes into the buffer, nothing more."""
    reader = open_bytes(path)
    while reader.fill():
        reader.start = reader.stop
    reader.close()
    return 0


def index(path: str) -> int:
    """Where the packets lie."""
    source = open_capture(path, BATCH)
    count = sum(batch.count for batch in source.batches())
    source.close()
    return count


def decode(path: str) -> int:
    """Header columns."""
    source, decoder, count = open_capture(path, BATCH), Decoder(DecodeSettings(), BATCH, 0), 0
    for batch in source.batches():
        first = 0
        while first < batch.count:
            first = decoder.decode(batch, first)
        count += batch.count
    source.close()
    return count


def flows(path: str) -> int:
    """The flow table; its rows are counted and thrown away, so nothing but decoding and tracking is measured."""
    source, decoder, count = open_capture(path, BATCH), Decoder(DecodeSettings(), BATCH, 0), 0
    tracker = FlowTracker(FlowSettings(), TrackOptions())
    for batch in source.batches():
        first = 0
        while first < batch.count:
            first = decoder.decode(batch, first)
            tracker.feed(batch, decoder.rows)
        if tracker.waiting >= TAKE_ROWS:
            tracker.take()
        count += batch.count
    tracker.finish()
    tracker.take()
    source.close()
    return count


def worker(path: str) -> int:
    """Everything one worker does: also seconds, anomalies, ARP, and rows taken as columns."""
    settings = WorkerSettings(home_net=("10.0.0.0/8",))
    return sum(len(records) for records in run_worker(open_capture(path, BATCH), settings))


def measured(stage: Callable[[str], int], path: str) -> float:
    """Seconds of CPU, the best pass."""
    times = []
    for _ in range(PASSES):
        began = time.process_time()
        stage(path)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Command line."""
    path, tiny = sys.argv[1], sys.argv[2]
    Worker(WorkerSettings())
    for stage in (read, index, decode, flows, worker):
        stage(tiny)
    empty = {stage.__name__: measured(stage, tiny) for stage in (read, index, decode, flows, worker)}
    found = {name: measured(globals()[name], path) - empty[name] for name in empty}
    print(json.dumps({"packets": index(path), "bytes": Path(path).stat().st_size, "cpu_s": found}))


if __name__ == "__main__":
    main()
