"""``nsm scan`` between real kernels: open, closed, dropped and rejected ports, loss, stops, privileges, rails."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.namespaces import Namespaces

pytestmark = [pytest.mark.net, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
OPEN = (22, 80, 443, 700, 1023)
DROPPED, RESET = 600, 602
REJECTED = range(610, 620)
ANSWERS, SILENT, GONE = 5353, 5354, 5355
LISTENERS = f"""
import socket, time
kept = []
for port in {OPEN}:
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    sock.listen(64)
    kept.append(sock)
udp = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2)]
udp[0].bind(("::", {ANSWERS}))
udp[1].bind(("::", {SILENT}))
print("up", flush=True)
while True:
    data, sender = udp[0].recvfrom(2048)
    udp[0].sendto(b"answer", sender)
"""
RULES = f"""
table inet scantest {{
    chain i {{
        type filter hook input priority 0;
        tcp dport {DROPPED} drop
        tcp dport {REJECTED[0]}-{REJECTED[-1]} reject
        tcp dport {RESET} reject with tcp reset
    }}
}}
"""


@pytest.fixture(scope="module")
def target(lab: Namespaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespaces]:
    """Host b with listeners, a packet filter, and ICMP as often as it is due (a test has no minutes to wait)."""
    before = {}
    for key in ("net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit"):
        before[key] = lab.run("b", "sysctl", "-n", key).strip()
        lab.run("b", "sysctl", "-qw", f"{key}=0")
    rules = tmp_path_factory.mktemp("rules") / "rules.nft"
    rules.write_text(RULES)
    lab.run("b", "nft", "-f", str(rules))
    child = lab.start("b", sys.executable, "-c", LISTENERS, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    yield lab
    child.kill()
    child.wait()
    lab.run("b", "nft", "delete", "table", "inet", "scantest")
    for key, value in before.items():
        lab.run("b", "sysctl", "-qw", f"{key}={value}")


class Done:
    """How one call ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.err = code, err
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]

    def ports(self, state: str) -> set[str]:
        return {row["port"] for row in self.rows if row["state"] == state}

    def reasons(self) -> dict[str, str]:
        return {row["port"]: row.get("reason", "") for row in self.rows}


def command(lab: Namespaces, *arguments: str, prefix: tuple[str, ...] = ()) -> list[str]:
    return [
        "ip", "netns", "exec", lab.name("a"), *prefix, sys.executable, "-m", "nsm", "scan", "--json", "--no-services", *arguments,
    ]  # fmt: skip


