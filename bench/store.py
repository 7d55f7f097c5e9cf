"""The store, asked and measured: rows in, bytes a row, sums, host look-ups, a reader beside the writer, kill -9.

    python bench/store.py                  all of it, about three minutes
    python bench/store.py --rows 1000000 --seconds 5 --kills 2

Flows are synthetic and heavy-headed, every stored column filled plausibly: 2,000 local hosts and 200,000 remote
ones; who talks and how much follows power laws; times rise with a little disorder, as a tracker hands them over.
The same seed gives the same rows.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nsm.errors import StoreError
from nsm.model.address import V4_PREFIX, text
from nsm.model.flow import FLOW
from nsm.model.table import Array, Rows
from nsm.store.queryspec import Agg, QuerySpec, Term
from nsm.store.reader import Reader
from nsm.store.records import BatchId, StoredBatch
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer

BATCH_ROWS = 50_000
START_S = 1_763_697_600  # a whole hour
DAY_S = 86_400
US = 1_000_000
LOCAL_HOSTS = 2_000
REMOTE_HOSTS = 200_000
APPS = np.array(["tls", "dns", "quic", "http", "ntp", "ssh", "smb", "", "dhcp", "mdns"], object)
APP_SHARE = np.array([0.38, 0.27, 0.10, 0.06, 0.03, 0.02, 0.02, 0.09, 0.01, 0.02])
APP_PORT = np.array([443, 53, 443, 80, 123, 22, 445, 0, 67, 5353])
APP_PROTO = np.array([6, 17, 17, 6, 17, 6, 6, 6, 17, 17])


class Traffic:
    """Makes rows; addresses are fixed for one generator."""

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self.local = np.uint64(V4_PREFIX | 10 << 24) + np.arange(1, LOCAL_HOSTS + 1, dtype=np.uint64)
        drawn = self._random.integers(16 << 24, 224 << 24, REMOTE_HOSTS, dtype=np.uint64)
        self.remote = np.uint64(V4_PREFIX) | drawn

    def rows(self, count: int, start_us: int, span_us: int) -> Rows:
        """``count`` flows that end in the given time."""
        random = self._random
        ts = np.sort(random.integers(start_us, start_us + max(span_us, 1), count))
        late = random.integers(0, 250_000, count)
        app = random.choice(len(APPS), count, p=APP_SHARE)
        inward = random.random(count) < 0.06
        near = self.local[self._headed(count, LOCAL_HOSTS)]
        far = self.remote[self._headed(count, REMOTE_HOSTS)]
        proto = APP_PROTO[app].astype(np.uint8)
        tcp = proto == 6
        answered = random.random(count) < 0.93
        pkts_s = np.where(tcp, 3 + random.pareto(1.3, count) * 4, 1 + random.pareto(3, count)).clip(1, 1e6)
        pkts_c = np.where(answered, pkts_s * random.uniform(0.5, 2, count), 0)
        bytes_s = pkts_s * random.choice([60, 74, 90, 120, 300], count) + random.integers(0, 40, count)
        bytes_c = pkts_c * random.choice([60, 74, 200, 900, 1400], count) + random.integers(0, 40, count)
        rtt = np.where(tcp & answered, random.lognormal(9.5, 0.8, count), 0)
        port = np.where(APP_PORT[app] > 0, APP_PORT[app], random.integers(1, 20_000, count))
        columns: dict[str, Array] = {
            "ts": ts - late,
            "dur_us": np.where(pkts_s > 1, random.lognormal(13, 2.2, count), 0),
            "outcome": np.where(answered, 3, 1),
            "flow_id": random.integers(0, 1 << 51, count),
            "iface": np.ones(count),
            "ip_v": np.full(count, 4),
            "src_lo": np.where(inward, far, near),
            "dst_lo": np.where(inward, near, far),
            "src_port": random.integers(32_768, 61_000, count),
            "dst_port": port,
            "proto": proto,
            "app": APPS[app],
            "pkts_s": pkts_s,
            "pkts_c": pkts_c,
            "bytes_s": bytes_s,
            "bytes_c": np.where(answered, bytes_c, 0),
            "payload_s": (bytes_s * 0.6).clip(0, 2**32 - 1),
            "payload_c": np.where(answered, bytes_c * 0.8, 0).clip(0, 2**32 - 1),
            "tcp_s": np.where(tcp, random.choice([27, 31, 26], count), 0),
            "tcp_c": np.where(tcp & answered, random.choice([27, 30], count), 0),
            "tcp_first": np.where(tcp, 2, 0),
            "tcp_state": np.where(tcp, random.choice([10, 6, 3], count), 0),
            "state": np.where(tcp & answered, 2, answered),
            "reason": np.where(random.random(count) < 0.8, 1, 2),
            "syn_ack_us": rtt,
            "ack_us": rtt * 0.05,
            "retrans": random.geometric(0.9, count) - 1,
            "ttl_min_s": np.full(count, 64),
            "ttl_max_s": np.full(count, 64),
            "ttl_min_c": np.where(answered, random.choice([55, 57, 115, 245], count), 0),
            "icmp_reply": np.full(count, 65_535),
        }
        columns["ttl_max_c"] = columns["ttl_min_c"]
        columns["src_hi"] = columns["dst_hi"] = np.zeros(count)
        return Rows(FLOW, {name: _typed(name, values) for name, values in columns.items()}, count)

    def _headed(self, count: int, most: int) -> Array:
        """Indices below ``most``, small ones far more often."""
        return (most * self._random.random(count) ** 4).astype(np.int64)


def _typed(name: str, values: Array) -> Array:
    column = FLOW.column(name)
    return values if column.dtype == "text" else values.astype(column.dtype)


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rate", type=int, default=330_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--directory", type=Path, help="where to put the stores; default: a temporary folder")
    parser.add_argument("--beside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.beside:
        beside(options.beside)
        return
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-store-") as folder:
        for name, asked, measured in measure(Path(folder), options):
            print(f"{name:<52} {asked:>16}   {measured}", flush=True)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """(what, asked, measured) of each line."""
    yield "", "asked", "measured"
    held = folder / "day"
    loaded_s = load(held, options.rows)
    yield f"{options.rows:,} rows over 24 h, as fast as it goes", "-", f"{options.rows / loaded_s / 1e3:,.0f} k rows/s"
    size = sum(path.stat().st_size for path in (held / "seg").rglob("*.parquet"))
    yield "bytes a row on disk", "<= 40", f"{size / options.rows:.1f}"
    yield "sums on disk", "-", f"{(held / 'nsm.db').stat().st_size / 1e6:,.0f} MB"
    yield from queries(held)
    yield from paced(folder / "paced", options.rate, options.seconds)
    if options.kills:
        sys.path.append(str(Path(__file__).parents[1]))  # the tests' own program is what is killed
        from tests.store.test_kill import kill_repeatedly

        kill_repeatedly(folder / "killed", options.kills, random.randrange(1 << 30))
        yield f"{options.kills} kill -9: lost, doubled, sums unlike raw", "0", "0"


def load(directory: Path, rows: int) -> float:
    """Seconds that storing a day of rows took, compaction included; making the rows is left out."""
    traffic, writer = Traffic(), Writer(directory, StoreSettings(), background=False)
    count = rows // BATCH_ROWS
    span_us = DAY_S * US // count
    spent = 0.0
    for seq in range(count):
        made = traffic.rows(BATCH_ROWS, START_S * US + seq * span_us, span_us)
        started = time.perf_counter()
        if writer.store([StoredBatch(batch_id=BatchId("bench", "one", seq), tables=(made,))]) != (True,):
            raise StoreError("a batch was refused")
        if seq % 20 == 19:
            writer.maintain(force=True)
        spent += time.perf_counter() - started
    writer.maintain(force=True)
    writer.close()
    return spent


def queries(directory: Path) -> Iterator[tuple[str, str, str]]:
    """Sums and look-ups over the day: medians of five, after one that fills caches."""
    reader = Reader(directory)
    first, last = START_S * US, (START_S + DAY_S) * US
    flows, volume = Agg("count", name="flows"), Agg("sum", "bytes", "bytes")
    sums: dict[str, Callable[[], Any]] = {
        "sums: 24 h by minute": lambda: reader.series("total", [""], "bytes", first, last, 60),
        "sums: 24 h by minute, 8 applications and other": lambda: reader.series("app", None, "bytes", first, last, 60),
        "sums: top 20 hosts of 24 h": lambda: reader.top("host", "bytes", first, last, 20),
        "sums: top 20 ports of 24 h": lambda: reader.top("port", "bytes", first, last, 20),
        "sums: last 5 minutes by second": lambda: reader.series("app", None, "bytes", last - 300 * US, last, 1),
        "sums: QuerySpec by application": lambda: reader.query(
            QuerySpec(start_us=first, stop_us=last, group=("app",), aggs=(flows, volume))
        ),
    }
    for name, question in sums.items():
        yield name, "< 50 ms", f"{median_ms(question):.1f} ms"
    local, remote = Traffic().local, Traffic().remote
    hosts = {
        "very active": local[0],
        "ordinary": local[900],
        "rare": rare(reader, remote),
        "absent": np.uint64(V4_PREFIX | 7),
    }
    for name, host in hosts.items():
        address = text(0, int(host))
        found = len(reader.flows_of_host(address, 100))
        took = median_ms(lambda address=address: reader.flows_of_host(address, 100))
        yield f"last 100 flows of a host: {name} ({found} found)", "< 150 ms", f"{took:.0f} ms"
    raw = QuerySpec(start_us=first + 1, stop_us=last, group=("app",), aggs=(flows, volume))
    yield "raw rows: 24 h by application", "-", f"{median_ms(lambda: reader.query(raw)):.0f} ms"
    reader.close()


def rare(reader: Reader, remote: Array) -> np.uint64:
    """A host with few flows in all."""
    for host in remote[::-1777]:
        where = Term("host", "=", text(0, int(host)))
        count = reader.query(QuerySpec(where=where, aggs=(Agg("count"),))).rows[0][0]
        if 1 <= count <= 8:
            return np.uint64(host)
    return np.uint64(remote[-1])


def paced(directory: Path, rate: int, seconds: int) -> Iterator[tuple[str, str, str]]:
    """Rows at a fixed rate, with compaction in the background and a reader process beside it."""
    traffic = Traffic()
    per_batch_us = BATCH_ROWS * US // rate
    made = [traffic.rows(BATCH_ROWS, 0, per_batch_us) for _ in range(16)]
    writer = Writer(directory, StoreSettings())
    count = rate * seconds // BATCH_ROWS
    waits: list[float] = []
    started, cpu = time.perf_counter(), time.process_time()
    reading = subprocess.Popen(
        [sys.executable, __file__, "--beside", str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pause = threading.Event()
    for seq in range(count):
        due = started + (seq + 1) * per_batch_us / 1e6  # when the last row of the batch has come in
        pause.wait(max(0.0, due - time.perf_counter()))
        rows = made[seq % len(made)].slice(0, BATCH_ROWS)
        rows["ts"] = rows["ts"] + START_S * US + seq * per_batch_us
        if writer.store([StoredBatch(batch_id=BatchId("bench", "paced", seq), tables=(rows,))]) != (True,):
            raise StoreError("a batch was refused")
        waits.append(time.perf_counter() - due)
    took, used = time.perf_counter() - started, time.process_time() - cpu
    answer = json.loads(reading.communicate("stop\n")[0])
    writer.close()
    held, share = count * BATCH_ROWS / took, used / took
    yield f"rows/s held for {took:.0f} s, compaction beside", f"{rate / 1e3:.0f} k", f"{held / 1e3:.0f} k"
    yield "CPU of the writer, compaction included", "< 1 core", f"{share:.2f} core"
    late = statistics.quantiles(waits, n=100)
    yield "acknowledged after due, p50 and p99", "-", f"{late[49] * 1e3:.0f} and {late[98] * 1e3:.0f} ms"
    yield f"reader beside: unlike sums in {answer['looks']} looks", "0", str(answer["unlike"])


def beside(directory: Path) -> None:
    """Compare raw rows with sums, again and again, until stdin says stop."""
    done = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), done.set()), daemon=True).start()
    reader = Reader(directory)
    aggs = (Agg("count", name="n"), Agg("sum", "bytes", "b"))
    first, last = (START_S - 3600) * US, (START_S + 2 * 3600) * US
    sums = QuerySpec(start_us=first, stop_us=last, aggs=aggs)
    raw = QuerySpec(start_us=first, stop_us=last, aggs=aggs, where=Term("bytes", ">=", 0))
    looks = unlike = 0
    while not done.wait(0.25):
        before, rows, after = (reader.query(spec).rows[0] for spec in (sums, raw, sums))
        looks += 1
        whole = rows[0] % BATCH_ROWS == 0 and before[0] <= rows[0] <= after[0]
        unlike += not whole or (before == after and rows != before)
    print(json.dumps({"looks": looks, "unlike": unlike}))


def median_ms(question: Callable[[], Any]) -> float:
    """Median of five runs after one."""
    question()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        question()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
