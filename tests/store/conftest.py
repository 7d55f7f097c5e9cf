"""What the store's tests share: rows that are easy to reason about, a writer and its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsm.model.address import V4_PREFIX
from nsm.model.finding import Alert, Explain, Finding, Severity
from nsm.model.flow import FLOW
from nsm.model.table import Array, Rows
from nsm.model.traffic import SECOND
from nsm.store.records import BatchId, StoredBatch
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer

T0_S = 1_763_700_000  # a whole hour: 2025-11-21 04:40:00 UTC is not, see HOUR_S
HOUR_S = T0_S // 3600 * 3600
US = 1_000_000
APPS = np.array(["tls", "dns", "http", ""], object)


class Clock:
    """A clock that tests turn by hand; seconds."""

    def __init__(self, seconds: float = T0_S) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def flows(count: int, start_s: float = T0_S, span_s: float = 10, seed: int = 1, hosts: int = 20) -> Rows:
    """Random flows; every third is IPv6, times in no order."""
    random = np.random.default_rng(seed)
    six = random.random(count) < 0.33
    columns: dict[str, Array] = {
        "ts": (start_s * US + random.integers(0, max(1, int(span_s * US)), count)).astype(np.int64),
        "flow_id": random.integers(0, 1 << 51, count, dtype=np.uint64),
        "iface": random.integers(0, 3, count).astype(np.uint8),
        "ip_v": np.where(six, 6, 4).astype(np.uint8),
        "proto": random.choice([6, 17, 1, 132], count).astype(np.uint8),
        "src_port": random.integers(1024, 65536, count).astype(np.uint16),
        "dst_port": random.choice([443, 53, 80, 22, 8080], count).astype(np.uint16),
        "app": APPS[random.integers(0, len(APPS), count)],
        "pkts_s": random.integers(1, 50, count, dtype=np.uint64),
        "pkts_c": random.integers(0, 50, count, dtype=np.uint64),
        "bytes_s": random.integers(60, 100_000, count, dtype=np.uint64),
        "bytes_c": random.integers(0, 5_000_000, count, dtype=np.uint64),
        "dur_us": random.integers(0, 10 * US, count, dtype=np.uint64),
        "outcome": random.integers(0, 4, count).astype(np.uint8),
    }
    for side in ("src", "dst"):
        host = random.integers(1, hosts, count, dtype=np.uint64)
        columns[f"{side}_hi"] = np.where(six, np.uint64(0x2001_0DB8 << 32), np.uint64(0))
        columns[f"{side}_lo"] = np.where(six, host, np.uint64(V4_PREFIX | 10 << 24) + host)
    return Rows(FLOW, columns, count)


def seconds(count: int, start_s: int = T0_S) -> Rows:
    """One row a second for interface 1."""
    number = np.arange(count, dtype=np.uint64)
    return Rows(
        SECOND,
        {
            "ts": (start_s + np.arange(count)) * US,
            "iface": np.ones(count, np.uint8),
            "pkts": number + 1,
            "bytes": (number + 1) * 100,
            "bytes_in": (number + 1) * 60,
            "bytes_out": (number + 1) * 40,
        },
        count,
    )


def batch(seq: int, *tables: Rows, boot: str = "boot", **rest: Any) -> StoredBatch:
    """A batch of the sensor "s"."""
    return StoredBatch(batch_id=BatchId("s", boot, seq), tables=tables, **rest)


def alert(number: int = 1, *, severity: Severity = Severity.HIGH, kind: str = "network_scan", **rest: Any) -> Alert:
    """An alert that changes with its number."""
    seen = (T0_S + number) * US
    finding = Finding(
        detector="port_scan", key=(str(number),), kind=kind, signature=f"Port scan number {number}",
        signature_id=9_000_001, category="Attempted Information Leak", ts=seen, first_seen=seen,
        actors=(f"10.0.0.{number}",), victims=("10.0.1.1",), measured=214, threshold=25, unit="ports", window_s=60,
        impact=severity, confidence=0.85, src_ip=f"10.0.0.{number}", dest_ip="10.0.1.1", proto=6,
        flow_ids=(11, 12), explain=Explain("It tried 214 ports.", "Scans come first.", next=("Ask the owner.",)),
    )  # fmt: skip
    values: dict[str, Any] = {"count": 1, "first_seen": seen, "last_seen": seen, "risk": 60, **rest}
    return Alert(id=f"A{number}", finding=finding, severity=severity, **values)


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at the time of the rows."""
    return Clock(T0_S + 60)


OpenWriter = Callable[..., Writer]


@pytest.fixture
def open_writer(tmp_path: Path, clock: Clock) -> Iterator[OpenWriter]:
    """Opens writers without a background thread on ``tmp_path``; closed at the end."""
    opened: list[Writer] = []

    def open_one(**settings: Any) -> Writer:
        settings.setdefault("ballast_bytes", 0)
        settings.setdefault("free_min_bytes", 0)
        settings.setdefault("free_early_bytes", 0)
        opened.append(Writer(tmp_path, StoreSettings(**settings), clock=clock, background=False))
        return opened[-1]

    yield open_one
    for writer in opened:
        writer.close()


@pytest.fixture
def writer(open_writer: OpenWriter) -> Writer:
    """A writer with default bounds on ``tmp_path``."""
    return open_writer()


def stored(writer: Writer, *tables: Rows) -> None:
    """Store each of the rows as a batch."""
    answers: Sequence[bool] = writer.store([batch(seq + 1, rows) for seq, rows in enumerate(tables)])
    if not all(answers):
        pytest.fail("a batch was refused")
