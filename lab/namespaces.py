"""Network namespaces joined by veth pairs, for live tests and benches: real kernels, real tools, nobody else's traffic.

    with Namespaces(2) as lab:          # a -- b; three: a -- b -- c, b forwards
        lab.run("a", "ping", "-c1", lab.address("b"))

Needs root and iproute2. Names carry the process id, so that runs do not meet; everything is taken down at the end.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from types import TracebackType
from typing import Any, Self

LETTERS = "abc"


class LabError(Exception):
    """The namespaces could not be made; the text says which command failed and how."""


def possible() -> bool:
    """Can this process make namespaces? Tried, since containers differ."""
    name = f"nsm{os.getpid()}try"
    try:
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


class Namespaces:
    """Two or three hosts in a row. Link n joins host n and n + 1: 10.77.n.1 and .2, fd77:n::1 and ::2 (no DAD)."""

    def __init__(self, hosts: int = 2, *, offload: bool = False, tag: str = "") -> None:
        """``tag`` tells two labs of one process apart.

        ``offload``: leave segmentation and checksum offload on, so that frames larger than the MTU appear.
        """
        if not 2 <= hosts <= len(LETTERS):
            raise ValueError(f"{hosts} hosts: two or three")
        self.hosts = LETTERS[:hosts]
        self._offload = offload
        self._tag = tag
        self._children: list[subprocess.Popen[Any]] = []

    def name(self, host: str) -> str:
        """The namespace of a host."""
        return f"nsm{os.getpid()}{self._tag}{host}"

    def interface(self, host: str, link: int | None = None) -> str:
        """The interface of a host on a link; without a number its only or first one."""
        if link is None:
            link = max(0, self.hosts.index(host) - 1)
        return f"v{link}{host}"

    def address(self, host: str, version: int = 4, link: int | None = None) -> str:
        """The address of a host on a link; without a number its only or first one."""
        place = self.hosts.index(host)
        if link is None:
            link = max(0, place - 1)
        side = 1 if place == link else 2
        return f"10.77.{link}.{side}" if version == 4 else f"fd77:{link}::{side}"

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def _make(self) -> None:
        for host in self.hosts:
            _ip("netns", "add", self.name(host))
            self.run(host, "ip", "link", "set", "lo", "up")
            # Without it link-local addresses wait a second for a double that is not there, and neighbours with them.
            self.run(host, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        for link, (left, right) in enumerate(zip(self.hosts, self.hosts[1:], strict=False)):
            _ip(
                "link", "add", self.interface(left, link), "netns", self.name(left), "type", "veth",
                "peer", "name", self.interface(right, link), "netns", self.name(right),
            )  # fmt: skip
            for host in (left, right):
                self._set_up(host, link)
        if len(self.hosts) == 3:
            self._join()
        self._wait()

    def _set_up(self, host: str, link: int) -> None:
        name = self.interface(host, link)
        self.run(host, "ip", "addr", "add", f"{self.address(host, 4, link)}/24", "dev", name)
        self.run(host, "ip", "addr", "add", f"{self.address(host, 6, link)}/64", "dev", name, "nodad")
        # A test that takes the link down must not take the address from those behind it.
        self.run(host, "sysctl", "-qw", f"net.ipv6.conf.{name}.keep_addr_on_down=1")
        self.run(host, "ip", "link", "set", name, "up")
        if not self._offload:
            with contextlib.suppress(LabError, OSError):  # without ethtool frames may be larger than the MTU
                self.run(
                    host, "ethtool", "-K", name, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off"
                )

    def _wait(self) -> None:
        """Until every link has a carrier: the kernel takes up to a second, and drops what is sent before."""
        deadline = time.monotonic() + 10
        for link, pair in enumerate(zip(self.hosts, self.hosts[1:], strict=False)):
            for host in pair:
                while " UP " not in self.run(host, "ip", "-br", "link", "show", self.interface(host, link)):
                    if time.monotonic() > deadline:
                        raise LabError(f"{self.interface(host, link)} has no carrier")
                    time.sleep(0.02)

    def _join(self) -> None:
        for key in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            self.run("b", "sysctl", "-qw", key)
        for host, link, far in (("a", 0, 1), ("c", 1, 0)):
            self.run(host, "ip", "route", "add", f"10.77.{far}.0/24", "via", self.address("b", 4, link))
            self.run(host, "ip", "-6", "route", "add", f"fd77:{far}::/64", "via", self.address("b", 6, link))

    def run(self, host: str, *command: str, timeout: float = 60.0) -> str:
        """Run a command on a host to its end; its output. LabError when it fails."""
        return _run(["ip", "netns", "exec", self.name(host), *command], timeout)

    def start(self, host: str, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a command on a host; it is killed at the end of the lab. ``options`` as of Popen."""
        child = subprocess.Popen(["ip", "netns", "exec", self.name(host), *command], **options)
        self._children.append(child)
        return child

    def _take_down(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()
        for host in self.hosts:
            subprocess.run(["ip", "netns", "del", self.name(host)], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments], 20.0)


def _run(command: list[str], timeout: float) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
