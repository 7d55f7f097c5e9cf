"""TCP probes by the kernel's own connect: no privilege, one thread, non-blocking sockets with epoll.

What costs is system calls, so two are saved. A batch is asked once more right after it was started: on a near network
most answers are there by then, and the socket never goes to epoll. And a socket that connect itself said was refused is used
again for the next question, which Linux allows (net/ipv4/af_inet.c: it is unconnected). One whose error was read in
another way is not: after an ICMP message it may be connecting still.

A refusal is a RST or an ICMP port unreachable: a plain connection does not tell them apart, so both are closed here.

The kernel repeats a lost SYN after 1 s and 3 s. The schedule times out much sooner: the socket is closed then, and a new
one asks again.
"""

from __future__ import annotations

import errno
import resource
import select
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from nsm.errors import ScanError
from nsm.model.scan import PortState
from nsm.scan.packets import Told
from nsm.scan.route import socket_address
from nsm.scan.schedule import Probe

FILES_KEPT: Final = 64  # ours: open files left to the rest of the program
SPARE_MAX: Final = 128  # ours: refused sockets kept for the next questions
RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: no TIME_WAIT, whose ports would run out
EVENTS: Final = select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP
STILL: Final = frozenset({errno.EINPROGRESS, errno.EALREADY})
NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EADDRNOTAVAIL})

# What connect(2) gives for an ICMP message or a refusal by the system itself; all of them mean that nothing got through.
FILTERED: Final = {
    errno.EHOSTUNREACH: "host unreachable", errno.ENETUNREACH: "network unreachable", errno.EACCES: "prohibited",
    errno.EPERM: "prohibited", errno.ENOPROTOOPT: "protocol unreachable", errno.EHOSTDOWN: "host unreachable",
    errno.ETIMEDOUT: "no answer", errno.ENETDOWN: "network unreachable",
}  # fmt: skip


class ConnectProber:
    """Asks hosts of either IP version, whose addresses are given in order."""

    method = "connect"
    source_ports = ""  # the kernel takes a new one for each

    def __init__(self, targets: Sequence[str]) -> None:
        self._to = [socket_address(target) for target in targets]
        self._families = [socket.AF_INET6 if ":" in target else socket.AF_INET for target in targets]
        self._epoll = select.epoll()
        self._asked: dict[int, tuple[socket.socket, Probe]] = {}  # file number -> who is asked with it
        self._files: dict[tuple[int, int], int] = {}  # (host, port) -> file number
        self._spare: dict[int, list[socket.socket]] = {socket.AF_INET: [], socket.AF_INET6: []}
        self._found: list[Told] = []
        self.unreachable: list[tuple[int, str]] = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        self.files_max = soft - FILES_KEPT if soft != resource.RLIM_INFINITY else 1 << 20
        if self.files_max < 1:
            raise ScanError(f"only {soft} files may be open at once", where="ulimit -n", mend="ulimit -n 1024")

    def send(self, probes: Sequence[Probe]) -> Sequence[Probe]:
        """Start these connections; those for which there was no room."""
        started: list[tuple[socket.socket, Probe]] = []
        left: Sequence[Probe] = ()
        for number, probe in enumerate(probes):
            host, port, _ = probe
            if len(self._asked) + len(started) >= self.files_max:
                left = probes[number:]
                break
            self._drop((host, port))
            to = self._to[host]
            try:
                sock = self._socket(self._families[host])
            except OSError:
                left = probes[number:]
                break
            code = sock.connect_ex((to[0], port, *to[2:]))
            if code in STILL:
                started.append((sock, probe))
            elif code in NO_ROOM:
                sock.close()
                left = probes[number:]
                break
            else:
                self._settle(sock, probe, code)
        self._ask_again(started)
        return left

    def _socket(self, family: int) -> socket.socket:
        spare = self._spare[family]
        if spare:
            return spare.pop()
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        return sock

    def _ask_again(self, started: list[tuple[socket.socket, Probe]]) -> None:
        """Take the answers that came while the batch was started; the rest waits with epoll."""
        for sock, probe in started:
            host, port, _ = probe
            to = self._to[host]
            code = sock.connect_ex((to[0], port, *to[2:]))
            if code not in STILL:
                self._settle(sock, probe, code, spare=True)
                continue
            number = sock.fileno()
            self._asked[number] = sock, probe
            self._files[host, port] = number
            self._epoll.register(number, EVENTS)

    def _settle(self, sock: socket.socket, probe: Probe, code: int, *, spare: bool = False) -> None:
        """A connection was made or refused; ``spare``: the socket may be used again when it was refused."""
        host, port, attempt = probe
        if code in {0, errno.EISCONN}:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            sock.close()
            self._found.append((host, port, attempt, PortState.OPEN, "syn-ack", 0))
        elif code in {errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED}:
            kept = self._spare[self._families[host]]
            if spare and len(kept) < SPARE_MAX:
                kept.append(sock)
            else:
                sock.close()
            self._found.append((host, port, attempt, PortState.CLOSED, "refused", 0))
        else:
            sock.close()
            self._found.append((host, port, attempt, PortState.FILTERED, FILTERED.get(code, errno.errorcode[code]), 0))

    def receive(self, wait_s: float) -> list[Told]:
        """What is known now, after waiting for the first of it for at most ``wait_s``."""
        if not self._asked:
            if wait_s > 0 and not self._found:
                select.select((), (), (), wait_s)
        else:
            wait = 0.0 if self._found else wait_s
            for number, _ in self._epoll.poll(wait, 1_024):
                sock, probe = self._asked[number]
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:  # no error is not yet a connection
                    to = self._to[probe[0]]
                    code = sock.connect_ex((to[0], probe[1], *to[2:]))
                    if code in STILL:
                        continue
                del self._asked[number]
                del self._files[probe[:2]]
                self._epoll.unregister(number)
                self._settle(sock, probe, code)
        found, self._found = self._found, []
        return found

    def _drop(self, question: tuple[int, int]) -> None:
        number = self._files.pop(question, None)
        if number is not None:
            sock, _ = self._asked.pop(number)
            sock.close()  # which takes it out of epoll too

    def forget(self, questions: Iterable[tuple[int, int]]) -> None:
        """Close what still asks these questions (host, port)."""
        for question in questions:
            self._drop(question)

    def close(self) -> None:
        """Close every socket."""
        for sock, _ in self._asked.values():
            sock.close()
        for spare in self._spare.values():
            for sock in spare:
                sock.close()
        self._asked.clear()
        self._epoll.close()
