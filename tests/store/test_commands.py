"""The commands that read the store, as a person calls them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nsm.cli.main import run
from nsm.errors import QueryError
from nsm.store.moments import moment_us, span_us, time_text
from nsm.store.records import Capsule, HostSeen
from nsm.store.writer import Writer
from tests.store.conftest import T0_S, US, alert, batch, flows

NOW = T0_S * US


@pytest.fixture
def store(writer: Writer, tmp_path: Path) -> Path:
    rows = flows(120)
    rows["app"][:] = "=cmd"
    host = HostSeen("10.0.0.7", NOW, NOW + 5, mac="02:00:00:00:00:07", name="laptop-7")
    capsule = Capsule("A3", NOW, b"\n\r\r\npackets")
    writer.store([batch(1, rows, alerts=(alert(3), alert(4)), hosts=(host,), payloads=(capsule,))])
    return tmp_path


def call(store: Path, *arguments: str) -> int:
    return run(["--data", str(store), *arguments])


def test_query_prints_rows_of_the_filter(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(store, "query", "proto:tcp", "bytes:>1k", "--cols", "ts,src,dst,proto", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows
    assert all(row["proto"] == "TCP" and row["ts"].endswith("Z") for row in rows)
    assert list(rows[0]) == ["ts", "src", "dst", "proto"]


def test_query_groups_and_shows_its_sql(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(store, "query", "--by", "proto", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(row["count"] for row in rows) == 120
    assert [row["bytes"] for row in rows] == sorted((row["bytes"] for row in rows), reverse=True)
    assert call(store, "query", "app:x", "--sql") == 0
    assert "read_parquet" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "words"), [
    (("query", "ap:tls"), ("no field 'ap'", "character 1", "did you mean app?")),
    (("query", "--last", "soon"), ("not a duration",)),
    (("query", "--table", "flows"), ("no table", "flow")),
    (("explain", "A99"), ("no alert A99", "nsm alerts")),
    (("alerts", "done", "A99"), ("no alert A99",)),
    (("alerts", "done"), ("which alerts",)),
    (("export", "packets", "A4", "-o", "x"), ("no packets were kept",)),
    (("export", "flows", "--format", "parquet"), ("-o FILE",)),
    (("flows", "--host", "nobody"), ("no host is known as nobody",)),
])  # fmt: skip
def test_a_mistake_is_an_error_of_three_lines(
    store: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert call(store, *arguments) in (2, 3)
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "Traceback" not in error


def test_no_store_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("query", "flows", "alerts", "hosts"):
        assert call(tmp_path / "nothing", command) == 3
        assert "there is no store yet" in capsys.readouterr().err


def test_flows_of_a_host_by_name_or_address(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for host in ("laptop-7", "10.0.0.7"):
        assert call(store, "flows", "--host", host, "--json") == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert all("10.0.0.7" in line for line in found[0].splitlines())
    assert found[0]


def test_alerts_are_listed_acted_on_and_explained(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(store, "alerts", "--severity", "high+") == 0
    shown = capsys.readouterr()
    assert "Port scan number 3" in shown.out
    assert "2 alerts: 2 high" in shown.err
    assert call(store, "alerts", "done", "A3", "--note", "known scan") == 0
    capsys.readouterr()
    assert call(store, "alerts", "--state", "done", "--json") == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["A3"]
    assert call(store, "explain", "A3") == 0
    told = capsys.readouterr().out
    for part in ("What happened", "It tried 214 ports.", "threshold 25", "known scan", "Ask the owner."):
        assert part in told


def test_export_writes_every_row_in_every_form(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(store, "export", "flows") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 120
    assert {row["app"] for row in rows} == {"'=cmd"}  # no spreadsheet runs it
    assert call(store, "export", "flows", "--raw") == 0
    assert {row["app"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))} == {"=cmd"}
    assert call(store, "export", "alerts", "--format", "jsonl") == 0
    assert {json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()} == {"A3", "A4"}
    path = tmp_path / "f.parquet"
    assert call(store, "export", "flows", "proto:tcp", "--format", "parquet", "-o", str(path)) == 0
    table = pq.read_table(path)
    assert str(table.schema.field("ts").type) == "timestamp[us, tz=UTC]"
    assert set(table.column("proto").to_pylist()) == {6}
    assert call(store, "export", "packets", "A3", "-o", str(tmp_path / "a.pcapng")) == 0
    assert (tmp_path / "a.pcapng").read_bytes() == b"\n\r\r\npackets"


def test_an_empty_export_is_an_empty_file(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    assert call(store, "export", "flows", "app:nothing", "--format", "parquet", "-o", str(path)) == 0
    assert pq.read_table(path).num_rows == 0


def test_hosts_are_listed(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(store, "hosts", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "laptop-7"


NOON = moment_us("2026-11-21T12:00:00Z", 0)


@pytest.mark.parametrize(("text", "expected"), [
    ("2026-11-21T14:00:00Z", NOON + 7_200 * US), ("2026-11-21T14:00:00+02:00", NOON), ("now", NOON),
])  # fmt: skip
def test_times_as_people_write_them(text: str, expected: int) -> None:
    assert moment_us(text, NOON) == expected


def test_days_and_clock_times_are_of_the_given_zone() -> None:
    from datetime import timedelta, timezone

    zone = timezone(timedelta(hours=2))
    assert moment_us("yesterday 14:00", NOON, zone) == NOON - 86_400 * US
    assert moment_us("14:00", NOON, zone) == NOON
    assert moment_us("9:30", NOON, zone) == NOON - (4 * 60 + 30) * 60 * US
    assert time_text(NOON + 1) == "2026-11-21T12:00:00.000001Z"


def test_last_and_from_exclude_each_other() -> None:
    assert span_us("24h", None, None, NOON) == (NOON - 86_400 * US, None)
    for last, start, stop in (("24h", "now", None), ("1y", None, None), (None, "nonsense", None), (None, "now", "now")):
        with pytest.raises(QueryError):
            span_us(last, start, stop, NOON)
