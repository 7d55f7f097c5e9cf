"""CPU of the engine's stages over one capture, in a process of its own, start-up left out; one JSON object on stdout.

    python bench/stages.py FILE TINY    seconds of CPU up to and including each stage, median of 3 passes
    python bench/stages.py flows FILE   that stage and those before it, once: for a clock outside

A tiny capture is read first, so that imports, kernels and the flow table's memory are there before the clock starts.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable

from nsm.capture.files import open_bytes
from nsm.capture.reading import open_capture
from nsm.decode.rows import Decoder
from nsm.decode.settings import DecodeSettings
from nsm.track.settings import FlowSettings, TrackOptions, WorkerSettings
from nsm.track.stream_settings import StreamSettings
from nsm.track.tracker import FlowTracker
from nsm.track.worker import TAKE_ROWS, run_worker

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
    """Header columns; how many rows."""
    source, decoder, count = open_capture(path, BATCH), Decoder(DecodeSettings(), BATCH, 0), 0
    for batch in source.batches():
        first = 0
        while first < batch.count:
            first = decoder.decode(batch, first)
            count += decoder.rows.count
    source.close()
    return count


def flows(path: str) -> int:
    """The flow table; its rows are made and thrown away. How many flows."""
    source, decoder = open_capture(path, BATCH), Decoder(DecodeSettings(), BATCH, 0)
    tracker = FlowTracker(FlowSettings(), TrackOptions())
    for batch in source.batches():
        first = 0
        while first < batch.count:
            first = decoder.decode(batch, first)
            tracker.feed(batch, decoder.rows)
        if tracker.waiting >= TAKE_ROWS:
            tracker.take()
    tracker.finish()
    tracker.take()
    source.close()
    return tracker.counters.flows


def worker(path: str) -> int:
    """What one worker does beside: seconds, anomalies, ARP, and rows taken as columns."""
    settings = WorkerSettings(home_net=("10.0.0.0/8",), stream=StreamSettings(enabled=False))
    return sum(len(records) for records in run_worker(open_capture(path, BATCH), settings))


def conversations(path: str) -> int:
    """Everything: also what is said in flows."""
    settings = WorkerSettings(home_net=("10.0.0.0/8",))
    return sum(len(records) for records in run_worker(open_capture(path, BATCH), settings))


STAGES = {stage.__name__: stage for stage in (read, index, decode, flows, worker, conversations)}


def measured(stage: Callable[[str], int], path: str) -> float:
    """Seconds of CPU, the median of the passes."""
    times = []
    for _ in range(PASSES):
        began = time.process_time()
        stage(path)
        times.append(time.process_time() - began)
    return statistics.median(times)


def main() -> None:
    """Command line."""
    if sys.argv[1] in STAGES:
        print(STAGES[sys.argv[1]](sys.argv[2]))
        return
    path, tiny = sys.argv[1], sys.argv[2]
    for stage in STAGES.values():
        stage(tiny)
    empty = {name: measured(stage, tiny) for name, stage in STAGES.items()}
    print(json.dumps({name: measured(stage, path) - empty[name] for name, stage in STAGES.items()}))


if __name__ == "__main__":
    main()
