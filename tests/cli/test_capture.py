"""``nsm capture``: files from files anywhere, and from a real interface where namespaces can be made."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.namespaces import Namespaces, possible
from nsm.capture.reading import open_capture
from nsm.cli import main

ROOT = Path(__file__).parents[2]
FRAME = bytes(12) + b"\x08\x00" + bytes(46)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(home)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.run(["capture", *arguments])
        out, err = capsys.readouterr()
        # Said where this version of the kernels was never compiled: that depends on who ran before.
        return code, out, err.replace("compiling kernels, once, about 15 s\n", "")

    return call


@pytest.fixture
def trace(home: Path) -> str:
    """Ten packets, one a second."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for number in range(10):
        data += struct.pack("<IIII", 1_000 + number, 7, len(FRAME), len(FRAME)) + FRAME
    path = home / "trace.pcap"
    path.write_bytes(data)
    return str(path)


def times(path: Path | str) -> list[int]:
    source = open_capture(path)
    found = [int(ts) for batch in source.batches() for ts in batch.ts_ns[: batch.count]]
    source.close()
    return found


WHOLE = [(1_000 + number) * 10**9 + 7_000 for number in range(10)]


@pytest.mark.parametrize(("name", "magic"), [("a.pcap", 0xA1B23C4D), ("a.pcapng", 0x0A0D0D0A), ("a", 0x0A0D0D0A)])
def test_the_name_says_the_form_of_the_file(run: Run, trace: str, home: Path, name: str, magic: int) -> None:
    code, out, err = run("-r", trace, "-w", name)
    assert (code, out) == (0, "")
    assert err == f"10 packets, {(home / name).stat().st_size:,} bytes: {name}\n"
    assert struct.unpack("<I", (home / name).read_bytes()[:4]) == (magic,)
    assert times(home / name) == WHOLE


def test_count_snaplen_and_ring_together(run: Run, trace: str, home: Path) -> None:
    assert run("-r", trace, "-w", "a.pcap", "--count", "7", "--snaplen", "34", "--ring", "2x100b", "-q") == (0, "", "")
    assert [path.name for path in sorted(home.glob("a*"))] == ["a.00006.pcap", "a.00007.pcap"]
    assert times(home / "a.00007.pcap") == WHOLE[6:7]
    assert (home / "a.00007.pcap").stat().st_size == 24 + 16 + 34


def test_a_new_file_every_three_seconds_of_packet_time(run: Run, trace: str, home: Path) -> None:
    assert run("-r", trace, "-w", "a.pcapng", "--rotate-time", "3s")[0] == 0
    assert [times(path) for path in sorted(home.glob("a*"))] == [WHOLE[:3], WHOLE[3:6], WHOLE[6:9], WHOLE[9:]]


def test_a_damaged_source_is_copied_up_to_the_damage(run: Run, trace: str, home: Path) -> None:
    data = Path(trace).read_bytes()
    Path(trace).write_bytes(data[:-5])
    code, _, err = run("-r", trace, "-w", "a.pcap", "-q")
    assert code == 6
    assert "cut short" in err
    assert times(home / "a.pcap") == WHOLE[:9]


def test_a_source_that_is_none_ends_with_3(run: Run, home: Path) -> None:
    (home / "x").write_text("hello")
    assert run("-r", "x", "-w", "a.pcap")[0] == 3
    assert not (home / "a.pcap").exists()


def test_an_interface_that_is_not_there_is_answered_with_those_that_are(run: Run, home: Path) -> None:
    code, _, err = run("-i", "no\x1bsuch", "-w", "a.pcap")
    assert code == 3
    assert "\x1b" not in err
    assert err.splitlines()[2].startswith("  mend:  interfaces here: ")
    assert not (home / "a.pcap").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_with_3_and_three_lines(run: Run, trace: str, home: Path) -> None:
    (home / "full.pcap").symlink_to("/dev/full")
    code, _, err = run("-r", trace, "-w", "full.pcap")
    assert code == 3
    assert [line.split(":")[0] for line in err.splitlines()] == ["nsm", "  where", "  mend"]
    assert "no space left on device" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("-i", "lo"), ("-i", "lo", "-r", "x", "-w", "y"), ("-w", "y", "--for", "ten"), ("-w", "y", "--for", "0s"),
        ("-w", "y", "--ring", "10"), ("-w", "y", "--ring", "0x1M"), ("-w", "y", "--rotate-size", "1T"),
        ("-w", "y", "--ring", "2x1M", "--rotate-size", "1M"), ("-w", "y", "--count", "0"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_with_2(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 2


@pytest.fixture(scope="module")
def lab() -> Iterator[Namespaces]:
    if os.geteuid() or not possible():
        pytest.skip("needs root and network namespaces")
    with Namespaces(2) as made:
        yield made


def start(lab: Namespaces, *arguments: str) -> subprocess.Popen[str]:
    """``nsm capture`` on host b, once it listens: the kernel lists its packet socket as bound (protocol ETH_P_ALL)."""
    child: subprocess.Popen[str] = lab.start(
        "b", sys.executable, "-m", "nsm", "capture", "-i", lab.interface("b"), *arguments,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    while not any(line.split()[3] == "0003" for line in lab.run("b", "cat", "/proc/net/packet").splitlines()[1:]):
        assert child.poll() is None, child.communicate()[1]
    return child


@pytest.mark.net
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_leaves_a_whole_file_with_everything(
    lab: Namespaces, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    path = tmp_path / "live.pcapng"
    child = start(lab, "-w", str(path), "--filter", "icmp")
    lab.run("a", "ping", "-c", "5", "-i", "0.01", lab.address("b"))
    while not path.exists() or len(times(path)) < 10:  # requests and answers
        assert child.poll() is None
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert "10 packets" in err
    assert len(times(path)) == 10


TAGGED = """
import socket, sys
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((sys.argv[1], 0))
for number in range(20):
    sender.send(b"\\xff" * 6 + b"\\x02" * 6 + b"\\x81\\x00\\x00\\x07\\x88\\xb5" + bytes([number]) * 46)
"""


@pytest.mark.net
def test_tags_that_the_kernel_took_out_are_in_the_file(lab: Namespaces, tmp_path: Path) -> None:
    path = tmp_path / "live.pcap"
    # The filter sees the frame without its tag, as the kernel does; 88b5 is for experiments (IEEE 802).
    child = start(lab, "-w", str(path), "--count", "20", "--filter", "ether proto 0x88b5")
    lab.run("a", sys.executable, "-c", TAGGED, lab.interface("a"))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    source = open_capture(path)
    frames = [batch.packet(row) for batch in source.batches() for row in range(batch.count)]
    source.close()
    expected = b"\xff" * 6 + b"\x02" * 6 + b"\x81\x00\x00\x07\x88\xb5"
    assert frames == [expected + bytes([number]) * 46 for number in range(20)]


@pytest.mark.parametrize(("size", "kept"), [("500", 6), ("100", 1), ("98", 0), ("10M", 10)])
def test_a_size_ends_it_before_the_file_is_larger(run: Run, trace: str, home: Path, size: str, kept: int) -> None:
    code, _, _ = run("-r", trace, "-w", "a.pcap", "--size", size)  # 24 bytes, then 76 for each packet
    assert code == 0
    assert times(home / "a.pcap") == WHOLE[:kept]
