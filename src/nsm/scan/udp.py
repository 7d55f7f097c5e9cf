"""UDP probes by plain sockets: a datagram back is open, ICMP port unreachable is closed, other ICMP is filtered.

Needs no privilege: with IP_RECVERR the kernel hands the ICMP messages about our datagrams to the socket that sent them
(ip(7), ipv6(7); struct sock_extended_err of linux/errqueue.h). Silence says nothing: open|filtered. Each try has a socket,
so that an answer belongs to a try.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from nsm.model.scan import PortState
from nsm.scan.packets import FILTERED_V4, FILTERED_V6, UNREACHABLE_V4, UNREACHABLE_V6, Told
from nsm.scan.payloads import payload_of
from nsm.scan.raw_socket import FULL, RECEIVE_BYTES
from nsm.scan.route import socket_address
from nsm.scan.schedule import Probe
from nsm.scan.syn import FORBIDDEN, UNREACHABLE

TRIES_MAX: Final = 4  # ours: as many sockets; later tries share the last one
IP_RECVERR, IPV6_RECVERR = 11, 25
ORIGIN_ICMP, ORIGIN_ICMP6 = 2, 3
PORT_UNREACHABLE_V4, PORT_UNREACHABLE_V6 = 3, 4
READ_MAX: Final = 512
# An ICMP message that waits for the socket fails the next call on it, whatever that is for; then it is in the queue.
TOLD_LATER: Final = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENOPROTOOPT, errno.ENETUNREACH})
WAITING_ERRORS_MAX: Final = 8  # ours: so many sendings in a row fail only when there is no way
TFTP: Final = 69
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_CONTROL_BYTES: Final = 512


class UdpProber:
    """Asks hosts of one IP version, whose addresses are given in order."""

    method = "udp"

    def __init__(self, targets: Sequence[str], version: int) -> None:
        self._to = [socket_address(target) for target in targets]
        self._numbers = {to[0]: number for number, to in enumerate(self._to)}
        self._asked: dict[tuple[int, int], int] = {}  # (host, port) -> tries
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self._sockets = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(TRIES_MAX)]
        self._poll = select.poll()
        self._by_file = {sock.fileno(): (sock, attempt) for attempt, sock in enumerate(self._sockets, 1)}
        for sock in self._sockets:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            if version == 4:
                sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            sock.bind(("", 0))
            self._poll.register(sock, select.POLLIN)
        self._forbidden: list[Told] = []
        self.unreachable: list[tuple[int, str]] = []

    @property
    def source_ports(self) -> str:
        """The ports that the probes come from."""
        return ",".join(str(sock.getsockname()[1]) for sock in self._sockets)

    def send(self, probes: Sequence[Probe]) -> Sequence[Probe]:
        """Send them in order; those that found no room in the kernel's buffers."""
        for number, (host, port, attempt) in enumerate(probes):
            to = self._to[host]
            sock = self._sockets[min(attempt, TRIES_MAX) - 1]
            self._asked[host, port] = attempt
            code = self._send_one(sock, (to[0], port, *to[2:]))
            if code in FULL:
                return probes[number:]
            if code in FORBIDDEN:
                self._forbidden.append((host, port, attempt, PortState.FILTERED, "forbidden here", 0))
            elif code:
                self.unreachable.append((host, UNREACHABLE.get(code, errno.errorcode.get(code, "error"))))
        return ()

    def _send_one(self, sock: socket.socket, to: tuple[str | int, ...]) -> int:
        """Send one datagram; 0, or the number of the error that sending it has."""
        code = 0
        for _ in range(WAITING_ERRORS_MAX):
            try:
                sock.sendto(payload_of(int(to[1])), to)
            except OSError as error:
                code = error.errno or 0
                if code not in TOLD_LATER:
                    return code
            else:
                return 0
        return code

    def receive(self, wait_s: float) -> list[Told]:
        """What has come, after waiting for the first of it for at most ``wait_s``."""
        found, self._forbidden = self._forbidden, []
        for number, events in self._poll.poll(max(0.0, wait_s) * 1000):
            sock, attempt = self._by_file[number]
            if events & select.POLLERR:
                self._read_errors(sock, attempt, found)
            self._read_answers(sock, attempt, found)
        return found

    def _read_answers(self, sock: socket.socket, attempt: int, found: list[Told]) -> None:
        for _ in range(READ_MAX):
            try:
                sender = sock.recvfrom(1)[1]
            except BlockingIOError:
                return
            except OSError:  # told again by the error queue
                continue
            host = self._numbers.get(str(sender[0]).partition("%")[0], -1)
            port = int(sender[1])
            if (host, port) not in self._asked:  # TFTP answers from a port of its own: RFC 1350, section 4
                port = TFTP
            if (host, port) in self._asked:
                found.append((host, port, self._try(host, port, attempt), PortState.OPEN, "answer", 0))

    def _try(self, host: int, port: int, attempt: int) -> int:
        """The number of the try that this socket sent last to the port."""
        return attempt if attempt < TRIES_MAX else max(attempt, self._asked[host, port])

    def _read_errors(self, sock: socket.socket, attempt: int, found: list[Told]) -> None:
        for _ in range(READ_MAX):
            try:
                _, control, _, to = sock.recvmsg(1, _CONTROL_BYTES, socket.MSG_ERRQUEUE)
            except OSError:
                return
            host = self._numbers.get(str(to[0]).partition("%")[0], -1)
            port = int(to[1])
            state, reason = _meaning(control)
            if state is not None and (host, port) in self._asked:
                found.append((host, port, self._try(host, port, attempt), state, reason, 0))

    def forget(self, questions: Iterable[tuple[int, int]]) -> None:
        """Late answers are still taken: nothing to forget."""

    def close(self) -> None:
        """Close every socket."""
        for sock in self._sockets:
            sock.close()


def _meaning(control: list[tuple[int, int, bytes]]) -> tuple[PortState | None, str]:
    """(state, reason) that an entry of the error queue tells; (None, "") when it is none about a port."""
    for _, kind, data in control:
        if kind not in {IP_RECVERR, IPV6_RECVERR} or len(data) < _EXTENDED_ERROR.size:
            continue
        _, origin, icmp, code, _, _, _ = _EXTENDED_ERROR.unpack_from(data)
        reason = f"icmp {icmp}/{code}"
        if origin == ORIGIN_ICMP and icmp == UNREACHABLE_V4:
            if code == PORT_UNREACHABLE_V4:
                return PortState.CLOSED, reason
            return (PortState.FILTERED, reason) if code in FILTERED_V4 else (None, "")
        if origin == ORIGIN_ICMP6 and icmp == UNREACHABLE_V6:
            if code == PORT_UNREACHABLE_V6:
                return PortState.CLOSED, reason
            return (PortState.FILTERED, reason) if code in FILTERED_V6 else (None, "")
    return None, ""