def environ(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NSM_", "XDG_", "SUDO_"))}
    return {**kept, "HOME": str(home), "NSM_DATA": str(home / "data"), "PYTHONPATH": str(ROOT / "src")}


def scan(lab: Namespaces, home: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> Done:
    done = subprocess.run(
        command(lab, *arguments, prefix=prefix),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environ(home),
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", ["syn", "connect"])
def test_every_state_is_told_with_its_reason(target: Namespaces, home: Path, version: int, method: str) -> None:
    done = scan(target, home, target.address("b", version), "-p", "1-1024", "--rate", "max", "--method", method)
    assert done.code == 0
    assert done.ports("open") == {f"{port}/tcp" for port in OPEN}
    reasons = done.reasons()
    assert reasons[f"{DROPPED}/tcp"] == "no answer"
    assert f"{RESET}/tcp" not in reasons  # one of the many that are closed
    if method == "syn":
        rejected = {f"{port}/tcp" for port in REJECTED}
        assert {reasons[port] for port in rejected} == {"icmp 3/3" if version == 4 else "icmp 1/4"}
        assert done.ports("filtered") == {f"{DROPPED}/tcp", *rejected}
    else:
        assert f"{DROPPED}/tcp" in done.ports("filtered")
    assert sum(row.get("count", 1) for row in done.rows) == 1024


@pytest.mark.parametrize("version", [4, 6])
def test_udp_ports_are_open_closed_or_perhaps_open(target: Namespaces, home: Path, version: int) -> None:
    ports = f"U:{ANSWERS},{SILENT},{GONE}"
    done = scan(target, home, target.address("b", version), "-p", ports, "--rate", "max", "--no-discovery")
    assert done.code == 0
    assert done.reasons() == {
        f"{ANSWERS}/udp": "answer",
        f"{SILENT}/udp": "no answer",
        f"{GONE}/udp": "icmp 3/3" if version == 4 else "icmp 1/4",
    }
    assert done.ports("open|filtered") == {f"{SILENT}/udp"}


@pytest.mark.parametrize("method", ["syn", "connect"])
@pytest.mark.parametrize("hook", ["input", "output"])
def test_open_ports_are_found_under_loss_both_ways(target: Namespaces, home: Path, method: str, hook: str) -> None:
    target.run("b", "nft", "add", "table", "inet", "scanloss")
    try:
        target.run("b", "nft", "add", "chain", "inet", "scanloss", "l", f"{{ type filter hook {hook} priority 0; }}")
        target.run(
            "b",
            "nft",
            "add",
            "rule",
            "inet",
            "scanloss",
            "l",
            "meta l4proto tcp numgen random mod 100 < 5 drop",
        )
        done = scan(target, home, target.address("b"), "-p", "1-3000", "--rate", "max", "--method", method)
    finally:
        target.run("b", "nft", "delete", "table", "inet", "scanloss")
    assert done.code == 0
    assert done.ports("open") == {f"{port}/tcp" for port in OPEN}
    assert f"{DROPPED}/tcp" in done.ports("filtered")
    loss = re.search(r"loss ([\d.]+)%", done.err)
    assert loss
    assert 2 < float(loss[1]) < 9


def test_ctrl_c_stops_within_a_second_and_the_scan_goes_on_from_its_journal(target: Namespaces, home: Path) -> None:
    arguments = (target.address("b"), "-p", "1-1024", "--rate", "300")
    child = subprocess.Popen(
        command(target, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ(home)
    )
    time.sleep(2.0)
    asked = time.monotonic()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert time.monotonic() - asked < 1.0
    first = Done(child.returncode, out, err)
    assert first.code == 130
    assert 0 < sum(row.get("count", 1) for row in first.rows) < 1024
    journal = re.search(r"--resume (\S+)", err)
    assert journal
    second = scan(target, home, "--resume", journal[1])
    assert second.code == 0
    assert second.ports("open") == {f"{port}/tcp" for port in OPEN}
    assert sum(row.get("count", 1) for row in second.rows) == 1024
    assert not Path(journal[1]).exists()


def test_a_scan_that_was_killed_goes_on_from_its_journal(target: Namespaces, home: Path) -> None:
    arguments = (target.address("b"), "-p", "1-1024", "--rate", "300")
    child = subprocess.Popen(
        command(target, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ(home)
    )
    folder = home / "data" / "scans"
    until = time.monotonic() + 10
    while not (folder.is_dir() and list(folder.glob("*.journal"))) and time.monotonic() < until:
        time.sleep(0.05)
    child.kill()
    child.wait()
    (journal,) = folder.glob("*.journal")
    done = scan(target, home, "--resume", str(journal))
    assert done.code == 0
    assert done.ports("open") == {f"{port}/tcp" for port in OPEN}
    assert sum(row.get("count", 1) for row in done.rows) == 1024
    probes = re.search(r"; ([\d,]+) probes", done.err)
    assert probes
    assert int(probes[1].replace(",", "")) < 1024 * 1.2


def test_a_link_local_address_is_scanned_with_its_interface(target: Namespaces, home: Path) -> None:
    shown = target.run("b", "ip", "-6", "-o", "addr", "show", "dev", target.interface("b"), "scope", "link")
    address = shown.split("inet6 ")[1].split("/")[0] + "%" + target.interface("a")
    for method in ("syn", "connect"):
        done = scan(target, home, address, "-p", "1-100", "--rate", "max", "--method", method)
        assert done.code == 0
        assert done.ports("open") == {"22/tcp", "80/tcp"}


def test_what_this_machine_itself_forbids_is_filtered_and_the_rest_is_asked(target: Namespaces, home: Path) -> None:
    target.run("a", "nft", "add", "table", "inet", "scanown")
    try:
        target.run("a", "nft", "add", "chain", "inet", "scanown", "o", "{ type filter hook output priority 0; }")
        target.run("a", "nft", "add", "rule", "inet", "scanown", "o", "th dport { 25, 5353 } drop")
        address = target.address("b")
        done = scan(target, home, address, "-p", f"1-100,U:{ANSWERS},{GONE}", "--rate", "max", "--no-discovery")
    finally:
        target.run("a", "nft", "delete", "table", "inet", "scanown")
    assert done.code == 0
    assert done.ports("open") == {"22/tcp", "80/tcp"}
    assert done.reasons()["25/tcp"] == done.reasons()[f"{ANSWERS}/udp"] == "forbidden here"
    assert done.ports("filtered") == {"25/tcp", f"{ANSWERS}/udp"}


NO_RAW = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def test_without_the_privilege_connections_are_used_and_said(target: Namespaces, home: Path) -> None:
    done = scan(target, home, target.address("b"), "-p", "1-100", "--rate", "max", prefix=NO_RAW)
    assert done.code == 0
    assert done.ports("open") == {"22/tcp", "80/tcp"}
    assert "method connect (no privilege for syn)" in done.err


def test_syn_without_the_privilege_is_an_error_in_three_lines(target: Namespaces, home: Path) -> None:
    done = scan(target, home, target.address("b"), "-p", "1-100", "--method", "syn", prefix=NO_RAW)
    assert done.code == 4
    assert [line.split(":")[0].strip() for line in done.err.splitlines()] == ["nsm", "where", "mend"]


@pytest.mark.parametrize("address", ["10.77.0.255", "224.0.0.1", "255.255.255.255", "0.0.0.0"])
def test_addresses_of_many_hosts_are_refused(target: Namespaces, home: Path, address: str) -> None:
    done = scan(target, home, address, "--i-have-permission")
    assert done.code == 2
    assert "cannot be scanned" in done.err


def test_an_address_without_a_route_is_an_error(target: Namespaces, home: Path) -> None:
    done = scan(target, home, "10.99.0.1", "-p", "1")
    assert (done.code, "no route" in done.err) == (2, True)


def test_hosts_on_the_link_are_found_by_their_neighbour_protocol(target: Namespaces, home: Path) -> None:
    done = scan(target, home, "10.77.0.0/29", "fd77::/125", "-p", "22,23", "--rate", "max")
    assert done.code == 0
    found = {(row["address"], row["port"], row["state"]) for row in done.rows}
    for target_address in (target.address("b"), "fd77::2"):
        assert {(target_address, "22/tcp", "open"), (target_address, "23/tcp", "closed")} <= found
    assert {row["address"] for row in done.rows} == {"10.77.0.1", "10.77.0.2", "fd77::1", "fd77::2"}


def test_hosts_behind_a_router_are_found_by_echo_or_by_their_ports(home: Path) -> None:
    with Namespaces(3, tag="r") as lab:
        network = f"{lab.address('c')}/30"
        plain = scan(lab, home, network, "-p", "22", "--rate", "max")
        assert {row["address"] for row in plain.rows} == {lab.address("c"), lab.address("b", link=1)}
        lab.run("c", "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
        quiet = scan(lab, home, network, "-p", "22", "--rate", "max")
        assert {row["address"] for row in quiet.rows} == {lab.address("c"), lab.address("b", link=1)}
        unprivileged = scan(lab, home, network, "-p", "22", "--rate", "max", prefix=NO_RAW)
        assert {row["address"] for row in unprivileged.rows} == {lab.address("c"), lab.address("b", link=1)}
        lab.run("c", "nft", "add", "table", "inet", "t")
        lab.run("c", "nft", "add", "chain", "inet", "t", "i", "{ type filter hook input priority 0; }")
        lab.run("c", "nft", "add", "rule", "inet", "t", "i", "meta", "l4proto", "tcp", "drop")
        stamped = scan(lab, home, f"{lab.address('c')}/32", "-p", "22", "--rate", "max")
        assert [row["state"] for row in stamped.rows] == ["filtered"]  # the host is up, by its timestamp
        lab.run("c", "nft", "add", "rule", "inet", "t", "i", "meta", "l4proto", "icmp", "drop")
        assert scan(lab, home, f"{lab.address('c')}/32", "-p", "22", "--rate", "max").rows == []
        database = sqlite3.connect(home / "data" / "nsm.db", isolation_level=None)
        seen = (b"\0" * 10 + b"\xff\xff" + socket.inet_aton(lab.address("c")), time.time_ns() // 1_000)
        database.execute("INSERT INTO host VALUES (?, '', '', 1, 0, ?)", seen)
        known = scan(lab, home, f"{lab.address('c')}/32", "-p", "22", "--rate", "max")
        assert [row["state"] for row in known.rows] == ["filtered"]


def test_a_busy_host_does_not_drown_the_answers(target: Namespaces, home: Path) -> None:
    # Other traffic of the scanning machine: the filter in the kernel keeps it from our socket.
    serve = (
        "import socket\ns=socket.create_server(('', 9999))\nwhile True:\n c,_=s.accept()\n while c.recv(65536): pass"
    )
    send = (
        f"import socket,time\ntime.sleep(0.3)\ns=socket.create_connection(({target.address('a')!r},9999))\n"
        "end=time.time()+3\nwhile time.time()<end: s.send(bytes(1000))"
    )
    children = [target.start("a", sys.executable, "-c", serve), target.start("b", sys.executable, "-c", send)]
    time.sleep(0.6)
    done = scan(target, home, target.address("b"), "-p", "1-1024", "--rate", "max")
    for child in children:
        child.kill()
        child.wait()
    assert done.ports("open") == {f"{port}/tcp" for port in OPEN}
    assert "loss 0.0%" in done.err
