"""Compaction, retention, removal and clearing: nothing is lost or doubled, and readers go on reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsm.errors import StoreError
from nsm.model.address import Networks
from nsm.model.finding import NearMiss
from nsm.store.clear import clear, clear_counts
from nsm.store.queryspec import Agg, QuerySpec
from nsm.store.reader import AlertFilter, Reader
from nsm.store.settings import StoreSettings
from nsm.store.triage import triage
from nsm.store.writer import Writer
from tests.store.compare import differences, raw_rows
from tests.store.conftest import T0_S, US, Clock, alert, batch, flows, seconds, stored

HOME = Networks(StoreSettings().home_net)
DAY_S = 86_400


def files_on_disk(directory: Path) -> int:
    return sum(1 for folder in ("spool", "seg") for path in (directory / folder).rglob("*.parquet") if path.is_file())


def key(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return sorted((row["ts"], row["flow_id"], row["src"], row["app"], row["bytes_s"]) for row in rows)


def test_a_segment_has_the_rows_of_its_batches_in_order_of_time(writer: Writer, tmp_path: Path) -> None:
    stored(writer, *(flows(100, T0_S - 50 * seq, 200, seq) for seq in range(5)))
    before = key(raw_rows(tmp_path))
    assert writer.maintain(force=True) == 1
    after = raw_rows(tmp_path)
    assert key(after) == before
    assert [row["ts"] for row in after] == sorted(row["ts"] for row in after)
    assert writer.health().open_files == 0
    assert differences(tmp_path, HOME) == []


def test_batches_wait_until_there_are_enough_rows_or_many_old_files(
    open_writer: Callable[..., Writer], clock: Clock
) -> None:
    writer = open_writer(segment_rows=1_000, spool_files_max=3)
    stored(writer, *(flows(100, seed=seq) for seq in range(4)))
    assert writer.maintain() == 0
    clock.seconds += 61
    assert writer.maintain() == 1
    writer.store([batch(50, flows(1_000))])
    assert writer.maintain() == 1


def test_many_small_segments_are_joined(open_writer: Callable[..., Writer], tmp_path: Path) -> None:
    writer = open_writer(segment_rows=1_000_000)
    for seq in range(33):
        writer.store([batch(seq, flows(3, seed=seq))])
        writer.maintain(force=True)
    assert writer.health().open_files == 0
    reader = Reader(tmp_path)
    assert reader.counts()["flow"]["files"] < 5
    assert reader.counts()["flow"]["rows"] == 99
    reader.close()


def test_replaced_files_stay_for_readers_until_their_time_has_come(
    writer: Writer, tmp_path: Path, clock: Clock
) -> None:
    stored(writer, flows(10), flows(10, seed=2))
    writer.maintain(force=True)
    assert files_on_disk(tmp_path) == 3
    clock.seconds += 119
    writer.maintain()
    assert files_on_disk(tmp_path) == 3
    clock.seconds += 2
    writer.maintain()
    assert files_on_disk(tmp_path) == 1


def test_age_is_counted_from_the_newest_row_and_whole_segments_go(
    open_writer: Callable[..., Writer], tmp_path: Path, clock: Clock
) -> None:
    writer = open_writer(flow_days=2)
    for seq, days in enumerate((9, 3, 1, 0)):
        writer.store([batch(seq, flows(10, T0_S - days * DAY_S, seed=seq))])
        writer.maintain(force=True)
    clock.seconds += 100 * DAY_S  # an old capture in a store that is opened much later
    writer.maintain()
    assert sorted({(T0_S - int(row["ts"]) // US) // DAY_S for row in raw_rows(tmp_path)}) in (
        [-1, 0],
        [0, 1],
        [-1, 0, 1],
    )
    assert len(raw_rows(tmp_path)) == 20


def test_sums_per_second_leave_first_and_the_reader_uses_the_others(
    open_writer: Callable[..., Writer], tmp_path: Path
) -> None:
    writer = open_writer(rollup_second_hours=1)
    start = (T0_S // 3600 - 10) * 3600
    rows = flows(400, start, 8 * 3600)
    stored(writer, rows)
    writer.maintain()
    reader = Reader(tmp_path)
    whole = int(rows["bytes_s"].sum() + rows["bytes_c"].sum())
    for step_s in (60, 3600):
        found = reader.series("total", [""], "bytes", start * US, (start + 8 * 3600) * US, step_s)
        assert sum(found["values"][0]) == whole
    spec = QuerySpec(start_us=start * US, stop_us=(start + 8 * 3600 + 1) * US, aggs=(Agg("sum", "bytes", "b"),))
    assert reader.query(spec).rows == [(whole,)]
    assert reader.query(spec).stats.source == "raw"  # seconds are gone there, and 8 h and 1 s is no whole minute
    reader.close()


def test_size_is_bounded_by_letting_the_oldest_segments_go(open_writer: Callable[..., Writer], tmp_path: Path) -> None:
    writer = open_writer(size_max_bytes=60_000)
    for seq in range(12):
        writer.store([batch(seq, flows(300, T0_S + seq * 20, seed=seq))])
        writer.maintain(force=True)
    rows = raw_rows(tmp_path)
    assert writer.health().bulk_bytes <= 60_000
    assert 0 < len(rows) < 3_600
    assert min(row["ts"] for row in rows) > T0_S * US + 20 * US
    assert max(row["ts"] for row in rows) >= (T0_S + 11 * 20) * US


def test_clear_counts_first_then_removes_and_keeps_what_people_worked_on(writer: Writer, tmp_path: Path) -> None:
    miss = NearMiss(detector="d", key=("k",), ts=T0_S * US, measured=1, threshold=2, window_s=1)
    writer.store([batch(1, flows(30), seconds(4), alerts=(alert(1), alert(2), alert(3)), near_misses=(miss,))])
    triage(tmp_path, ["A2"], note="keep this one")
    triage(tmp_path, ["A3"], state="done")
    counts = clear_counts(tmp_path)
    assert (counts.rows, counts.alerts, counts.alerts_kept) == (34, 1, 2)
    assert counts.start_us < counts.stop_us
    assert clear(tmp_path) == counts
    reader = Reader(tmp_path)
    assert {item["id"] for item in reader.alerts(AlertFilter()).items} == {"A2", "A3"}
    assert reader.query(QuerySpec(aggs=(Agg("count"),))).rows == [(0,)]
    assert reader.top("host", "bytes", 0, (T0_S + 100) * US) == []
    assert reader.near_misses("d", 0, 1 << 60) == []
    assert clear(tmp_path, ["alert"], keep_noted=False).alerts == 2
    assert reader.alerts(AlertFilter()).total == 0
    # The writer goes on, and a batch it knows stays known.
    assert writer.store([batch(1, flows(30)), batch(2, flows(5))]) == (True, True)
    assert len(raw_rows(tmp_path)) == 5
    assert differences(tmp_path, HOME) == []
    reader.close()


def test_clearing_an_unknown_kind_is_refused(writer: Writer, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such kind"):
        clear(tmp_path, ["flows"])


def test_rows_of_an_unusual_order_and_type_survive_compaction(writer: Writer, tmp_path: Path) -> None:
    rows = flows(50)
    rows["app"] = np.array(["naïve\n\x00", "=cmd", '"quoted"', "\u202e", ""] * 10, object)
    stored(writer, rows)
    writer.maintain(force=True)
    assert sorted(row["app"] for row in raw_rows(tmp_path)) == sorted(rows["app"].tolist())


def test_a_damaged_file_is_set_aside_and_the_others_go_on(
    writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(writer, flows(10), flows(20, seed=2), flows(40, seed=3))
    damaged = sorted((tmp_path / "spool" / "flow").iterdir())[1]
    damaged.write_bytes(damaged.read_bytes()[:-100] + b"\0" * 100)
    writer.maintain(force=True)
    assert len(raw_rows(tmp_path)) == 50
    assert (tmp_path / "quarantine" / damaged.name).exists()
    assert writer.health().files_damaged == 1
    assert f"damaged table=flow rows=20 file=spool/flow/{damaged.name}" in caplog.text


def test_a_file_that_is_gone_is_an_error_that_says_so(writer: Writer, tmp_path: Path) -> None:
    stored(writer, flows(10))
    next((tmp_path / "spool" / "flow").iterdir()).unlink()
    reader = Reader(tmp_path)
    with pytest.raises(StoreError, match="vanish"):
        reader.query(QuerySpec())
    reader.close()
