"""A program for the tests: writes numbered batches until it is killed, and says which are acknowledged.

``python writing.py DIRECTORY FIRST COUNT``; a batch's rows depend on its number alone, so that it can be sent again.
Compaction and removal run beside it all the time.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np

from nsm.model.table import Rows
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.store.conftest import HOUR_S, batch, flows

ROWS = 300
SETTINGS = StoreSettings(
    segment_rows=4 * ROWS, trash_delay_s=1, ballast_bytes=0, free_min_bytes=0, free_early_bytes=0,
    keys_minute_max=10, keys_hour_max=15,
)  # fmt: skip


def numbered(seq: int) -> Rows:
    """The rows of a batch; ``flow_id`` names batch and row."""
    rows = flows(ROWS, HOUR_S + seq, 70, seed=seq)
    rows["flow_id"] = np.arange(ROWS, dtype=np.uint64) + np.uint64(seq << 20)
    return rows


def main(directory: Path, first: int, count: int) -> None:
    """Write ``count`` batches from number ``first`` on, three in a call."""
    writer = Writer(directory, SETTINGS, background=False)
    stop = threading.Event()

    def maintain() -> None:
        while not stop.wait(0.005):
            writer.maintain()

    threading.Thread(target=maintain, daemon=True).start()
    for seq in range(first, first + count, 3):
        group = [batch(number, numbered(number)) for number in range(seq, seq + 3)]
        if all(writer.store(group)):
            print(seq + 2, flush=True)  # noqa: T201  how the test is told
    stop.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
