"""One file, several processes: each reads it all, decodes it all, and goes on with its share of the flows."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from selectors import EVENT_READ, DefaultSelector
from typing import Any, BinaryIO, cast

import msgspec

from nsm.capture.filtered import filtered
from nsm.capture.reading import open_capture
from nsm.errors import CaptureError
from nsm.model.records import Records
from nsm.run.engine import Engine
from nsm.run.record_messages import records_message, records_of
from nsm.run.transport import encode, read_message
from nsm.track.settings import WorkerSettings
from nsm.track.worker import run_worker


def run_shards(path: str, engine: Engine, workers: int) -> Iterator[tuple[int, Records]]:
    """(worker, records) of all workers as they come; CaptureError at the end as in one process."""
    first = open_capture(path)  # what is no capture is said here, once
    first.close()
    processes = [_start(path, engine, number, workers) for number in range(workers)]
    fault = ""
    try:
        with DefaultSelector() as ready:
            for number, process in enumerate(processes):
                ready.register(cast("BinaryIO", process.stdout), EVENT_READ, number)
            while ready.get_map():
                for key, _ in ready.select():
                    message = read_message(cast("BinaryIO", key.fileobj))
                    if message is None:
                        ready.unregister(key.fileobj)
                    elif message.kind == "fault":
                        fault = message.header["text"]
                    else:
                        yield key.data, records_of(message)
    finally:
        for process in processes:
            if process.stdout is not None:
                process.stdout.close()
            process.kill()
            process.wait()
    if fault:
        raise CaptureError(fault)


def _start(path: str, engine: Engine, number: int, workers: int) -> subprocess.Popen[bytes]:
    task = {
        "path": path, "bpf": engine.read.bpf,
        "settings": msgspec.to_builtins(engine.worker_settings(shard=number, shards=workers)),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "nsm.run.shards"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20
    )
    stdin = cast("BinaryIO", process.stdin)
    stdin.write(msgspec.msgpack.encode(task))
    stdin.close()
    return process


def main() -> None:
    """A worker process: the task on standard input, messages on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started this
    task: dict[str, Any] = msgspec.msgpack.decode(sys.stdin.buffer.read())
    settings = msgspec.convert(task["settings"], WorkerSettings)
    out = sys.stdout.buffer
    try:
        source = filtered(open_capture(task["path"], settings.batch_packets), task["bpf"])
        for records in run_worker(source, settings):
            out.write(records_message(records))
    except CaptureError as error:
        out.write(encode("fault", {"text": str(error)}))
    except BrokenPipeError:
        return
    out.flush()


if __name__ == "__main__":
    main()
