"""A running service of ours in a namespace, for live tests and benches."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from lab.namespaces import Namespaces
from nsm.errors import NsmError
from nsm.run.control import ask
from nsm.run.links import LIVE, Splitter, socket_path
from nsm.run.transport import Message

READY_S = 60.0


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    """Does the condition come true in time?"""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


class LiveService:
    """``nsm run`` on the interface of one host of a lab; its page listens on that host's loopback."""

    def __init__(
        self, lab: Namespaces, host: str, data: Path, *, port: int = 8052, arguments: tuple[str, ...] = (),
        environ: Mapping[str, str] | None = None, prefix: tuple[str, ...] = (),
        interface: str = "",
    ) -> None:  # fmt: skip
        self.data, self.port = data, port
        self._log = data.with_suffix(".log").open("wb")
        self.process = lab.start(
            host, *prefix, sys.executable, "-m", "nsm", "--data", str(data), "run", "-i", interface or lab.interface(host),
            "--listen", f"127.0.0.1:{port}", *arguments, stderr=self._log, stdout=self._log,
            env={**os.environ, **(environ or {})},
        )  # fmt: skip
        self.link = ""

    def __enter__(self) -> Self:
        until = time.monotonic() + READY_S
        text = ""
        while time.monotonic() < until:
            text = Path(self._log.name).read_text(errors="replace")
            found = re.search(r"https?://\S+", text)
            if found and all(item["alive"] for item in self.health()):
                self.link = found.group(0)
                next(iter(self.messages("second", READY_S)))
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the service did not start:\n{text}")

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def health(self) -> list[dict[str, Any]]:
        """The processes, as the supervisor sees them; empty while it does not answer."""
        with contextlib.suppress(NsmError):
            processes: list[dict[str, Any]] = ask(self.data, "health")["processes"]
            return processes
        return []

    def state(self) -> dict[str, Any]:
        """The capture, as the supervisor sees it."""
        return ask(self.data, "state")

    @contextlib.contextmanager
    def listening(self) -> Iterator[Callable[[str, float], Iterator[dict[str, Any]]]]:
        """A connection to the live feed that is open from now on: ``feed(kind, seconds)`` gives what comes over it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(socket_path(self.data / "run", LIVE))
            sock.settimeout(0.2)
            yield lambda kind, seconds: self._read(sock, kind, time.monotonic() + seconds)

    def messages(self, kind: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Messages of the live feed of one type, until so many seconds have passed; connects anew when it must."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(socket_path(self.data / "run", LIVE))
                    sock.settimeout(0.2)
                    yield from self._read(sock, kind, until)
            except OSError:
                time.sleep(0.1)

    @staticmethod
    def _read(sock: socket.socket, kind: str, until: float) -> Iterator[dict[str, Any]]:
        splitter = Splitter()
        while time.monotonic() < until:
            try:
                data = sock.recv(1 << 20)
            except TimeoutError:
                continue
            if not data:
                return
            found: list[Message] = splitter.feed(data)
            for message in found:
                if message.header["message"]["type"] == kind:
                    yield message.header["message"]
