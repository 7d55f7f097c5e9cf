"""``nsm read``: what a person and a script get, exit codes, and that nothing readable is lost."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nsm.cli import main
from nsm.cli.context import Context
from nsm.cli.read import Progress
from nsm.run.reading import read

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]
SYN, RST_ACK = 0x02, 0x14


def tcp(src: str, dst: str, sport: int, dport: int, flags: int) -> bytes:
    addresses = b"".join(bytes(map(int, text.split("."))) for text in (src, dst))
    segment = struct.pack(">HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 1024, 0, 0)
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + addresses + segment
    return b"\2" * 6 + b"\4" * 6 + b"\x08\x00" + packet


def udp(number: int) -> bytes:
    # 66cb: the checksum of these ten words, for Zeek's logs look at it.
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 32, 0, 0, 64, 17, 0x66CB) + bytes((10, 0, 0, 1, 10, 0, 0, 2))
    return b"\2" * 6 + b"\4" * 6 + b"\x08\x00" + packet + struct.pack(">HHHH", 40_000 + number, 9_999, 12, 0) + b"data"


def pcap(frames: list[bytes], step_us: int = 10_000) -> bytes:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for number, frame in enumerate(frames):
        seconds, part = divmod(number * step_us, 1_000_000)
        data += struct.pack("<IIII", 1_700_000_000 + seconds, part, len(frame), len(frame)) + frame
    return data


SCAN = pcap([
    frame for port in range(1, 200)
    for frame in (tcp("10.0.0.9", "10.0.0.1", 5_000, port, SYN), tcp("10.0.0.1", "10.0.0.9", port, 5_000, RST_ACK))
])  # fmt: skip
QUIET = pcap([udp(number) for number in range(12)])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home)
    (home / "scan.pcap").write_bytes(SCAN)
    (home / "quiet.pcap").write_bytes(QUIET)
    (home / "cut.pcap").write_bytes(QUIET[:-3])
    (home / "text.pcap").write_text("hello, this is no capture")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["read", *arguments])
        out, err = capsys.readouterr()
        # Said where this version of the kernels was never compiled: that depends on who ran before.
        return code, out, err.replace("compiling kernels, once, about 15 s\n", "")

    return call


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def kinds(text: str) -> list[str]:
    return [event["event_type"] for event in events(text)]


def test_without_a_terminal_it_writes_the_events_of_the_library(run: Run, home: Path) -> None:
    code, out, err = run("quiet.pcap", "-q")
    assert (code, err) == (0, "")
    assert events(out) == list(read(home / "quiet.pcap"))
    assert kinds(out) == ["flow"] * 12 + ["stats"]
    assert run("quiet.pcap", "--json", "-q")[1] == out


def test_events_go_to_a_file(run: Run, home: Path) -> None:
    _, expected, _ = run("quiet.pcap", "-q")
    for arguments in (("--eve", "e.json"), ("--json", "-o", "e.json")):
        assert run("quiet.pcap", *arguments, "-q") == (0, "", "")
        assert (home / "e.json").read_text() == expected
        (home / "e.json").unlink()


def test_several_files_follow_each_other(run: Run) -> None:
    parts = [run(name, "-q")[1] for name in ("quiet.pcap", "scan.pcap")]
    assert run("quiet.pcap", "scan.pcap", "-q")[1] == "".join(parts)


def test_any_number_of_workers_gives_the_same(run: Run) -> None:
    assert run("scan.pcap", "--workers", "2", "-q")[1] == run("scan.pcap", "-q")[1]


def test_a_person_gets_a_summary(run: Run) -> None:
    code, out, _ = run("scan.pcap", "--format", "table")
    assert code == 0
    assert out.startswith("scan.pcap: 398 packets, ")
    assert "from 2023-11-14 22:13:20 to 22:13:2" in out
    assert [line.split()[0] for line in out.splitlines() if "10.0.0." in line][:2] == ["10.0.0.1", "10.0.0.9"]
    assert "port_scan" in out
    assert "no alerts" not in out
    assert "no alerts" in run("quiet.pcap", "--format", "table")[1]


def test_flows_as_csv_have_one_header_for_all_files(run: Run, home: Path) -> None:
    code, out, _ = run("quiet.pcap", "quiet.pcap", "--format", "csv", "-q")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert len(rows) == 24
    assert {row["src_ip"] for row in rows} == {"10.0.0.1"}
    assert run("quiet.pcap", "quiet.pcap", "--format", "csv", "-q", "-o", "f.csv")[0] == 0
    assert (home / "f.csv").read_text() == out


def test_flows_as_parquet(run: Run, home: Path) -> None:
    assert run("quiet.pcap", "scan.pcap", "--format", "parquet", "-o", "f.parquet", "-q") == (0, "", "")
    assert pq.read_table(home / "f.parquet").num_rows == 12 + 199


def test_zeek_logs_go_to_a_folder(run: Run, home: Path) -> None:
    assert run("quiet.pcap", "--zeek", "logs", "-q")[0] == 0
    lines = (home / "logs" / "conn.log").read_text().splitlines()
    assert lines[0] == "#separator \\x09"
    assert sum(not line.startswith("#") for line in lines) == 12


def test_a_filter_lets_through_what_it_accepts(run: Run) -> None:
    out = run("quiet.pcap", "--filter", "src port 40003", "-q")[1]
    assert [event["src_port"] for event in events(out) if event["event_type"] == "flow"] == [40_003]
    assert run("quiet.pcap", "--filter", "nonsense port", "-q")[0] == 3


def test_netflow_comes_on_request_beside_the_rest(run: Run) -> None:
    assert sorted(set(kinds(run("quiet.pcap", "--netflow", "-q")[1]))) == ["flow", "netflow", "stats"]


def test_a_setting_of_this_run_has_an_effect(run: Run) -> None:
    assert "alert" in kinds(run("scan.pcap", "-q")[1])
    out = run("scan.pcap", "--set", "profile=suricata", "-q")[1]
    assert "alert" not in kinds(out)


def test_the_configuration_file_has_an_effect_and_its_faults_their_line(run: Run, home: Path) -> None:
    (home / "c.toml").write_text("[flow]\nudp_new_s = 0.005\n")
    data = pcap([udp(0), udp(0)])
    (home / "pair.pcap").write_bytes(data)
    assert kinds(run("pair.pcap", "-q")[1]) == ["flow", "stats"]
    assert kinds(run("pair.pcap", "-q", "--config", "c.toml")[1]) == ["flow", "flow", "stats"]
    for text in ("[flow]\n\nudp_new = 1\n", "[flow]\n\nudp_new_s = 'soon'\n", "\n\n[flo]\nx = 1\n"):
        (home / "c.toml").write_text(text)
        code, _, err = run("pair.pcap", "--config", "c.toml")
        assert code == 2
        assert "line 3" in err or "line 4" in err


@pytest.mark.parametrize(("level", "code"), [("info", 1), ("low", 1), ("critical", 0)])
def test_findings_at_or_above_the_level_end_with_1(run: Run, level: str, code: int) -> None:
    assert run("scan.pcap", "-q", "--fail-on", level)[0] == code
    assert run("quiet.pcap", "-q", "--fail-on", level)[0] == 0


def test_a_cut_capture_is_read_to_the_cut_and_ends_with_6(run: Run) -> None:
    code, out, err = run("cut.pcap", "-q")
    assert code == 6
    assert kinds(out) == ["flow"] * 11 + ["stats"]
    assert err == "nsm: cut.pcap is cut short: it ends inside packet 12\n"
    code, out, _ = run("cut.pcap", "--format", "table")
    assert (code, out.splitlines()[0].split(",")[0]) == (6, "cut.pcap: 11 packets")


def test_what_is_no_capture_ends_with_3_and_three_lines(run: Run) -> None:
    code, out, err = run("text.pcap")
    assert (code, out) == (3, "")
    assert [line.split(":")[0] for line in err.splitlines()][-3:] == ["nsm", "  where", "  mend"]
    assert "looks like text" in err


def test_one_bad_file_does_not_keep_the_others_back(run: Run) -> None:
    code, out, err = run("text.pcap", "none.pcap", "quiet.pcap", "-q")
    assert code == 6
    assert len(events(out)) == 13
    assert err.count("nsm: ") == 2
    assert run("text.pcap", "none.pcap", "-q")[0] == 3


def test_findings_outweigh_a_cut_file(run: Run, home: Path) -> None:
    (home / "cut.pcap").write_bytes(SCAN[:-3])
    assert run("cut.pcap", "-q", "--fail-on", "low")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("quiet.pcap", "--json", "--eve", "x"), ("quiet.pcap", "--format", "parquet"),
        ("quiet.pcap", "quiet.pcap", "--zeek", "x"), ("quiet.pcap", "--eve", "x", "-o", "y"),
        ("quiet.pcap", "--set", "flow.tcp_new_s"), ("quiet.pcap", "--set", "flow.tcp_nwe_s=1"),
        ("quiet.pcap", "--rules", "none.rules"), ("quiet.pcap", "--workers", "0"), ("quiet.pcap", "--fail-on", "bad"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_with_2_before_anything_is_written(run: Run, home: Path, arguments: tuple[str, ...]) -> None:
    code, out, _ = run(*arguments)
    assert (code, out) == (2, "")
    assert not (home / "x").exists()


def test_a_folder_that_is_not_there_is_said(run: Run) -> None:
    code, _, err = run("quiet.pcap", "--eve", "none/e.json", "-q")
    assert code == 3
    assert err.startswith("nsm: cannot write none/e.json: no such file or directory\n")


def test_a_name_with_a_line_end_stays_one_line(run: Run, home: Path) -> None:
    (home / "a\nb\x1b[31m.pcap").write_text("hello")
    code, _, err = run("a\nb\x1b[31m.pcap", "-q")
    assert code == 3
    assert len(err.splitlines()) == 3
    assert "\x1b" not in err


def test_the_progress_line_says_share_speed_and_rest(home: Path) -> None:
    (home / "a\x1b.pcap").write_bytes(bytes(4 << 20))
    progress = Progress(Context({}), str(home / "a\x1b.pcap"))
    progress._size, progress._octets, progress._packets = 4 << 20, 1 << 20, 3
    assert progress.text(2.0) == "reading a\\x1b.pcap 25 % 512.0 KiB/s eta 6 s"
    progress._size = 0
    assert progress.text(2.0) == "reading a\\x1b.pcap 3 packets 512.0 KiB/s"


def program(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [sys.executable, "-m", "nsm", "read", "-q", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, **options,
    )  # fmt: skip


@pytest.mark.slow
def test_standard_input_is_read_and_ctrl_c_finishes_tidily(run: Run) -> None:
    expected = run("quiet.pcap", "-q")[1]
    child = program("-", "--json", stdin=subprocess.PIPE)
    out, err = child.communicate(QUIET, timeout=120)
    assert (child.returncode, out.decode(), err) == (0, expected, b"")

    frames = pcap([udp(number) for number in range(2_000)])
    child = program("-", "--json", stdin=subprocess.PIPE)
    assert child.stdin
    child.stdin.write(frames)  # more than a pipe holds: when this is through, the program reads
    child.stdin.flush()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(frames[24:] * 20, timeout=120)
    assert (child.returncode, err) == (130, b"")
    # It did not wait for the end: 42,000 packets were sent.
    assert events(out.decode())[-1]["stats"]["decoder"]["pkts"] < 20_000
    assert kinds(out.decode())[-1] == "stats"
    assert {"flow", "stats"} == set(kinds(out.decode()))


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_it_silently(run: Run, home: Path) -> None:
    (home / "big.pcap").write_bytes(pcap([udp(number) for number in range(20_000)], step_us=1))
    child = program(str(home / "big.pcap"), "--json")
    assert child.stdout
    assert child.stderr
    child.stdout.read(10)
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(timeout=120) == 0
    child.stderr.close()
