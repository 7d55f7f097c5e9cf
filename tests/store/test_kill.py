"""kill -9 of the writer at random times: no acknowledged row lost or doubled, every sum equal to raw after each."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from nsm.model.address import Networks
from nsm.store.queryspec import Agg, QuerySpec, Term
from nsm.store.reader import Reader
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.store.compare import differences, raw_rows
from tests.store.conftest import HOUR_S, US
from tests.store.writing import ROWS, SETTINGS

ROOT = Path(__file__).parents[2]
BATCHES = 3_000  # more than can be written before the kill


def start(directory: Path, first: int) -> subprocess.Popen[str]:
    """A process that writes from batch ``first`` on."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, str(Path(__file__).with_name("writing.py")), str(directory), str(first), str(BATCHES)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def kill_at_random(process: subprocess.Popen[str], chance: random.Random) -> int:
    """The last batch acknowledged before the kill; it comes some acknowledgements and up to 30 ms later."""
    assert process.stdout is not None
    acknowledged = 0
    for _ in range(chance.randint(1, 12)):
        acknowledged = int(process.stdout.readline())
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(chance.random() * 0.03)
    process.kill()
    for line in process.stdout:  # said before the kill, read after it; a line cut short was not said
        if line.endswith("\n"):
            acknowledged = int(line)
    process.wait()
    process.stdout.close()
    return acknowledged


def check(directory: Path, acknowledged: int) -> None:
    """Every batch is there whole or not at all, the acknowledged ones are, and the sums agree."""
    Writer(directory, SETTINGS, background=False).close()  # what a start puts in order
    of_batch = Counter(int(row["flow_id"]) >> 20 for row in raw_rows(directory))
    assert set(of_batch.values()) == {ROWS}
    assert len({int(row["flow_id"]) for row in raw_rows(directory)}) == sum(of_batch.values())
    assert set(range(1, acknowledged + 1)) <= set(of_batch)
    assert differences(directory, Networks(StoreSettings().home_net)) == []


def kill_repeatedly(directory: Path, times: int, seed: int) -> None:
    """Kill, check, and send again from before the last acknowledged batch."""
    chance = random.Random(seed)
    acknowledged = 0
    for _ in range(times):
        first = max(1, acknowledged - 5)  # some of it is known already: those must not be stored twice
        acknowledged = max(acknowledged, kill_at_random(start(directory, first), chance))
        check(directory, acknowledged)


def test_five_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_repeatedly(tmp_path, 5, seed=5)


@pytest.mark.long
@pytest.mark.slow
def test_twenty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    kill_repeatedly(tmp_path, 20, seed=20)


def test_a_reader_beside_writer_and_compactor_sees_one_commit(tmp_path: Path) -> None:
    process = start(tmp_path, 1)
    assert process.stdout is not None
    process.stdout.readline()
    reader = Reader(tmp_path)
    aggs = (Agg("count", name="n"), Agg("sum", "bytes", "b"))
    sums = QuerySpec(aggs=aggs, start_us=HOUR_S * US, stop_us=(HOUR_S + 7200) * US)
    seen: list[int] = []
    try:
        for _ in range(60):
            # The condition is always true and cannot be answered from sums, so this one reads the files.
            before = reader.query(sums)
            raw = reader.query(msgspec.structs.replace(sums, where=Term("bytes", ">=", 0)))
            after = reader.query(sums)
            assert (before.stats.source, raw.stats.source) == ("rollup", "raw")
            assert before.rows[0][0] <= raw.rows[0][0] <= after.rows[0][0]
            assert raw.rows[0][0] % (3 * ROWS) == 0  # three batches a commit: never a part of one
            if before.rows == after.rows:
                assert raw.rows == before.rows
            seen.append(raw.rows[0][0])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        reader.close()
    assert seen == sorted(seen)
    assert len(set(seen)) > 5  # the writer did go on
