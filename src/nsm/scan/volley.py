"""Many segments by one system call (sendmmsg(2)), in a thread of its own.

Most of what a probe costs is the kernel's way through its network stack, in a virtual network the way back included.
The call lets go of Python's lock, so that answers are read and noted meanwhile on another core.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Any, ClassVar, Final, NamedTuple

from nsm.scan.raw_socket import FULL
from nsm.scan.schedule import BATCH, Probe


class _IoVec(ctypes.Structure):
    _fields_: ClassVar[Any] = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2), the struct msghdr in it spread out."""

    _fields_: ClassVar[Any] = (
        ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("parts", ctypes.c_void_p),
        ("part_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int), ("_alignment", ctypes.c_void_p * 0), ("sent", ctypes.c_uint), ("_end", ctypes.c_void_p * 0),
    )  # fmt: skip


_sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
_sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)


class Sent(NamedTuple):
    """What became of a volley: probes for which there was no room, and (host, port, try, errno) of those refused."""

    left: Sequence[Probe] = ()
    refused: Sequence[tuple[int, int, int, int]] = ()


NOTHING: Final = Sent()


class _Frame:
    """Room for one volley of segments of ``size`` bytes."""

    def __init__(self, size: int, name_length: int) -> None:
        self.buffer = (ctypes.c_char * (size * BATCH))()
        self.bytes = memoryview(self.buffer).cast("B")
        self._parts = (_IoVec * BATCH)()
        self.headers = (_Header * BATCH)()
        self.hosts = [-1] * BATCH
        self.probes: Sequence[Probe] = ()
        at, parts = ctypes.addressof(self.buffer), ctypes.addressof(self._parts)
        for place in range(BATCH):
            self._parts[place] = _IoVec(at + place * size, size)
            header = self.headers[place]
            header.name_length, header.part_count = name_length, 1
            header.parts = parts + place * ctypes.sizeof(_IoVec)


class Volleys:
    """Sends segments of ``size`` bytes to ``targets``, as (address, 0) or (address, 0, 0, scope), through one raw socket.

    One volley is under way while the next is filled. Close it before the socket.
    """

    def __init__(self, sock: socket.socket, targets: Sequence[Any], size: int) -> None:
        self._fd, self._size = sock.fileno(), size
        names = [_name(sock.family, target) for target in targets]
        length = len(names[0]) if names else 0
        self._names = ctypes.create_string_buffer(b"".join(names), max(1, length * len(names)))
        first = ctypes.addressof(self._names)
        self._places = [first + number * length for number in range(len(names))]
        self._idle, self._busy = _Frame(size, length), _Frame(size, length)
        self._asked: SimpleQueue[_Frame | None] = SimpleQueue()
        self._done: SimpleQueue[Sent] = SimpleQueue()
        self._under_way = False
        self._thread = threading.Thread(target=self._work, name="scan volleys", daemon=True)
        self._thread.start()

    def send(self, probes: Sequence[Probe], segments: Sequence[bytes]) -> Sent:
        """Begin to send at most BATCH of them; what became of the volley before."""
        frame = self._idle
        frame.probes = probes
        frame.bytes[: self._size * len(segments)] = b"".join(segments)
        hosts, headers, places = frame.hosts, frame.headers, self._places
        for place, (host, _, _) in enumerate(probes):
            if hosts[place] != host:
                hosts[place] = host
                headers[place].name = places[host]
        before = self._done.get() if self._under_way else NOTHING
        self._under_way = bool(probes)
        if probes:
            self._asked.put(frame)
            self._idle, self._busy = self._busy, frame
        return before

    def _work(self) -> None:
        while (frame := self._asked.get()) is not None:
            self._done.put(self._send(frame))

    def _send(self, frame: _Frame) -> Sent:
        at, count = 0, len(frame.probes)
        refused: list[tuple[int, int, int, int]] = []
        first = ctypes.addressof(frame.headers)
        while at < count:
            sent = _sendmmsg(self._fd, first + at * ctypes.sizeof(_Header), count - at, 0)
            if sent > 0:
                at += sent
                continue
            code = ctypes.get_errno()
            if code in FULL:
                return Sent(frame.probes[at:], refused)
            if code != errno.EINTR:  # the first of those that were left; the others may still go
                refused.append((*frame.probes[at], code))
                at += 1
        return Sent((), refused)

    def close(self) -> None:
        """Wait for what is under way, and end the thread."""
        self._asked.put(None)
        self._thread.join()


def _name(family: int, target: Any) -> bytes:
    """An address as a struct sockaddr_in or sockaddr_in6; the port of a raw socket is 0."""
    if family == socket.AF_INET:
        return struct.pack("=HH4s8x", family, 0, socket.inet_pton(family, target[0]))
    return struct.pack("=HHI16sI", family, 0, 0, socket.inet_pton(family, target[0]), target[3])
