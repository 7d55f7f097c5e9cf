"""Every fault of "is it working?", made on purpose between two real hosts, gives its sentence and its mend.

The service watches a cable of host b; a burst, a bad cable or a wrong mirror port is made with the means of the kernel.
What cannot be made without harm to the machine is in tests/health/test_working.py alone: that the clock is set or off.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.health.machine import read_clock
from nsm.run.control import ask
from tests.live.health_kit import becomes, figures, judged

pytestmark = [pytest.mark.net, pytest.mark.slow]

DAY_S = 86_400
OLD_DAYS = 40
# A small ring with the smallest blocks: a short burst is too much for it, and the largest datagram for a block.
SMALL = {"NSM_CAPTURE__RING_MB": "1", "NSM_CAPTURE__BLOCK_KB": "64"}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A list that nobody renewed, and one that is not there."""
    folder = tmp_path_factory.mktemp("lists")
    old = folder / "addresses.txt"
    old.touch()
    os.utime(old, (time.time() - OLD_DAYS * DAY_S,) * 2)
    return old, folder / "rules.txt"


@pytest.fixture(scope="module")
def small(
    lab: Namespaces, tmp_path_factory: pytest.TempPathFactory, listed: tuple[Path, Path]
) -> Iterator[LiveService]:
    """A service that soon has too much to do."""
    environ = {**SMALL, "NSM_HEALTH__FILES": ",".join(map(str, listed))}
    with LiveService(lab, "b", tmp_path_factory.mktemp("small") / "data", port=8081, environ=environ) as made:
        yield made


def send(lab: Namespaces, program: str, *arguments: str) -> None:
    """Run a program on host a."""
    lab.run("a", sys.executable, "-c", program, *arguments)


BURST = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(int(sys.argv[2])):
    sock.sendto(bytes(1400), (sys.argv[1], 9))
"""


@pytest.mark.long
def test_a_burst_that_is_too_much_for_the_ring_is_told_as_drops(lab: Namespaces, small: LiveService) -> None:
    """The worker is stopped meanwhile, as by a busy machine: the kernel has room for 1 MB, and 7 MB come."""
    (worker,) = [one["pid"] for one in small.health() if one["name"].startswith("capture")]
    os.kill(worker, signal.SIGSTOP)
    try:
        send(lab, BURST, lab.address("b"), "5000")
    finally:
        os.kill(worker, signal.SIGCONT)
    found = becomes(small, "drops", "warn")
    assert "were dropped in ten minutes: they came faster than they were looked at." in found["text"]
    assert found["mend"].startswith("nsm config set capture.ring_mb 128   or   nsm config set capture.workers 2")
    dropped = int(found["text"].split()[0].replace(",", ""))
    assert 3_000 < dropped < 5_100


@pytest.mark.long
def test_frames_longer_than_a_block_are_told_as_cut(lab: Namespaces, small: LiveService) -> None:
    ends = [(host, lab.interface(host)) for host in ("a", "b")]
    for host, name in ends:
        lab.run(host, "ip", "link", "set", name, "mtu", "65535")
    try:
        send(lab, BURST.replace("1400", "65500"), lab.address("b"), "5")
        found = becomes(small, "cut", "warn")
    finally:
        for host, name in ends:
            lab.run(host, "ip", "link", "set", name, "mtu", "1500")
    assert found["text"].startswith("5 frames in ten minutes were longer than what is captured of each")
    assert found["mend"].startswith("nsm config set capture.block_kb 256   or   sudo ethtool -K v0b gro off")


def test_lists_that_nobody_renews_are_told(small: LiveService, listed: tuple[Path, Path]) -> None:
    old, missing = listed
    found = becomes(small, f"files:{old}", "warn")
    assert found["text"] == f"{old} is {OLD_DAYS} days old: what is new since then is not in it."
    assert found["mend"].startswith("fetch it again")
    assert judged(small, f"files:{missing}")["text"] == f"{missing} is not there or cannot be read."


def test_the_clock_is_what_the_kernel_says(small: LiveService) -> None:
    """A clock cannot be put wrong for one process: this machine's own, whatever its state, is judged."""
    clock = read_clock()
    assert clock is not None
    told = figures(small)["machine"]
    assert (told["clock_synchronised"], told["clock_stepped_s"]) == (clock.synchronised, 0.0)
    assert wait_for(lambda: judged(small, "clock"), 30)
    found = judged(small, "clock")
    if clock.synchronised:
        assert found["state"] in ("ok", "warn")
    else:
        assert (found["state"], found["mend"]) == ("note", "sudo timedatectl set-ntp true")
        assert "No time service (NTP) keeps the clock right" in found["text"]
    tool = subprocess.run(["timedatectl", "show", "-p", "NTPSynchronized"], capture_output=True, text=True, check=False)
    if not tool.returncode:
        assert tool.stdout.strip() == f"NTPSynchronized={'yes' if clock.synchronised else 'no'}"
    workers = ask(small.data, "status")["second"]["workers"].values()
    assert all(abs(one["offset_s"] or 0.0) < 2.0 for one in workers)


