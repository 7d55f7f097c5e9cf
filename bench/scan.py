"""How long a scan takes and whether it finds every open port, beside nmap in one run.

    sudo PYTHONPATH=. python bench/scan.py [--rounds 3] [--repeats 10] [--loss 0,1,5] [--only syn,connect,hosts,v6,udp,exact]

Two network namespaces on one machine, 25 open ports of 65,535 (16 hosts: 1,024 ports each), loss on the target's input
by nftables, checked by its own counter. The loss of a row is the same for both tools. Times are of the whole program
from start to end, seconds, medians; ours counts the start of Python, and in brackets without it. The limit that Linux
puts on ICMP (one a second to a host) is taken off for UDP, which else measures nothing but that.
Targets: syn 1.0 times nmap -sS without loss, .3 times with 5 %; connect 1.3 times and .5 times nmap -sT; open ports equal.
"""

from __future__ import annotations

import argparse
import ipaddress
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
import resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
kept = []
for port in map(int, sys.argv[1].split(",")):
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    sock.listen(128)
    sock.setblocking(False)
    kept.append(sock)
print("up", flush=True)
poll = select.poll()
accepting = {sock.fileno(): sock for sock in kept}  # one that never accepts is full after some scans
for number in accepting:
    poll.register(number, select.POLLIN)
answering = {}
for port in map(int, sys.argv[2].split(",")):
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind(("::", port))
    answering[sock.fileno()] = sock
    poll.register(sock, select.POLLIN)
while True:
    for number, _ in poll.poll():
        if number in accepting:
            try:
                accepting[number].accept()[0].close()
            except OSError:
                pass
            continue
        sock = answering[number]
        sock.sendto(b"x", sock.recvfrom(2048)[1])
"""
UDP_OPEN: Final = [7, 19, 53, 69, 88, 111, 123, 137, 161, 177]
OPEN: Final = sorted({22, 80, 443, 1000, *range(1_999, 65_535, 3_000), 65_535})[:25]
TABLE: Final = "nsmbench"
DATA: Final = tempfile.TemporaryDirectory(prefix="nsm-bench-")
HOSTS: Final = [f"10.77.0.{number}" for number in range(20, 36)]


class Row:
    """One measurement: name, loss, the arguments of both tools, the ratio that is asked, and what really is open."""

    def __init__(
        self, name: str, loss: int, ours: list[str], theirs: list[str], bound: float, truth: set[tuple[str, int]]
    ) -> None:
        self.name, self.loss, self.ours, self.theirs, self.bound, self.truth = name, loss, ours, theirs, bound, truth


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
        lab.run("b", "nft", "add", "rule", "inet", TABLE, "i", "meta", "l4proto", "{ tcp, udp }", "counter")
        rule = f"meta l4proto {{ tcp, udp }} numgen random mod 100 < {percent} counter drop"
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
        [
            *("ip", "netns", "exec", lab.name("a"), sys.executable, "-m", "nsm", "scan"),
            *("--rate", "max", "--no-services", "--json", *arguments),
        ],
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


def bound_of(method: str, loss: int) -> float:
    """The share of nmap's time that is asked."""
    plain, lossy = {"SYN": (1.0, 0.3), "connect": (1.3, 0.5), "UDP": (1.0, 1.0)}[method]
    return lossy if loss >= 5 else plain


def rows_for(lab: Namespaces, only: set[str], losses: list[int]) -> list[Row]:
    """All measurements that are wanted."""
    b4, b6 = lab.address("b"), str(ipaddress.ip_address(lab.address("b", 6)))
    rows = []
    for loss in losses:
        for method, ours_method, theirs_method in (("SYN", "syn", "-sS"), ("connect", "connect", "-sT")):
            bound, how = bound_of(method, loss), ["--no-discovery", "--method", ours_method]
            if ours_method in only:
                mine, other = [b4, *how, "--ports", "1-65535"], [theirs_method, "-p-", b4]
                rows.append(Row(f"{method}, 65,535 ports", loss, mine, other, bound, {(b4, port) for port in OPEN}))
            if "v6" in only:
                mine, other = [b6, *how, "--ports", "1-65535"], ["-6", theirs_method, "-p-", b6]
                rows.append(
                    Row(f"{method}, 65,535 ports, IPv6", loss, mine, other, bound, {(b6, port) for port in OPEN})
                )
            if "hosts" in only:
                mine, other = [*HOSTS, *how, "--ports", "1-1024"], [theirs_method, "-p", "1-1024", *HOSTS]
                truth = {(host, port) for host in HOSTS for port in OPEN if port <= 1_024}
                rows.append(Row(f"{method}, 1,024 ports of 16 hosts", loss, mine, other, bound, truth))
        if "udp" in only:
            for name, address, more in (("UDP, 200 ports", b4, []), ("UDP, 200 ports, IPv6", b6, ["-6"])):
                mine, other = (
                    [address, "--no-discovery", "--ports", "U:1-200"],
                    [*more, "-sU", "-p", "1-200", address],
                )
                truth = {(address, port) for port in UDP_OPEN}
                rows.append(Row(name, loss, mine, other, bound_of("UDP", loss), truth))
    return rows


def measure(lab: Namespaces, row: Row, rounds: int) -> str:
    """One row of the table."""
    set_loss(lab, row.loss)
    times: dict[str, list[float]] = {"ours": [], "own": [], "theirs": []}
    right = {"ours": 0, "theirs": 0}
    for _ in range(rounds):
        whole, own, mine = ours(lab, row.ours)
        nmap, _, other = theirs(lab, row.theirs)
        times["ours"].append(whole)
        times["own"].append(own)
        times["theirs"].append(nmap)
        right["ours"] += mine == row.truth
        right["theirs"] += other == row.truth
        if mine != row.truth:
            print(
                f"{row.name}: missed {sorted(row.truth - mine)[:5]}, too many {sorted(mine - row.truth)[:5]}",
                file=sys.stderr,
            )
    loss = f"{loss_seen(lab):.1%}" if row.loss else "0"
    set_loss(lab, 0)
    whole, own, nmap = (statistics.median(times[key]) for key in ("ours", "own", "theirs"))
    met = "yes" if whole <= row.bound * nmap else "no"
    return (
        f"| {row.name} | {loss} | {whole:.2f} ({own:.2f}) | {nmap:.2f} | {whole / nmap:.2f} | {row.bound} | {met} "
        f"| {right['ours']} and {right['theirs']} of {rounds} |"
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
    parser.add_argument("--only", default="syn,connect,hosts,v6,udp,exact")
    given = parser.parse_args()
    only = set(given.only.split(","))
    losses = [int(text) for text in given.loss.split(",")]
    with Namespaces(2) as lab:
        for limit in ("ipv4.icmp_ratelimit", "ipv6.icmp.ratelimit"):
            lab.run("b", "sysctl", "-qw", f"net.{limit}=0")
        for address in HOSTS:
            lab.run("b", "ip", "addr", "add", f"{address}/24", "dev", lab.interface("b"))
        child = lab.start(
            "b",
            sys.executable,
            "-c",
            LISTENERS,
            ",".join(map(str, OPEN)),
            ",".join(map(str, UDP_OPEN)),
            stdout=subprocess.PIPE,
        )
        if child.stdout is not None:
            child.stdout.readline()
        print("| scan | loss | nsm s (own) | nmap s | ratio | asked | met | exactly the open ports: nsm and nmap |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in rows_for(lab, only, losses):
            print(measure(lab, row, given.rounds), flush=True)
        if "exact" in only:
            exactness(lab, given.repeats, losses)


if __name__ == "__main__":
    main()
