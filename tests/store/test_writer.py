"""Writing: a batch is kept once or not at all; alerts are brought up to date; one process writes."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import StoreError
from nsm.model.finding import NearMiss, Severity
from nsm.store import batches
from nsm.store.database import open_database
from nsm.store.findings import open_alerts
from nsm.store.reader import AlertFilter, Reader
from nsm.store.records import BatchId, Capsule, Gap, HostSeen
from nsm.store.settings import StoreSettings
from nsm.store.triage import triage
from nsm.store.writer import Writer
from tests.store.compare import raw_rows
from tests.store.conftest import T0_S, US, alert, batch, flows, seconds


def bulk_files(directory: Path) -> list[Path]:
    return sorted(path for folder in ("spool", "seg") for path in (directory / folder).rglob("*") if path.is_file())


def test_a_batch_sent_again_is_stored_once_and_no_file_is_touched(writer: Writer, tmp_path: Path) -> None:
    sent = batch(1, flows(50), seconds(3), alerts=(alert(),))
    assert writer.store([sent, sent]) == (True, True)
    files = bulk_files(tmp_path)
    assert len(files) == 2
    assert writer.store([sent]) == (True,)
    assert bulk_files(tmp_path) == files
    assert len(raw_rows(tmp_path)) == 50
    assert writer.health().batches_known == 2


def test_what_is_read_back_is_what_was_sent(writer: Writer, tmp_path: Path) -> None:
    rows = flows(200)
    writer.store([batch(1, rows)])
    read = sorted(raw_rows(tmp_path), key=lambda row: (row["ts"], row["flow_id"]))
    order = sorted(range(200), key=lambda index: (rows["ts"][index], rows["flow_id"][index]))
    for column in rows.table.stored:
        assert [row[column.name] for row in read] == [rows[column.name][index] for index in order], column.name


def test_several_batches_share_one_commit_and_what_comes_with_them(writer: Writer, tmp_path: Path) -> None:
    miss = NearMiss(detector="port_scan", key=("10.0.0.1",), ts=T0_S * US, measured=9, threshold=25, window_s=60)
    host = HostSeen("10.0.0.7", T0_S * US, T0_S * US, mac="02:00:00:00:00:07", name="laptop-7")
    later = HostSeen("10.0.0.7", (T0_S + 5) * US, (T0_S + 9) * US)
    gap = Gap(T0_S * US, (T0_S + 4) * US, "worker", "restarted", 12)
    answers = writer.store([
        batch(1, flows(10), near_misses=(miss,), hosts=(host, later), gaps=(gap,), watermark=5),
        batch(2, payloads=(Capsule("A1", T0_S * US, b"packets"),), alerts=(alert(),), watermark=3),
    ])  # fmt: skip
    assert answers == (True, True)
    reader = Reader(tmp_path)
    assert [found["measured"] for found in reader.near_misses("port_scan", 0, 1 << 60)] == [9]
    assert reader.hosts() == [{"address": "10.0.0.7", "mac": "02:00:00:00:00:07", "name": "laptop-7", "local": True,
                               "first_seen": T0_S * US, "last_seen": (T0_S + 9) * US}]  # fmt: skip
    assert reader.gaps() == [gap]
    assert reader.capsule("A1") == b"packets"
    assert reader.capsule("A2") is None
    assert writer.watermark("s") == 5
    reader.close()


def test_a_newer_revision_replaces_an_alert_and_an_older_one_does_not(writer: Writer, tmp_path: Path) -> None:
    seen = (T0_S + 90) * US
    writer.store([batch(1, alerts=(alert(rev=2, count=8, last_seen=seen),))])
    writer.store([batch(2, alerts=(alert(rev=1),))])
    reader = Reader(tmp_path)
    assert reader.alerts(AlertFilter()).items[0]["count"] == 8
    writer.store([batch(3, alerts=(alert(rev=3, count=9, last_seen=seen, severity=Severity.CRITICAL),))])
    assert [(item["count"], item["severity"]) for item in reader.alerts(AlertFilter()).items] == [(9, "critical")]
    reader.close()


def test_an_alert_that_is_over_is_so_in_the_store_unless_a_person_dealt_with_it(writer: Writer, tmp_path: Path) -> None:
    def state() -> str:
        reader = Reader(tmp_path)
        found = reader.alert("A1")
        reader.close()
        return str(found and found["state"])

    seen = []
    for seq, (word, ended) in enumerate((("new", 0), ("over", 5), ("new", 0)), 1):
        writer.store([batch(seq, alerts=(alert(rev=seq, state=word, ended=ended),))])
        seen.append((state(), [one.id for one in open_alerts(tmp_path, alert().finding.detector)]))
    assert seen == [("new", ["A1"]), ("over", []), ("new", ["A1"])]
    triage(tmp_path, ["A1"], state="escalated")
    assert open_alerts(tmp_path, alert().finding.detector)  # a person's state does not end it
    writer.store([batch(4, alerts=(alert(rev=4, state="over", ended=5),))])
    assert (state(), open_alerts(tmp_path, alert().finding.detector)) == ("escalated", [])


def test_what_a_person_made_of_an_alert_is_never_overwritten(writer: Writer, tmp_path: Path) -> None:
    writer.store([batch(1, alerts=(alert(),))])
    assert triage(tmp_path, ["A1"], state="done", note="known scan", who="ann", clock=lambda: T0_S) == 1
    writer.store([batch(2, alerts=(alert(rev=2, count=5),))])
    reader = Reader(tmp_path)
    found = reader.alert("A1")
    reader.close()
    assert found is not None
    assert (found["state"], found["count"]) == ("done", 5)
    assert found["notes"] == [{"ts": T0_S * US, "who": "ann", "state": "done", "text": "known scan"}]


def test_triage_of_an_unknown_alert_changes_none(writer: Writer, tmp_path: Path) -> None:
    writer.store([batch(1, alerts=(alert(),))])
    with pytest.raises(StoreError, match="no alert A9"):
        triage(tmp_path, ["A1", "A9"], state="done")
    with pytest.raises(StoreError, match="no state"):
        triage(tmp_path, ["A1"], state="finished")
    reader = Reader(tmp_path)
    found = reader.alert("A1")
    reader.close()
    assert found is not None
    assert found["state"] == "new"


def test_capsules_are_bounded_in_size_and_number_and_counted(
    open_writer: Callable[..., Writer], tmp_path: Path
) -> None:
    writer = open_writer(capsules_per_second_max=2, capsule_bytes_max=10)
    capsules = [Capsule(f"A{number}", T0_S * US + number, b"x" * 10) for number in range(4)]
    large = Capsule("A9", (T0_S + 1) * US, b"x" * 11)
    writer.store([batch(1, payloads=(*capsules, large))])
    reader = Reader(tmp_path)
    assert [reader.capsule(f"A{number}") is not None for number in (0, 1, 2, 3, 9)] == [True, True, False, False, False]
    assert writer.health().capsules_dropped == 3
    reader.close()


def test_a_second_writer_is_refused_and_told_who_holds_the_store(writer: Writer, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from nsm.store.writer import Writer;"
        "from nsm.store.settings import StoreSettings; from nsm.errors import StoreError\n"
        "try: Writer(Path(sys.argv[1]), StoreSettings())\n"
        "except StoreError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    assert f"pid {os.getpid()}" in done.stdout


def test_a_store_of_a_newer_version_is_refused_with_a_way_out(writer: Writer, tmp_path: Path) -> None:
    writer.close()
    connection = sqlite3.connect(tmp_path / "nsm.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    for opened in (open_database, Reader):
        with pytest.raises(StoreError, match="newer version") as caught:
            opened(tmp_path)
        assert "upgrade" in caught.value.mend


def test_no_store_and_a_damaged_one_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store yet"):
        Reader(tmp_path)
    (tmp_path / "nsm.db").write_bytes(b"this is not a database, whatever its name says" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        Reader(tmp_path)


def test_only_the_owner_may_look_into_the_store(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    writer = Writer(directory, StoreSettings(ballast_bytes=0), background=False)
    writer.store([batch(1, flows(5), payloads=(Capsule("A1", T0_S * US, b"x"),))])
    writer.maintain(force=True)
    writer.close()
    for path in [directory, *directory.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_start_removes_files_nobody_registered_and_drops_missing_ones(
    open_writer: Callable[..., Writer], tmp_path: Path
) -> None:
    first = open_writer()
    first.store([batch(1, flows(10)), batch(2, flows(7, seed=2))])
    first.close()
    kept, gone = bulk_files(tmp_path)
    for name in ("000000000009-dead.tmp", "000000000009-beef.parquet"):
        (tmp_path / "spool" / "flow" / name).write_bytes(b"half")
    gone.unlink()
    open_writer()
    assert bulk_files(tmp_path) == [kept]
    assert len(raw_rows(tmp_path)) in (10, 7)


def test_settings_and_interfaces_are_kept(writer: Writer, tmp_path: Path) -> None:
    writer.note_settings("abc", {"detect.port_scan.ports_min": 25})
    writer.note_settings("abc", {"detect.port_scan.ports_min": 99})
    writer.set_interfaces({1: "eth0", 2: "wlan0"})
    reader = Reader(tmp_path)
    assert [entry["settings"] for entry in reader.settings_history()] == [{"detect.port_scan.ports_min": 25}]
    assert reader.interfaces() == {1: "eth0", 2: "wlan0"}
    reader.close()


@given(st.lists(st.integers(0, 40), max_size=80))
def test_ranges_know_exactly_the_batches_they_were_told(seqs: list[int]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE TABLE batch_range(sensor, boot_id, first INTEGER, last INTEGER, at_us,"
        " PRIMARY KEY(sensor, boot_id, first))"
    )
    told: set[int] = set()
    for seq in seqs:
        one = BatchId("s", "b", seq)
        assert batches.is_known(connection, one) == (seq in told)
        if seq not in told:
            batches.remember(connection, one, 0)
            told.add(seq)
    assert {seq for seq in range(42) if batches.is_known(connection, BatchId("s", "b", seq))} == told
    assert not batches.is_known(connection, BatchId("s", "other", 0))
    ranges = connection.execute("SELECT count(*) FROM batch_range").fetchone()[0]
    assert ranges == sum(1 for seq in told if seq - 1 not in told)
    connection.close()


def test_an_alert_reads_back_as_it_was_told(writer: Writer, tmp_path: Path) -> None:
    one = alert(3, settings_hash="ff")
    writer.store([batch(1, alerts=(one,))])
    reader = Reader(tmp_path)
    found = reader.alert("A3")
    reader.close()
    assert found is not None
    assert found["finding"] == msgspec.json.decode(msgspec.json.encode(one.as_dict()["finding"]))