TALK = """
import sys, time, urllib.request as u
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until:
    u.urlopen(f'http://{sys.argv[1]}:8124/').read()
    time.sleep(0.02)
"""


@pytest.fixture
def server(lab: Namespaces) -> Iterator[None]:
    """A web server on host b."""
    child = lab.start("b", sys.executable, "-m", "http.server", "8124", stderr=subprocess.DEVNULL)
    assert wait_for(lambda: ":8124 " in lab.run("b", "ss", "-ltn"), 10)
    yield
    child.kill()
    child.wait()


@pytest.mark.long
def test_checksums_that_the_card_would_compute_are_harmless(lab: Namespaces, small: LiveService, server: None) -> None:
    """With checksum offload a packet goes over the cable between the hosts without ever having one."""
    ends = [(host, lab.interface(host)) for host in ("a", "b")]
    send(lab, TALK, lab.address("b"), "20")
    name = f"checksums:{lab.interface('b')}"
    assert becomes(small, name, "ok")["text"] == f"Checksums on {lab.interface('b')} are right."
    for host, interface in ends:
        lab.run(host, "ethtool", "-K", interface, "tx", "on")
    try:
        send(lab, TALK, lab.address("b"), "20")
        found = becomes(small, name, "note")
    finally:
        for host, interface in ends:
            lab.run(host, "ethtool", "-K", interface, "tx", "off")
    assert "have no checksum yet" in found["text"]
    assert "This is harmless" in found["text"]
    assert found["mend"] == f"only if that disturbs you: sudo ethtool -K {lab.interface('b')} tx off"


DAMAGED = """
import socket, struct, sys, time
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((sys.argv[1], 0))
head = bytes.fromhex('ffffffffffff0200000000010800')
def total(data):
    sums = sum(struct.unpack(f'!{len(data) // 2}H', data))
    sums = (sums & 0xffff) + (sums >> 16)
    return ~(sums + (sums >> 16)) & 0xffff
addresses = socket.inet_aton('10.9.9.1') + socket.inet_aton('10.9.9.2')
ip = struct.pack('!BBHHHBBH', 0x45, 0, 48, 1, 0, 64, 17, 0) + addresses
ip = ip[:10] + struct.pack('!H', total(ip)) + ip[12:]
for number in range(300):
    udp = struct.pack('!HHHH', 5000, 5001, 28, 0x1234) + number.to_bytes(20, 'big')
    sock.send(head + ip + udp)
    time.sleep(0.05)
"""


@pytest.mark.long
def test_packets_that_are_damaged_on_the_way_are_told(lab: Namespaces, small: LiveService) -> None:
    send(lab, DAMAGED, lab.interface("a"))
    found = becomes(small, f"checksums:{lab.interface('b')}", "warn")
    assert "have wrong checksums: they are damaged on their way, or what mirrors them changes them." in found["text"]
    assert found["mend"] == "try another cable or port, and look at the errors of the switch's port"


@pytest.mark.long
def test_an_interface_that_joins_segments_is_told(lab: Namespaces, small: LiveService, server: None) -> None:
    """Segmentation offload: what goes over the cable between the hosts is larger than its MTU."""
    ends = [(host, lab.interface(host)) for host in ("a", "b")]
    for host, interface in ends:
        lab.run(host, "ethtool", "-K", interface, "tx", "on", "sg", "on", "tso", "on", "gso", "on", "gro", "on")
    big = (
        "import sys, socket\ns = socket.create_connection((sys.argv[1], 8124))\n"
        "s.sendall(b'GET / HTTP/1.0\\r\\nX: ' + b'x' * 2000000)\ns.close()"
    )
    try:
        lab.run("a", "sh", "-c", f'{sys.executable} -c "$0" {lab.address("b")} || true', big)
        found = becomes(small, f"offload:{lab.interface('b')}", "note", 60)
    finally:
        for host, interface in ends:
            lab.run(
                host, "ethtool", "-K", interface, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off"
            )
    assert "are larger than its MTU of 1500: segments are joined before they are seen" in found["text"]
    assert found["mend"] == "sudo ethtool -K v0b gro off lro off gso off tso off"


MIRROR = """table netdev health {{
chain c {{
  type filter hook ingress device "{name}" priority 0; policy accept;
  dup to "mirror0"
}}
}}"""


