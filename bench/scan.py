"""How long a scan takes and whether it finds every open port, beside nmap in one run.

    sudo PYTHONPATH=. python bench/scan.py [--rounds 3] [--repeats 10] [--loss 0,1,5] [--only syn,connect,hosts,v6,exact]

Two network namespaces on one machine, 25 open ports of 65,535 (16 hosts: 1,024 ports each), loss on the target's input
by nftables, checked by its own counter. The loss of a row is the same for both tools. Times are of the whole program
from start to end, seconds, medians; ours counts the start of Python (about .3 s), and in brackets without it.
Targets: syn 1.0 times nmap -sS without loss, .3 times with 5 %; connect 1.3 times and .5 times nmap -sT; open ports equal.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Final

from lab.namespaces import Namespaces

LISTENERS: Final = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
kept = []
for port in map(int, sys.argv[1].split(",")):
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    sock.listen(128)
    kept.append(sock)
print("up", flush=True)
time.sleep(86400)
"""
OPEN: Final = sorted({22, 80, 443, 1000, *range(1_999, 65_535, 3_000), 65_535})[:25]
TABLE: Final = "nsmbench"
DATA: Final = tempfile.TemporaryDirectory(prefix="nsm-bench-")
HOSTS: Final = [f"10.77.0.{number}" for number in range(20, 36)]


class Row:
    """One measurement: name, what was asked, and a run of each tool that gives (seconds, own seconds, open ports)."""

    def __init__(self, name: str, loss: int, ours: list[str], theirs: list[str], bound: float) -> None:
        self.name, self.loss, self.ours, self.theirs, self.bound = name, loss, ours, theirs, bound


def set_loss(lab: Namespaces, percent: int) -> None:
    """Drop so many of a hundred packets that come to the target, and count them."""
    subprocess.run(
        ["ip", "netns", "exec", lab.name("b"), "nft", "delete", "table", "inet", TABLE],
        capture_output=True,
        check=False,
    )
    if percent:
        lab.run("b", "nft", "add", "table", "inet", TABLE)
        lab.run("b", "nft", "add", "chain", "inet", TABLE, "i", "{ type filter hook input priority 0; }")
        lab.run("b", "nft", "add", "rule", "inet", TABLE, "i", "meta", "l4proto", "tcp", "counter")
        rule = f"meta l4proto tcp numgen random mod 100 < {percent} counter drop"
        lab.run("b", "nft", "add", "rule", "inet", TABLE, "i", *rule.split())


def loss_seen(lab: Namespaces) -> float:
    """The share that was dropped, by the counters of the rules."""
    listing = lab.run("b", "nft", "list", "table", "inet", TABLE)
    seen, dropped = (int(number) for number in re.findall(r"packets (\d+)", listing))
    return dropped / max(seen, 1)


def ours(lab: Namespaces, arguments: list[str]) -> tuple[float, float, set[tuple[str, int]]]:
    """Run our command; (seconds, seconds without the program's start, open (address, port))."""
    began = time.monotonic()
    done = subprocess.run(
        ["ip", "netns", "exec", lab.name("a"), sys.executable, "-m", "nsm", "scan", "--rate", "max", "--json", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "NSM_DATA": DATA.name},
    )  # fmt: skip
    seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"our scan failed: {done.stderr}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = {(row["address"], int(row["port"].split("/")[0])) for row in rows if row["state"] == "open"}
    own = re.search(r"probes in ([\d.]+) s", done.stderr)
    return seconds, float(own[1]) if own else seconds, found


