"""The speed of reading captures beside its peers, memory and start-up; the table of docs/performance.md.

    python bench/run.py --packets 100000             a quick look
    python bench/run.py --write docs/performance.md  the full size, some minutes

Every figure is a fresh process; runs of different programs are interleaved and the median counts. CPU is user plus
system time of the process and its children, as wait4(2) gives it. Where "start subtracted" is said, the same
program's time for a capture of one packet is taken off. Programs that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.make_capture import flood, mix, write
from bench.peers import free_port
from nsm.capture.reading import open_capture
from nsm.capture.writing import CaptureWriter

ROOT = Path(__file__).parents[1]
NSM = [sys.executable, "-m", "nsm"]
# Slow programs get the first packets alone: their rate does not depend on the number.
PACKETS_MAX = {"nfstream": 200_000, "tshark": 200_000, "dpkt": 100_000, "scapy": 10_000}
TIMES = 4  # how much longer the long capture is
MB = 1_000_000


class Cost(NamedTuple):
    """What one process took: seconds of wall and CPU, peak memory in bytes."""

    wall: float
    cpu: float
    peak: int


def environment(**more: str) -> dict[str, str]:
    """The environment of measured processes: byte code is kept, as it is where the program is installed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA"))}
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **more}


# Programs are started by a small process: Linux counts the peak memory of who forks into that of the program (the
# high-water mark survives exec), and this one is large.
LAUNCHER = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    task = json.loads(line)
    began = time.monotonic()
    with open(task["output"], "wb") as out:
        child = subprocess.Popen(task["command"], stdout=out, stderr=out, cwd=task["folder"], env=task["environ"])
        _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    print(json.dumps([child.returncode, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]), flush=True)
"""


class Launcher:
    """Starts programs one after another and says what each took."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child = subprocess.Popen(
            [sys.executable, "-S", "-c", LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, command: list[str], **more: str) -> Cost:
        """Run a program to its end; what it prints goes away. SystemExit when it fails."""
        output = self._folder / "output"
        task = {"command": command, "folder": str(self._folder), "output": str(output), "environ": environment(**more)}
        self._child.stdin.write(json.dumps(task) + "\n")
        self._child.stdin.flush()
        code, wall, cpu, peak = json.loads(self._child.stdout.readline())
        if code:
            text = output.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(command)} ended with {code}: {text}")
        return Cost(wall, cpu, peak)

    def close(self) -> None:
        """End the small process."""
        self._child.stdin.close()
        self._child.wait()