@pytest.fixture
def mirror(lab: Namespaces) -> Iterator[str]:
    """A mirror port of host b's interface that was told to mirror what comes in alone: the watched end of its cable."""
    lab.run("b", "ip", "link", "add", "mirror0", "type", "veth", "peer", "name", "mirror1")
    for name in ("mirror0", "mirror1"):
        lab.run("b", "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
        lab.run("b", "ip", "link", "set", name, "up")
    rules = MIRROR.format(name=lab.interface("b"))
    subprocess.run(["ip", "netns", "exec", lab.name("b"), "nft", "-f", "-"], input=rules, text=True, check=True)
    yield "mirror1"
    lab.run("b", "nft", "delete", "table", "netdev", "health")
    lab.run("b", "ip", "link", "del", "mirror0")


@pytest.mark.long
def test_a_mirror_of_one_direction_is_told(lab: Namespaces, mirror: str, server: None, tmp_path: Path) -> None:
    with LiveService(lab, "b", tmp_path / "data", port=8082, interface=mirror) as service:
        send(lab, TALK, lab.address("b"), "5")
        found = becomes(service, f"directions:{mirror}", "warn", 90)
        assert found["text"] == f"100% of the TCP connections on {mirror} are seen in one direction only."
        assert found["mend"] == "let the switch mirror both directions (rx and tx) of the port"


@pytest.mark.long
def test_a_port_that_is_no_mirror_is_told(lab: Namespaces, small: LiveService, server: None) -> None:
    send(lab, TALK, lab.address("b"), "5")
    found = becomes(small, f"mirror:{lab.interface('b')}", "note", 90)
    assert "only this machine's own traffic and broadcasts are seen" in found["text"]
    assert "a mirror (SPAN) port of the switch" in found["mend"]


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 MB of its own, on which a large file leaves 6 MB free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "none", str(disk)], check=True)
    free = int(subprocess.check_output(["df", "-B1", "--output=avail", str(disk)], text=True).split()[-1])
    with (disk / "large").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - (6 << 20))
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.long
def test_a_disk_that_is_nearly_full_is_told(lab: Namespaces, little: Path) -> None:
    environ = {f"NSM_STORE__{name}_BYTES": "0" for name in ("FREE_EARLY", "FREE_MIN", "BALLAST")}
    with LiveService(lab, "b", little / "data", port=8083, environ=environ) as service:
        found = becomes(service, "disk", "warn")
        assert found["text"] == "The disk is nearly full now."
        assert found["mend"].startswith("free some room   or   nsm run --data DIR")
        alerts = subprocess.check_output(
            [sys.executable, "-m", "nsm", "--data", str(service.data), "alerts", "detector:health", "--json"], text=True
        )
        (alert,) = [json.loads(line) for line in alerts.splitlines()]
        assert alert["finding"]["signature"] == "Disk is nearly full"
        assert alert["severity"] == "high"


@pytest.mark.long
@pytest.mark.parametrize(
    ("least", "state", "said"),
    [
        ("1", "warn", "Old flows leave before their time: "),
        ("1000000000", "fail", "Flows are not stored, the disk is full: "),
    ],
)
def test_a_disk_with_less_room_than_the_store_wants_is_told(
    lab: Namespaces, little: Path, least: str, state: str, said: str
) -> None:
    environ = {"NSM_STORE__BALLAST_BYTES": "0", "NSM_STORE__FREE_MIN_BYTES": least}
    with LiveService(lab, "b", little / "data", port=8084, environ=environ) as service:
        found = becomes(service, "disk", state)
        assert wait_for(lambda: judged(service, "disk")["text"].startswith(said), 45), found
        assert "lower store.size_max_bytes" in found["mend"]


@pytest.fixture
def idle(lab: Namespaces) -> Iterator[str]:
    """An interface of host b on which nobody says anything."""
    lab.run("b", "ip", "link", "add", "idle0", "type", "veth", "peer", "name", "idle1")
    for name in ("idle0", "idle1"):
        lab.run("b", "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
        lab.run("b", "ip", "link", "set", name, "up")
    yield "idle0"
    left = ["ip", "netns", "exec", lab.name("b"), "ip", "link", "del", "idle0"]
    subprocess.run(left, check=False, capture_output=True)


@pytest.mark.long
def test_what_ends_the_watching_is_told(lab: Namespaces, idle: str, tmp_path: Path) -> None:
    """A port without any packet, an analysis that hangs, one that died, an interface that was taken away."""
    with LiveService(lab, "b", tmp_path / "data", port=8085, interface=idle) as service:
        assert becomes(service, f"mirror:{idle}", "unknown")["text"] == (
            f"Too little traffic on {idle} to say whom it shows."
        )
        assert judged(service, "gaps")["text"] == "No interruption in the last day."
        (analyst,) = [one["pid"] for one in service.health() if one["name"] == "analyst"]
        os.kill(analyst, signal.SIGSTOP)
        try:
            found = becomes(service, "capture", "fail", 60)
        finally:
            os.kill(analyst, signal.SIGCONT)
        assert found["text"] == "The analysis does not answer."
        becomes(service, "capture", "ok", 60)
        os.kill(analyst, signal.SIGKILL)
        found = becomes(service, "gaps", "warn")
        assert found["text"].startswith("Monitoring was interrupted once in the last day, for ")
        found = becomes(service, "capture", "fail", 330)
        assert found["text"] == f"No packet came on {idle} for 5 minutes."
        assert found["mend"] == "look at the cable, or choose another interface: nsm run -i NAME"
        lab.run("b", "ip", "link", "del", idle)
        gone = f"Nobody is watching: there is no interface {idle}."
        assert wait_for(lambda: judged(service, "capture").get("text") == gone, 45)
        assert judged(service, "capture")["mend"].startswith("interfaces here: ")
