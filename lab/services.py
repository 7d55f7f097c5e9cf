"""Real services of Debian in a namespace, each by its own command and configuration in a temporary folder.

    with Namespaces(2) as lab, Services(lab, "b", folder) as services:
        services.running      # what could be started; services.missing says why others could not

Each has an address of its own, so that it is found on the port where it usually lives. Nothing of the system's own
configuration is used or changed; what was started is ended by its process id. Packages: scripts/system-deps services.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from lab.namespaces import LabError, Namespaces
from lab.service_table import TABLE, LabService
from nsm.model.scan import PortState, ScannedPort

READY_S = 20.0
# Servers tell their host's name; here it is "lab", on every machine.
AS_LAB = ("unshare", "--uts", "sh", "-c", 'hostname lab; exec "$@"', "sh")
FIRST_HOST = 20  # the last byte of the first service's address


@dataclass
class Running:
    """A service that listens now. ``version``: the package's upstream version."""

    service: LabService
    address: str
    version: str
    log: Path
    children: list[subprocess.Popen[Any]] = field(default_factory=list)

    moved_to: int = 0

    @property
    def port(self) -> ScannedPort:
        """What a prober would have found."""
        number = self.moved_to or self.service.port
        return ScannedPort(
            address=self.address, proto=self.service.proto, port=number, state=PortState.OPEN, reason="lab"
        )  # fmt: skip


