"""A full disk: bulk rows are refused and say so, alerts are kept, and it recovers by itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nsm.model.address import Networks
from nsm.store.reader import AlertFilter, Reader
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.store.compare import differences, raw_rows
from tests.store.conftest import HOUR_S, alert, batch, flows

MIB = 1 << 20
MOUNT, UMOUNT = shutil.which("mount") or "", shutil.which("umount") or ""
HOME = Networks(StoreSettings().home_net)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or not MOUNT or not UMOUNT:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run([UMOUNT, "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A file of somebody else that leaves so many bytes free."""
    path = folder / "of-somebody-else"
    stat = os.statvfs(folder)
    path.write_bytes(b"x" * (stat.f_bavail * stat.f_frsize - leave))
    return path


def open_small(folder: Path, **bounds: Any) -> Writer:
    settings = StoreSettings(
        **{"ballast_bytes": 2 * MIB, "free_min_bytes": 2 * MIB, "free_early_bytes": 3 * MIB, **bounds}
    )
    return Writer(folder, settings, background=False)


def test_below_the_limit_rows_are_refused_and_alerts_kept_until_there_is_room(small_disk: Path) -> None:
    writer = open_small(small_disk)
    assert writer.store([batch(1, flows(2_000, HOUR_S, 50))]) == (True,)
    other = fill(small_disk, MIB)
    assert writer.store([batch(2, flows(500, HOUR_S), alerts=(alert(1),)), batch(3, alerts=(alert(2),))]) == (
        False,
        True,
    )
    health = writer.health()
    assert health.state == "full"
    assert health.reason
    assert (health.batches_refused, health.rows_refused) == (1, 500)
    reader = Reader(small_disk)
    assert {item["id"] for item in reader.alerts(AlertFilter()).items} == {"A1", "A2"}
    other.unlink()
    assert writer.store([batch(2, flows(500, HOUR_S), alerts=(alert(1),))]) == (True,)
    assert writer.health().state == "ok"
    assert reader.alerts(AlertFilter()).total == 2
    assert differences(small_disk, HOME) == []
    reader.close()
    writer.close()


def test_when_a_write_fails_for_want_of_room_alerts_are_kept_by_the_ballast(small_disk: Path) -> None:
    writer = open_small(small_disk, free_min_bytes=0, free_early_bytes=0)
    assert (small_disk / "ballast").exists()
    fill(small_disk, MIB // 2)
    sent = batch(1, flows(60_000, HOUR_S, 50), alerts=(alert(1),))
    assert writer.store([sent]) == (False,)
    assert not (small_disk / "ballast").exists()
    assert writer.health().errors >= 1
    reader = Reader(small_disk)
    assert reader.alerts(AlertFilter()).total == 1
    assert raw_rows(small_disk) == []
    assert not list((small_disk / "spool").rglob("*.*"))  # nothing half written is left behind
    (small_disk / "of-somebody-else").unlink()
    assert writer.store([sent]) == (True,)
    assert writer.health().state == "ok"
    assert (small_disk / "ballast").exists()
    assert len(raw_rows(small_disk)) == 60_000
    assert sqlite3.connect(small_disk / "nsm.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    reader.close()
    writer.close()


def test_a_store_that_fills_the_disk_itself_drops_its_oldest_and_goes_on(small_disk: Path) -> None:
    writer = open_small(small_disk, size_max_bytes=1 << 40)
    answers: list[bool] = []
    for seq in range(60):
        answers += writer.store([batch(seq, flows(20_000, HOUR_S + seq, 1, seed=seq % 3))])
        if seq % 8 == 0:
            writer.maintain(force=True)
    rows = raw_rows(small_disk)
    assert answers[-1] or writer.store([batch(59, flows(20_000, HOUR_S + 59, 1))]) == (True,)
    assert 0 < len(rows) < 60 * 20_000
    newest = max(row["ts"] for row in rows)
    assert newest >= (HOUR_S + 50) * 1_000_000
    writer.close()