def theirs(lab: Namespaces, arguments: list[str]) -> tuple[float, float, set[tuple[str, int]]]:
    """Run nmap; the same."""
    began = time.monotonic()
    done = subprocess.run(
        ["ip", "netns", "exec", lab.name("a"), "nmap", "-n", "-Pn", "-T4", "-oG", "-", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.monotonic() - began
    found = {
        (line.split()[1], int(port))
        for line in done.stdout.splitlines()
        if "Ports: " in line
        for port in re.findall(r"(\d+)/open/", line)
    }
    return seconds, seconds, found


def rows_for(lab: Namespaces, only: set[str], losses: list[int]) -> list[Row]:
    """All measurements that are wanted."""
    b4, b6 = lab.address("b"), lab.address("b", 6)
    all_ports, first = ["--no-discovery", "--ports", "1-65535"], ["--no-discovery", "--ports", "1-1024"]
    rows = []
    for loss in losses:
        syn, connect = (1.0, 1.3) if not loss else (0.3, 0.5) if loss == 5 else (1.0, 1.3)
        if "syn" in only:
            rows.append(Row("SYN, 65,535 ports", loss, [b4, *all_ports], ["-sS", "-p-", b4], syn))
        if "connect" in only:
            rows.append(
                Row("connect, 65,535 ports", loss, [b4, *all_ports, "--method", "connect"], ["-sT", "-p-", b4], connect)
            )
        if "v6" in only:
            rows.append(Row("SYN, 65,535 ports, IPv6", loss, [b6, *all_ports], ["-6", "-sS", "-p-", b6], syn))
            if not loss:
                rows.append(
                    Row(
                        "connect, 65,535, IPv6",
                        loss,
                        [b6, *all_ports, "--method", "connect"],
                        ["-6", "-sT", "-p-", b6],
                        1.3,
                    )
                )
        if "hosts" in only:
            rows.append(Row("SYN, 16 hosts x 1,024", loss, [*HOSTS, *first], ["-sS", "-p", "1-1024", *HOSTS], syn))
            rows.append(
                Row(
                    "connect, 16 x 1,024", loss, [*HOSTS, *first, "--method", "connect"],
                    ["-sT", "-p", "1-1024", *HOSTS], connect,
                )
            )  # fmt: skip
    return rows


def measure(lab: Namespaces, row: Row, rounds: int) -> str:
    """One row of the table."""
    set_loss(lab, row.loss)
    times: dict[str, list[float]] = {"ours": [], "own": [], "theirs": []}
    same = 0
    for _ in range(rounds):
        whole, own, mine = ours(lab, row.ours)
        nmap, _, other = theirs(lab, row.theirs)
        times["ours"].append(whole)
        times["own"].append(own)
        times["theirs"].append(nmap)
        same += mine == other
    loss = f"{loss_seen(lab):.1%}" if row.loss else "0"
    set_loss(lab, 0)
    whole, own, nmap = (statistics.median(times[key]) for key in ("ours", "own", "theirs"))
    met = "yes" if own <= row.bound * nmap else "no"
    return (
        f"| {row.name} | {loss} | {whole:.2f} ({own:.2f}) | {nmap:.2f} | {own / nmap:.2f} | {row.bound} | {met} "
        f"| {same} of {rounds} |"
    )


def exactness(lab: Namespaces, repeats: int, losses: list[int]) -> None:
    """Whether the open ports are the ones that listen, in every run."""
    print("\n| method | loss | runs with exactly the open ports |\n| --- | --- | --- |")
    address = lab.address("b")
    for method in ("syn", "connect"):
        for loss in losses:
            set_loss(lab, loss)
            right = 0
            for _ in range(repeats):
                found = ours(lab, [address, "--no-discovery", "--ports", "1-65535", "--method", method])[2]
                right += {port for _, port in found} == set(OPEN)
            set_loss(lab, 0)
            print(f"| {method} | {loss} % | {right} of {repeats} |", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--loss", default="0,1,5", help="percent, of the target's input")
    parser.add_argument("--only", default="syn,connect,hosts,v6,exact")
    given = parser.parse_args()
    only = set(given.only.split(","))
    losses = [int(text) for text in given.loss.split(",")]
    with Namespaces(2) as lab:
        for address in HOSTS:
            lab.run("b", "ip", "addr", "add", f"{address}/24", "dev", lab.interface("b"))
        child = lab.start("b", sys.executable, "-c", LISTENERS, ",".join(map(str, OPEN)), stdout=subprocess.PIPE)
        if child.stdout is not None:
            child.stdout.readline()
        print("| scan | loss | nsm s (own) | nmap s | ratio | asked | met | same open ports |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in rows_for(lab, only, losses):
            print(measure(lab, row, given.rounds), flush=True)
        if "exact" in only:
            exactness(lab, given.repeats, losses)


if __name__ == "__main__":
    main()
