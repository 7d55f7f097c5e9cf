"""Reading is a function of the packets: batches, workers, table sizes and seeds change nothing, and bad time is only odd."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nsm.capture.reading import open_capture
from nsm.errors import CaptureError
from nsm.kernels.index import TS_MAX
from nsm.output.eve import EveWriter
from nsm.pipeline import Analyst, analysed
from nsm.run.engine import Engine, engine_sections
from nsm.run.reading import Reading, event_lines, flow_rows, read
from nsm.settings.read_settings import read_settings
from nsm.track.worker import run_worker
from tests.data.detect.make import CASES, OURS, SERVER, connection, in_time
from tests.kernels.frames import (
    ACK,
    PSH,
    SYN,
    Timed,
    enhanced,
    framed,
    interface,
    ip,
    option,
    pcap,
    pcapng,
    section,
    tcp,
    tcp_ip,
    udp,
    udp_ip,
)

ROOT = Path(__file__).parents[2]
LOG: dict[str, Any] = {"flow": {}, "alert": {}, "anomaly": {}}
SMALL: dict[str, Any] = {"flow": {"records_max": 16_384, "targets_max": 16_384}}


def tunnels() -> Iterator[Timed]:
    """The same two hosts behind GRE, VXLAN, IP in IP, tags, and in fragments."""
    for number in range(120):
        inner = tcp_ip("10.9.0.1", "10.9.0.2", 1_000 + number % 7, 80, (SYN, ACK, PSH | ACK)[number % 3], b"x" * number)
        outer = (
            ip("10.1.0.1", "10.1.0.2", 47, b"\0\0\x08\0" + inner),
            udp_ip("10.1.0.1", "10.1.0.2", 5_000, 4_789, b"\x08" + bytes(7) + framed(inner)),
            ip("10.1.0.1", "10.1.0.2", 4, inner), inner, ip("10.1.0.1", "10.1.0.2", 17, bytes(64), fragment=0x2000 | number),
        )[number % 5]  # fmt: skip
        yield number * 0.3, framed(outer, vlans=(() if number % 2 else (7, 8)))


def backwards() -> Iterator[Timed]:
    """Packets of six connections, with times that run back by up to an hour and jump a week ahead."""
    for number in range(6):
        yield from connection((0, 50, 40, 3_600, 0, 604_800)[number], OURS, SERVER, 4_000 + number % 4, 80)


CAPTURES: dict[str, bytes] = {
    "scan": pcap(in_time(CASES["connect"])),
    "flood": pcap(in_time(CASES["flood_syn"])),
    "udp_scan": pcap(in_time(CASES["udp"])),
    "slow": pcap(in_time(CASES["hour"])),
    "arp": pcap(in_time(CASES["sweep_arp"])),
    "mixed": pcap(in_time(CASES["ordinary"])),
    "tunnels": pcap(list(tunnels())),
    "pcapng": pcapng(in_time(CASES["monitoring"])),
    "backwards": pcap(list(backwards())),
    "beginning of time": pcap(in_time(CASES["syn"]), base_s=0),
}


def lines(path: Path, settings: dict[str, Any] | None = None) -> list[bytes]:
    engine = Engine.of(read_settings({**SMALL, **(settings or {})}, engine_sections()))
    return list(event_lines(Reading(path, engine), EveWriter(engine.eve_options())))


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def made(name: str) -> Path:
        path = tmp_path / "a.pcap"
        path.write_bytes(CAPTURES[name])
        return path

    return made


@pytest.mark.parametrize("name", CAPTURES)
def test_batches_of_any_size_give_the_same_bytes(name: str, write: Any) -> None:
    path = write(name)
    expected = lines(path)
    assert len(expected) > 1
    assert lines(path, {"batch_packets": 1}) == expected
    assert lines(path, {"batch_packets": 100}) == expected
    assert lines(path, {"batch_packets": 65_536}) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scan", "flood", "mixed", "tunnels", "pcapng", "backwards"])
def test_two_workers_give_the_same_bytes_as_one(name: str, write: Any) -> None:
    path = write(name)
    expected = lines(path)
    assert lines(path, {"workers": 2}) == expected


@pytest.mark.parametrize("name", CAPTURES)
def test_shards_in_one_process_give_the_same_bytes(name: str, write: Any) -> None:
    path = write(name)
    engine = Engine.of(read_settings(SMALL, engine_sections()))
    parts = [
        (shard, records)
        for shard in range(3)
        for records in run_worker(open_capture(path, 50), engine.worker_settings(shard=shard, shards=3))
    ]
    assert events_of(analysed(parts, 3, engine.analyst()), engine) == lines(path, {"log": LOG})


def events_of(results: Any, engine: Engine) -> list[bytes]:
    class Given(Reading):
        def results(self) -> Any:
            return iter(results)

    options = Engine.of(read_settings({**SMALL, "log": LOG}, engine_sections())).eve_options()
    return list(event_lines(Given("none", engine), EveWriter(options)))


@pytest.mark.parametrize("name", CAPTURES)
def test_the_seed_of_the_hash_changes_nothing(name: str, write: Any) -> None:
    path = write(name)
    engine = Engine.of(read_settings(SMALL, engine_sections()))

    def run(seed: int) -> list[bytes]:
        parts = ((0, records) for records in run_worker(open_capture(path), engine.worker_settings(seed=seed)))
        analyst: Analyst = engine.analyst()
        return events_of(analysed(parts, 1, analyst), engine)

    assert run(0x1234_5678_9ABC) == run(0)


@pytest.mark.parametrize("name", ["mixed", "tunnels", "scan", "pcapng"])
def test_the_size_of_the_table_changes_nothing_that_fits(name: str, write: Any) -> None:
    path = write(name)

    def events(records: int) -> list[dict[str, Any]]:
        found = list(read(path, settings={"flow": {"records_max": records, "targets_max": 4_096}}))
        return [{**event, "nsm": {**event.get("nsm", {}), "settings_hash": ""}} for event in found]

    assert events(1 << 15) == events(1 << 17)


def test_two_readings_of_hash_randomised_processes_are_the_same(write: Any) -> None:
    path = write("scan")
    code = "import sys, json, nsm; [print(json.dumps(e)) for e in nsm.read(sys.argv[1])]"
    outs = [
        subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "src")},
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert outs[0] == outs[1]
    assert outs[0].count(b"\n") > 40


def test_a_silence_is_not_waited_out_to_say_what_went_before(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([*connection(0, OURS, SERVER, 4_000, 80), (4 * 3_600, udp(OURS, SERVER, 9, 9))]))
    first = next(event for event in read(path, settings=SMALL) if event["event_type"] == "flow")
    # Five seconds after both sides had closed, and not hours later.
    assert first["timestamp"] == "2023-11-14T22:13:26.000000+0000"


@pytest.mark.parametrize("ticks", [TS_MAX // 1_000, 2**63 // 1_000, 2**64 - 1, 2**64 // 1_000])
def test_the_end_of_time_is_read_and_left(ticks: int, tmp_path: Path) -> None:
    frame = tcp(OURS, SERVER, 1, 80, SYN)
    late = enhanced(frame, ticks)
    path = tmp_path / "a.pcapng"
    path.write_bytes(section() + interface() + enhanced(frame, 0) + late + enhanced(frame, 5_000_000) + late)
    events = list(read(path, settings=SMALL))
    assert sum(event["flow"]["pkts_toserver"] for event in events if event["event_type"] == "flow") == 4


@pytest.mark.parametrize("seconds", [2**33, -(2**33), 2**62, -1])
def test_an_absurd_offset_of_an_interface_is_only_odd(seconds: int, tmp_path: Path) -> None:
    offset = option(14, seconds.to_bytes(8, "little", signed=True))
    path = tmp_path / "a.pcapng"
    frames = b"".join(enhanced(tcp(OURS, SERVER, 1, 80, SYN), at) for at in (0, 10**6, 2**63))
    path.write_bytes(section() + interface(options=offset) + frames)
    events = list(read(path, settings=SMALL))
    assert sum(event["flow"]["pkts_toserver"] for event in events if event["event_type"] == "flow") == 3


def test_progress_at_every_moment_is_no_endless_loop(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap((number * 1.0, udp(OURS, SERVER, 9, 9)) for number in range(20)))
    assert len(flow_rows(path, settings={"flow": {**SMALL["flow"], "progress_s": 1e-9}})) == 1


def test_what_was_readable_of_a_cut_file_is_given_before_the_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(CAPTURES["mixed"][:-5])
    events = []
    with pytest.raises(CaptureError, match="cut short"):
        for event in read(path, settings=SMALL):
            events.append(event)  # noqa: PERF402 - what came before the error is the point
    assert len(events) > 100
    assert events[-1]["event_type"] == "stats"
    with pytest.raises(CaptureError, match="cut short"):
        list(read(path, settings={**SMALL, "workers": 2}))