def captures(folder: Path, packets: int, seed: int) -> dict[str, Path]:
    """The captures by name, made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / f"{name}-{packets}-{seed}.pcap" for name in ("mix", "flood", "long", "tiny")}
    if not files["mix"].exists():
        whole(files["mix"], lambda path: write(path, mix(packets, seed)))
    if not files["flood"].exists():
        whole(files["flood"], lambda path: write(path, flood(packets, 10.0, seed)))
    if not files["long"].exists():
        whole(files["long"], lambda path: repeat(files["mix"], path, TIMES))
    if not files["tiny"].exists():
        whole(files["tiny"], lambda path: repeat(files["mix"], path, 1, 1))
    for name, limit in PACKETS_MAX.items():
        files[name] = folder / f"{name}-{packets}-{seed}.pcap"
        if not files[name].exists():
            whole(files[name], lambda path, limit=limit: repeat(files["mix"], path, 1, limit))
    return files


def whole(path: Path, make) -> None:  # type: ignore[no-untyped-def]
    """Make a file under another name first: an interrupted run must not leave half of it."""
    make(path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def repeat(source: Path, path: Path, times: int, packets_max: int = 0) -> None:
    """A capture several times, each later by 400 s: the same hosts, new flows."""
    with CaptureWriter(path, packets_max=packets_max) as writer:
        for number in range(times):
            opened = open_capture(source)
            for batch in opened.batches():
                batch.ts_ns[: batch.count] += number * 400_000_000_000
                writer.write(batch)
                if writer.full:
                    break
            opened.close()


def count_of(path: Path) -> int:
    """Packets of a capture."""
    source = open_capture(path)
    count = sum(batch.count for batch in source.batches())
    source.close()
    return count


def peers() -> dict[str, list[str]]:
    """Name -> command of what is installed; FILE stands for the capture."""
    found = {
        "softflowd": ["softflowd", "-r", "FILE", "-n", f"127.0.0.1:{free_port()}", "-d"],
        "ndpiReader": ["ndpiReader", "-q", "-i", "FILE"],
        "tshark": ["tshark", "-r", "FILE", "-q", "-z", "conv,tcp"],
    }
    present = {name: command for name, command in found.items() if shutil.which(command[0])}
    for name in ("nfstream", "dpkt", "scapy"):
        command = [sys.executable, str(ROOT / "bench" / "peers.py"), name, "FILE"]
        if subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0:
            present[name] = command
    return present


class Bench:
    """Everything measured, as medians over rounds."""

    def __init__(self, files: dict[str, Path], rounds: int, folder: Path) -> None:
        self.files, self.rounds, self.folder = files, rounds, folder
        self.launcher = Launcher(folder)
        self.peers = peers()
        self.costs: dict[str, list[Cost]] = {}
        self.stages: dict[str, list[dict[str, float]]] = {}
        self.counts = {name: count_of(path) for name, path in files.items()}

    def take(self, name: str, command: list[str], **more: str) -> None:
        """Run once and keep what it took."""
        cost = self.launcher.run(command, **more)
        self.costs.setdefault(name, []).append(cost)
        print(f"{name:28} wall {cost.wall:7.2f} s  CPU {cost.cpu:7.2f} s  peak {cost.peak / MB:7.0f} MB", flush=True)

    def stage(self, name: str) -> None:
        """The stages over one capture."""
        command = [sys.executable, str(ROOT / "bench" / "stages.py"), str(self.files[name]), str(self.files["tiny"])]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
        self.stages.setdefault(name, []).append(json.loads(done.stdout))

    def peer(self, name: str, capture: str) -> None:
        """A peer over one capture."""
        command = [word.replace("FILE", str(self.files[capture])) for word in self.peers[name]]
        self.take(f"{name} {capture}", command)

    def flows(self, capture: str) -> None:
        """Our decoding and flow table alone, in a process of its own like a peer."""
        stages = str(ROOT / "bench" / "stages.py")
        self.take(f"flows {capture}", [sys.executable, stages, "flows", str(self.files[capture])])

    def read(self, capture: str, *more: str) -> None:
        """``nsm read`` to EVE events on disk."""
        eve = str(self.folder / "events.json")
        self.take(f"nsm read {capture}", [*NSM, "read", str(self.files[capture]), "--eve", eve, "-q", *more])

    def round(self) -> None:
        """All programs once, one after another."""
        for capture in ("mix", "flood"):
            self.stage(capture)
            self.read(capture)
            self.flows(capture)
            for name in ("softflowd", "ndpiReader"):
                if name in self.peers:
                    self.peer(name, capture)
        for name in PACKETS_MAX:
            if name in self.peers:
                self.peer(name, name)
        for name in self.peers:
            self.peer(name, "tiny")
        self.read("tiny")
        self.flows("tiny")
        self.read("long")
        self.take("nsm --help", [*NSM, "--help"])

    def all(self) -> None:
        """Everything."""
        self.launcher.run([*NSM, "doctor", "--warm"])
        self.read("tiny")
        self.costs.clear()
        for _ in range(self.rounds):
            self.round()
        with tempfile.TemporaryDirectory() as empty:
            self.take("cold compile", [*NSM, "doctor", "--warm"], NSM_CACHE_DIR=empty, XDG_CACHE_HOME=empty)
        self.launcher.close()

    def median(self, name: str, field: str) -> float:
        """The median over rounds."""
        return float(statistics.median(getattr(cost, field) for cost in self.costs[name]))

    def stage_s(self, capture: str, stage: str) -> float:
        """Seconds of CPU of everything up to a stage."""
        return statistics.median(found[stage] for found in self.stages[capture])

    def program_s(self, name: str, capture: str) -> float:
        """Seconds of CPU of a program for one packet, start subtracted."""
        start = self.median(f"{name} tiny", "cpu")
        return max(self.median(f"{name} {capture}", "cpu") - start, 1e-3) / self.counts[capture]


def stage_lines(bench: Bench) -> list[str]:
    """The table of stages."""
    lines = ["| stage | ordinary mix, ns a packet | flood, ns a packet |", "| --- | ---: | ---: |"]
    before = {"mix": 0.0, "flood": 0.0}
    for stage, words in (
        ("read", "bytes into the buffer"), ("index", "where packets lie"), ("decode", "headers to columns"),
        ("flows", "flow table"), ("worker", "seconds, anomalies, ARP; rows taken as columns"),
        ("conversations", "what is said in flows, all protocols"),
    ):  # fmt: skip
        cells = []
        for capture in ("mix", "flood"):
            total = bench.stage_s(capture, stage)
            cells.append(f"{(total - before[capture]) / bench.counts[capture] * 1e9:.0f}")
            before[capture] = total
        lines.append(f"| {stage}: {words} | {cells[0]} | {cells[1]} |")
    rates = [bench.counts[name] / bench.stage_s(name, "flows") / 1e6 for name in ("mix", "flood")]
    lines.append(f"| read to flows, million packets a second of one core | {rates[0]:.2f} | {rates[1]:.2f} |")
    return lines


def ratio_lines(bench: Bench) -> list[str]:
    """The table of ratios."""
    lines = ["| measure | nsm | peer | ratio | asked |", "| --- | ---: | ---: | ---: | ---: |"]
    ours = {name: bench.program_s("flows", name) for name in ("mix", "flood")}
    for name, capture, file, asked in (
        ("softflowd", "mix", "mix", "1.5"), ("softflowd", "flood", "flood", "5"), ("ndpiReader", "mix", "mix", "8"),
        ("nfstream", "mix", "nfstream", "30"), ("dpkt", "mix", "dpkt", "-"), ("scapy", "mix", "scapy", "-"),
        ("tshark", "mix", "tshark", "-"),
    ):  # fmt: skip
        if name in bench.peers:
            theirs = bench.program_s(name, file)
            what = f"read to flows, {capture}, beside {name}, us of CPU a packet, start subtracted"
            lines.append(
                f"| {what} | {ours[capture] * 1e6:.3f} | {theirs * 1e6:.3f} | {theirs / ours[capture]:.1f} | {asked} |"
            )
    if "ndpiReader" in bench.peers:
        wall = bench.median("nsm read mix", "wall"), bench.median("ndpiReader mix", "wall")
        lines.append(
            f"| `nsm read` to EVE on disk beside ndpiReader, s of wall, start included | {wall[0]:.2f} | {wall[1]:.2f} "
            f"| {wall[1] / wall[0]:.2f} | 1.5 |"
        )
    return lines


def other_lines(bench: Bench) -> list[str]:
    """The table of start-up and memory."""
    one, long, flooded = (bench.counts[name] for name in ("mix", "long", "flood"))
    rows = [
        (f"peak memory, {one:,} packets", f"{bench.median('nsm read mix', 'peak') / MB:.0f} MB", "250 MB"),
        (f"peak memory, {long:,} packets", f"{bench.median('nsm read long', 'peak') / MB:.0f} MB", "250 MB"),
        (f"peak memory, {flooded:,} sources", f"{bench.median('nsm read flood', 'peak') / MB:.0f} MB", "250 MB"),
        ("whole `nsm read`, CPU, start subtracted", f"{whole_rate(bench):.2f} M packets/s", "-"),
        ("`nsm --help`, wall", f"{bench.median('nsm --help', 'wall') * 1e3:.0f} ms", "150 ms"),
        ("warm `nsm read` of one packet, wall", f"{bench.median('nsm read tiny', 'wall'):.2f} s", "1 s"),
        ("cold compile of all kernels, CPU", f"{bench.median('cold compile', 'cpu'):.1f} s", "20 s"),
    ]  # fmt: skip
    return [
        "| measure | found | asked at most |",
        "| --- | ---: | ---: |",
        *(f"| {a} | {b} | {c} |" for a, b, c in rows),
    ]


def whole_rate(bench: Bench) -> float:
    """Million packets a second of CPU of the whole program on the long capture."""
    cpu = bench.median("nsm read long", "cpu") - bench.median("nsm read tiny", "cpu")
    return bench.counts["long"] / cpu / 1e6


def page(bench: Bench, command: str) -> str:
    """docs/performance.md."""
    return "\n".join([
        "# Performance", "",
        "Made by", "", "```", command, "```", "",
        f"on {os.cpu_count()} cores of {platform.machine()}, Python {platform.python_version()}, "
        f"{bench.rounds} interleaved rounds, medians.",
        "Trust the ratios: they are of one run on one machine; absolute figures move with its load.", "",
        f"The mix has {bench.counts['mix']:,} packets (65 % TCP, 32 % UDP, mean about 330 bytes, "
        "one flow for every 20 packets); "
        f"the flood {bench.counts['flood']:,} SYNs, each from another source, in 10 s.",
        "Times of a peer with a smaller capture are for each packet of that capture.", "",
        "## Beside other programs", "", *ratio_lines(bench), "",
        "## Stages", "", "CPU of each stage alone, start-up left out, median of three passes in each round.", "",
        *stage_lines(bench), "",
        "## Memory and start-up", "", *other_lines(bench), "",
    ])  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--captures", type=Path, default=Path(tempfile.gettempdir()) / f"nsm-bench-{os.getuid()}")
    parser.add_argument("--write", type=Path, help="also write the page")
    given = parser.parse_args()
    files = captures(given.captures, given.packets, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(files, given.rounds, Path(folder))
        bench.all()
    text = page(
        bench, f"python bench/run.py --packets {given.packets} --rounds {given.rounds} --write docs/performance.md"
    )
    print(text)
    if given.write:
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
