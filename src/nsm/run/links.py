"""Connections between the processes of the service: messages of run/transport.py over Unix sockets.

A sender keeps what was not acknowledged and sends it again after a break. Memory is bounded: beyond ``kept_bytes`` the caller
is told to shed. Names of the sockets stand in one place, here.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from pathlib import Path
from typing import Final

from nsm.run.transport import Message, decode, lengths_of

ANALYST, LIVE, STORE, CONTROL = "analyst.sock", "live.sock", "store.sock", "control.sock"
HEALTH, NOTIFY = "health.sock", "notify.sock"
RETRY_S: Final = 0.2
RECEIVE_BYTES: Final = 1 << 20
KEPT_BYTES: Final = 64 * 1024 * 1024
LOSSY_WAITING_MAX: Final = 256  # messages that wait to be sent; beyond, those that may be lost are


def socket_path(runtime: Path, name: str) -> str:
    """Where a socket of the service lies."""
    return str(runtime / name)


class Splitter:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now."""
        self._data += data
        found = []
        while (size := lengths_of(self._data)) is not None:
            head, body = size
            if len(self._data) < 8 + head + body:
                break
            found.append(decode(bytes(self._data[8 : 8 + head]), bytes(self._data[8 + head : 8 + head + body])))
            del self._data[: 8 + head + body]
        return found


class Sender:
    """A connection that never blocks its owner, is made again by itself, and delivers numbered messages at least once.

    ``send`` takes a message with a number, which is kept until ``acknowledged``; number 0 is for what may be lost.
    """

    def __init__(self, path: str, hello: bytes, kept_bytes_max: int = KEPT_BYTES) -> None:
        self._path, self._hello, self._kept_bytes_max = path, hello, kept_bytes_max
        self._sock: socket.socket | None = None
        self._tried = 0.0
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._todo: deque[bytes] = deque()  # in order, not yet in ``_out``
        self._out = bytearray()
        self._splitter = Splitter()
        self.connects = 0
        self.lost = 0

    @property
    def connected(self) -> bool:
        """Is there a connection now?"""
        return self._sock is not None

    @property
    def full(self) -> bool:
        """Is so much unacknowledged that bulk rows should be left out?"""
        return self._kept_bytes > self._kept_bytes_max

    @property
    def overfull(self) -> bool:
        """Is so much unacknowledged, bulk rows left out for long, that everything should be?"""
        return self._kept_bytes > self._kept_bytes_max * 5 // 4

    @property
    def waiting(self) -> int:
        """Messages that were not acknowledged."""
        return len(self._kept)

    @property
    def kept(self) -> tuple[tuple[int, bytes], ...]:
        """The messages that were not acknowledged, oldest first."""
        return tuple(self._kept)

    def fileno(self) -> int:
        """For selectors; -1 when there is no connection."""
        return self._sock.fileno() if self._sock is not None else -1

    def send(self, number: int, data: bytes) -> None:
        """Queue a message; one without a number is dropped, and counted, while too much waits already."""
        if number:
            self._kept.append((number, data))
            self._kept_bytes += len(data)
        elif len(self._todo) >= LOSSY_WAITING_MAX:
            self.lost += 1
            return
        if self._sock is not None:
            self._todo.append(data)

    def turn(self) -> list[Message]:
        """Connect, send and receive what is possible now; acknowledgements are taken care of, other messages returned."""
        if self._sock is None and not self._connect():
            return []
        found: list[Message] = []
        try:
            while self._out or self._todo:
                while self._todo and len(self._out) < RECEIVE_BYTES:
                    self._out += self._todo.popleft()
                sent = self._sock.send(memoryview(self._out)[:RECEIVE_BYTES])  # type: ignore[union-attr]  # connected
                del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._lost()
            return found
        try:
            while data := self._sock.recv(RECEIVE_BYTES):  # type: ignore[union-attr]  # connected
                found += self._splitter.feed(data)
            self._lost()
        except BlockingIOError:
            pass
        except OSError:
            self._lost()
        return [message for message in found if not self._acknowledged(message)]

    def _acknowledged(self, message: Message) -> bool:
        if message.kind != "ack":
            return False
        done = set(message.header["numbers"])
        while self._kept and self._kept[0][0] in done:
            self._kept_bytes -= len(self._kept.popleft()[1])
        if done and any(number in done for number, _ in self._kept):
            left = [(number, data) for number, data in self._kept if number not in done]
            self._kept = deque(left)
            self._kept_bytes = sum(len(data) for _, data in left)
        return True

    def _connect(self) -> bool:
        now = time.monotonic()
        if now - self._tried < RETRY_S:
            return False
        self._tried = now
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            return False
        sock.setblocking(False)
        self._sock, self._splitter = sock, Splitter()
        self.connects += 1
        self._out = bytearray(self._hello)
        self._todo = deque(data for _, data in self._kept)
        return True

    def _lost(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.close()
        self._sock = None

    def close(self) -> None:
        """Give the connection up."""
        self._lost()


def listen(path: str) -> socket.socket:
    """A listening Unix socket that only its owner can use; what was there before is replaced."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    Path(path).chmod(0o600)
    sock.listen(64)
    return sock