def package_version(package: str) -> str:
    """The upstream version of an installed package; empty when it is not installed."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status} ${Version}", package], capture_output=True, text=True, check=False
    )
    if not done.stdout.startswith("install ok installed "):
        return ""
    version = done.stdout.split()[-1].partition(":")[2] or done.stdout.split()[-1]
    return re.split(r"[+~-]", version)[0]


class Services:
    """Starts services of the table in a namespace of a lab and ends them."""

    def __init__(self, lab: Namespaces, host: str, folder: Path, only: Iterable[str] | None = None) -> None:
        """``only``: labels of the table; without it all, the heavy ones too."""
        self._lab, self._host, self._folder = lab, host, folder
        self._wanted = [item for item in TABLE if only is None or item.label in set(only)]
        self.running: list[Running] = []
        self.missing: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in (self._folder, *self._folder.parents):
            if path == Path("/tmp"):  # noqa: S108 - servers that give up root have to pass through
                break
            path.chmod(0o755)
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_all(self) -> None:
        shared = make_certificate(self._folder)
        started: dict[str, str] = {}
        for number, service in enumerate(self._wanted):
            version = package_version(service.package)
            if not version:
                self.missing[service.label] = f"no package {service.package}"
                continue
            if service.beside:
                if service.beside in started:
                    address = started[service.beside]
                    self.running.append(Running(service, address, version, self._folder / f"{service.beside}.log"))
                continue
            address = f"10.77.0.{FIRST_HOST + number}"
            interface = self._lab.interface(self._host)
            self._lab.run(self._host, "ip", "addr", "add", f"{address}/24", "dev", interface)
            started[service.label] = address
            self._start(service, address, version, shared)
        self._wait()

    def _start(self, service: LabService, address: str, version: str, shared: Path) -> None:
        folder = self._folder / service.label
        folder.mkdir()
        folder.chmod(0o777)  # each server gives up root for a user of its own
        one = Running(service, address, version, self._folder / f"{service.label}.log")
        try:
            command, environ = service.prepare(folder, address, shared)
        except (OSError, LookupError, subprocess.SubprocessError, LabError) as error:
            self.missing[service.label] = str(error)
            return
        with one.log.open("wb") as log:
            options: dict[str, Any] = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, "cwd": folder}
            environ = {**os.environ, **environ}
            child = self._lab.start(self._host, *AS_LAB, *command, env=environ, start_new_session=True, **options)
            one.children.append(child)
        self.running.append(one)

    def _wait(self) -> None:
        """Until each accepts a connection, or listens for UDP; those that do not are taken out with the end of their log."""
        until = time.monotonic() + READY_S
        tcp = [one for one in self.running if one.service.proto == "tcp"]
        ready = dict(zip(map(id, tcp), _asking(self._lab, [one.port for one in tcp], "--wait"), strict=True))
        datagrams = [one for one in self.running if one.service.proto == "udp"]
        while True:
            listening = self._lab.run(self._host, "ss", "-Hlnu")
            ready |= {id(one): f"{one.address}:{one.service.port} " in listening for one in datagrams}
            if all(ready[id(one)] for one in datagrams) or time.monotonic() > until:
                break
            time.sleep(0.2)
        for one in [one for one in self.running if not ready[id(one)]]:
            self.missing[one.service.label] = one.log.read_text(errors="replace")[-300:].strip() or "it does not listen"
            self.running.remove(one)

    def move(self, first: int) -> None:
        """Let each TCP service be found on another port too, and on that one from now on: first, first + 1..."""
        self._lab.run(self._host, "nft", "add table ip moved")
        self._lab.run(self._host, "nft", "add chain ip moved in { type nat hook prerouting priority dstnat; }")
        for number, one in enumerate(one for one in self.running if one.service.proto == "tcp"):
            one.moved_to = first + number
            rule = f"ip daddr {one.address} tcp dport {one.moved_to} dnat to {one.address}:{one.service.port}"
            self._lab.run(self._host, "nft", f"add rule ip moved in {rule}")

    def stop(self) -> None:
        """Ask them to end, then end what is left in the namespace, by process id."""
        for one in self.running:
            for child in one.children:
                if child.poll() is None:
                    child.send_signal(signal.SIGTERM)
        until = time.monotonic() + 4.0
        while time.monotonic() < until and self._left():
            for one in self.running:
                for child in one.children:
                    child.poll()
            time.sleep(0.1)
        for pid in self._left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def _left(self) -> list[int]:
        done = subprocess.run(
            ["ip", "netns", "pids", self._lab.name(self._host)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in done.stdout.split()]


def make_certificate(folder: Path) -> Path:
    """A folder with cert.pem and key.pem, for a week, readable by all: it protects nothing."""
    place = folder / "tls"
    place.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "7",
         "-subj", "/CN=lab.test", "-addext", "subjectAltName=DNS:lab.test,DNS:*.lab.test",
         "-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    for path in place.iterdir():
        path.chmod(0o644)
    return place


@dataclass
class Verdict:
    """What was found of one service, and whether it is right."""

    running: Running
    found: ScannedPort
    seconds: float
    talks: dict[str, Any]

    @property
    def name_right(self) -> bool:
        """Is the protocol right, and TLS where it is?"""
        service, wanted = self.found.service, self.running.service
        return (
            service is not None and service.how != "port" and service.name in wanted.names and service.tls == wanted.tls
        )

    @property
    def product_right(self) -> bool:
        """Is it the right server?"""
        return self.found.service is not None and self.found.service.product in self.running.service.products

    @property
    def version_right(self) -> bool:
        """Is it the package's version? At least two numbers of it have to be told; patch levels may be left out."""
        version = self.found.service.version if self.found.service is not None else ""
        whole = self.running.version
        return "." in version and (whole == version or whole.startswith((f"{version}.", f"{version}p")))


def ask(lab: Namespaces, services: Services, *options: str) -> tuple[float, list[Verdict]]:
    """Identify all that run from the other host: (seconds for all at once, a verdict each)."""
    told = _asking(lab, [one.port for one in services.running], *options)
    verdicts = [
        Verdict(one, msgspec.convert(answer["port"], ScannedPort), answer["seconds"], answer["talks"])
        for one, answer in zip(services.running, told["answers"], strict=True)
    ]
    return told["seconds"], verdicts


def _asking(lab: Namespaces, ports: list[ScannedPort], *options: str) -> Any:
    """Run lab/asking.py on the other host; what it prints."""
    done = subprocess.run(
        ["ip", "netns", "exec", lab.name("a"), sys.executable, str(Path(__file__).with_name("asking.py")), *options],
        input=msgspec.json.encode(ports), capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    if done.returncode:
        raise LabError(done.stderr.decode(errors="replace"))
    return json.loads(done.stdout)
