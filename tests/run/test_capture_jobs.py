"""The jobs "read" and "record": what a capture holds is found as ``nsm read`` finds it, apart from the live history."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

import nsm
from nsm.errors import CaptureError, NsmError, QueryError
from nsm.run.job_runner import JobRunner
from nsm.run.jobs import read, record
from nsm.run.work import JobSpec, Teller
from nsm.store.captures import EVENTS, REPORT, CaptureShelf, CapturesSettings, Found, Kept
from nsm.store.jobs import DONE, FAILED, JobStore
from nsm.store.reader import AlertFilter, Reader
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap

FRAMES = in_time(CASES["connect"])
DATA = pcap(FRAMES)
SILENT = Teller(lambda _kind, _header: None)


def kept(folder: Path, data: bytes, name: str = "x.pcap", form: str = "pcap") -> tuple[CaptureShelf, str]:
    shelf = CaptureShelf(folder, CapturesSettings())
    number = shelf.new_id()
    shelf.upload(number).write_bytes(data)
    shelf.keep(Kept(number, name, "ann", 1, form, 0), shelf.upload(number))
    return shelf, number


def work(folder: Path, number: str, **values: Any) -> str:
    text, _ = read.work({"task": {"capture": number}, "data": str(folder), "who": "ann", "values": values}, SILENT)
    return text


def found_in(folder: Path, data: bytes, **values: Any) -> Found:
    shelf, number = kept(folder, data)
    work(folder, number, **values)
    found = shelf.found(number)
    assert found is not None
    return found


def events_of(shelf: CaptureShelf, number: str) -> list[dict[str, Any]]:
    path = shelf.product(number, EVENTS)
    assert path is not None
    return [orjson.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_a_process_finds_what_nsm_read_finds_and_leaves_the_history_alone(tmp_path: Path) -> None:
    async def ended() -> Any:
        store, told = JobStore(tmp_path), []

        async def tell(_kind: str, header: dict[str, Any]) -> None:
            told.append(header["job"]["progress"].get("stage"))

        runner = JobRunner({"read": read.SPEC}, store, {"data": str(tmp_path), "values": {}}, tell)
        runner.start("read", "x", {"capture": number}, "ann")
        async with asyncio.timeout(60):
            await asyncio.gather(*runner._tasks)
        (job,) = store.jobs()
        store.close()
        assert {"reading packets", "writing the report"} <= set(told)
        return job

    shelf, number = kept(tmp_path, gzip.compress(DATA), "<b>.pcap.gz", "pcap.gz")
    job = asyncio.run(ended())
    assert (job.state, job.text) == (DONE, "89 packets, 41 flows, 1 alert")
    plain = tmp_path / "plain.pcap"
    plain.write_bytes(DATA)
    expected = list(nsm.read(plain))
    assert [one | {"pcap_filename": ""} for one in events_of(shelf, number)] == [
        one | {"pcap_filename": ""} for one in expected
    ]
    found = shelf.found(number)
    assert found is not None
    alert = next(event for event in expected if event["event_type"] == "alert")
    assert (found.packets, found.flows, found.events, found.by_severity) == (89, 41, len(expected), {"medium": 1})
    assert found.alerts[0]["title"] == alert["alert"]["signature"]
    assert found.applications[0] == {"name": "tcp", "flows": 40, "packets": 88, "bytes": 4_752}
    report = shelf.product(number, REPORT)
    assert report is not None
    page = report.read_text()
    assert "Capture &lt;b&gt;.pcap.gz" in page
    assert "203.0.113.7 tried 32 different ports" in page
    reader = Reader(tmp_path)
    assert reader.alerts(AlertFilter()).total == 0
    assert reader.hosts(0, 10) == []
    reader.close()
    assert not list(shelf.folder.glob("*.work"))


def test_a_capture_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    found = found_in(tmp_path, DATA[:-10])
    assert found.packets == 88
    assert found.problem == "x.pcap is cut short: it ends inside packet 89"
    assert found.products.keys() == {EVENTS, REPORT}


@pytest.mark.parametrize(
    "data", [DATA[:20], DATA[:4] + os.urandom(5_000), gzip.compress(b"")], ids=["short", "noise", "gz"]
)
def test_what_cannot_be_read_at_all_is_one_line_without_a_path(tmp_path: Path, data: bytes) -> None:
    _, number = kept(tmp_path, data)
    with pytest.raises(CaptureError) as caught:
        work(tmp_path, number)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seconds", [0, 1, (1 << 32) - 1])
def test_impossible_times_give_no_report_and_say_so(tmp_path: Path, seconds: int) -> None:
    frame = FRAMES[0][1][:60].ljust(60, b"\0")
    times = sorted((seconds, 1_700_000_000))
    found = found_in(tmp_path, DATA[:24] + b"".join(struct.pack("<IIII", at, 0, 60, 60) + frame for at in times))
    assert found.report_problem in ("its packets have impossible times", "its packets span more than 92 days")
    assert found.products.keys() == {EVENTS}
    assert found.packets == 2


def test_an_empty_capture_has_nothing_and_says_so(tmp_path: Path) -> None:
    found = found_in(tmp_path, DATA[:24])
    assert (found.packets, found.flows, found.report_problem) == (0, 0, "there are no packets")


def test_events_end_at_their_bound_and_are_counted(tmp_path: Path) -> None:
    events = read.Events(tmp_path / "e", 1)
    for number in range(3):
        events.write(b"%d" % number)
    events.close()
    assert (events.written, events.left_out) == (0, 3)  # the header of gzip is a byte or more


def test_settings_of_the_service_count(tmp_path: Path) -> None:
    calm = {f"detect.port_scan.{name}_ports": 1_000 for name in ("burst", "minute", "hour", "day")}
    assert found_in(tmp_path, DATA, **calm).alerts_count == 0


def test_one_that_was_removed_leaves_nothing(tmp_path: Path) -> None:
    shelf, number = kept(tmp_path, DATA)

    def remove(_kind: str, _header: dict[str, Any]) -> None:
        shelf.remove(number)

    task = {"task": {"capture": number}, "data": str(tmp_path), "who": "ann", "values": {}}
    with pytest.raises(QueryError, match="was removed while it was read"):
        read.work(task, Teller(remove))
    with pytest.raises(QueryError, match="there is no capture"):
        read.work(task, SILENT)
    assert shelf.used() == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"iface": "nowhere0"}, "there is no interface nowhere0"), ({"iface": "../lo"}, "no interface is named"),
        ({"iface": "a\0b"}, "there is no interface"), ({"filter": "tcp prot 1"}, "the filter 'tcp prot 1' is not"),
        ({"filter": "vlan 3"}, "the filter word 'vlan' does not work"), ({"seconds": 0}, "a recording lasts"),
        ({"bytes_max": 1}, "at least 1,000 bytes"), ({"snaplen": 1}, "64 to 262144 bytes"),
        ({"form": "erf"}, "there is no format 'erf'"), ({"more": 1}, "not a recording"), ({"seconds": "x"}, "not a recording"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_before_it_begins(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(NsmError, match=said):
        record.check({"iface": "lo", **wrong})


def test_without_the_privilege_a_recording_fails_in_one_line(tmp_path: Path) -> None:
    async def ended() -> Any:
        store = JobStore(tmp_path)

        async def tell(_kind: str, _header: dict[str, Any]) -> None:
            pass

        plain = JobSpec(kind="record", module=record.SPEC.module, check=record.check)
        runner = JobRunner({"record": plain}, store, {"data": str(tmp_path), "values": {}}, tell)
        runner.start("record", "x", {"iface": "lo"}, "ann")
        async with asyncio.timeout(60):
            await asyncio.gather(*runner._tasks)
        (job,) = store.jobs()
        store.close()
        return job

    job = asyncio.run(ended())
    assert (job.state, job.text) == (FAILED, "cannot capture on lo: permission denied")
    assert CaptureShelf(tmp_path, CapturesSettings()).used() == 0


def test_the_supervisor_checks_tasks_without_loading_engine_or_store() -> None:
    program = (
        "import sys, json; from nsm.run.jobs import read, record;"
        "record.check({'iface': 'lo', 'filter': 'tcp'}); read.check({'capture': 'x'});"
        "print(json.dumps(sorted({'duckdb', 'pyarrow', 'numba', 'nsm.pipeline'} & set(sys.modules))))"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(nsm.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environ, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
