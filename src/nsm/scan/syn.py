"""TCP probes by a raw socket: SYN out; SYN-ACK is open, RST is closed, ICMP unreachable is filtered.

The kernel, which knows nothing of the connection, resets what is half open. One thread; sends and reads in batches.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from nsm.model.scan import PortState
from nsm.scan.pacing import TRIES_MAX
from nsm.scan.packets import ACK, RST, SYN, SYN_BYTES, UNREACHABLE_V4, UNREACHABLE_V6, Questions, Told
from nsm.scan.raw_socket import open_icmp, open_tcp, reserve_ports
from nsm.scan.route import socket_address
from nsm.scan.schedule import Probe
from nsm.scan.volley import Volleys

READ_MAX: Final = 512  # answers of one turn: sending must go on
SEGMENT_BYTES: Final = 128  # IP header with options and the TCP header; the rest is of no use
# A packet filter of this machine forbids that one probe.
FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})
UNREACHABLE: Final = {
    errno.ENETUNREACH: "no route", errno.EHOSTUNREACH: "no route", errno.ENETDOWN: "interface down",
    errno.EINVAL: "no address of ours for it", errno.EADDRNOTAVAIL: "no address of ours for it",
}  # fmt: skip

_V4 = struct.Struct("!8xB3x4s4xHHIIBB")  # ttl, source address; then TCP: ports, sequence, acknowledged, offset, flags
_V6 = struct.Struct("!HHIIBB")
_OPEN, _CLOSED = PortState.OPEN, PortState.CLOSED


class SynProber:
    """Asks hosts of one IP version; ``pairs`` are their (source, target) addresses, in the order of their numbers."""

    method = "syn"

    def __init__(self, pairs: Sequence[tuple[str, str]], version: int, secret: bytes) -> None:
        self.first_port, self._held = reserve_ports(version, int.from_bytes(secret[:8]))
        self._version = version
        self._questions = Questions([(s, t.partition("%")[0]) for s, t in pairs], self.first_port, secret)
        self._tcp = open_tcp(version, self.first_port)
        self._volleys = Volleys(self._tcp, [socket_address(target) for _, target in pairs], SYN_BYTES)
        self._icmp = open_icmp(version, UNREACHABLE_V4 if version == 4 else UNREACHABLE_V6)
        self._poll = select.poll()
        for sock in (self._tcp, self._icmp):
            self._poll.register(sock, select.POLLIN)
        self._forbidden: list[Told] = []
        self.unreachable: list[tuple[int, str]] = []  # (host, why): whoever reads them empties it

    @property
    def source_ports(self) -> str:
        """The ports that the probes come from, for whoever must not take them for an attack."""
        return f"{self.first_port}-{self.first_port + TRIES_MAX - 1}"

    def send(self, probes: Sequence[Probe]) -> Sequence[Probe]:
        """Begin to send them in order; those of the call before that found no room in the kernel's buffers."""
        syn = self._questions.syn
        sent = self._volleys.send(probes, [syn(*probe) for probe in probes])
        for host, port, attempt, code in sent.refused:
            if code in FORBIDDEN:
                self._forbidden.append((host, port, attempt, PortState.FILTERED, "forbidden here", 0))
            else:
                self.unreachable.append((host, UNREACHABLE.get(code, os.strerror(code))))
        return sent.left

    def receive(self, wait_s: float) -> list[Told]:
        """What has come, after waiting for the first of it for at most ``wait_s``."""
        if self._forbidden:
            found, self._forbidden = self._forbidden, []
            return found
        if wait_s > 0 and not self._poll.poll(wait_s * 1000):
            return []
        found = self._read_v4() if self._version == 4 else self._read_v6()
        self._read_icmp(found)
        return found

    def _read_v4(self) -> list[Told]:
        found: list[Told] = []
        recv, numbers, proves, first = self._tcp.recv, self._questions.numbers, self._questions.proves, self.first_port
        unpack, size = _V4.unpack_from, _V4.size
        try:
            for _ in range(READ_MAX):
                data = recv(SEGMENT_BYTES)
                if data[0] != 0x45:  # with IP options: as if there were none
                    data = data[:20] + data[(data[0] & 0x0F) * 4 :]
                if len(data) < size:
                    continue
                ttl, source, port, to, _, acknowledged, _, flags = unpack(data)
                host = numbers.get(source)
                if host is None or not proves(host, port, acknowledged):
                    continue
                if flags & RST:
                    found.append((host, port, to - first + 1, _CLOSED, "rst", ttl))
                elif flags & (SYN | ACK) == SYN | ACK:
                    found.append((host, port, to - first + 1, _OPEN, "syn-ack", ttl))
        except BlockingIOError:
            pass
        return found

    def _read_v6(self) -> list[Told]:
        found: list[Told] = []
        recvfrom, numbers, proves = self._tcp.recvfrom, self._questions.numbers, self._questions.proves
        packed: dict[str, bytes] = {}
        try:
            for _ in range(READ_MAX):
                data, sender = recvfrom(SEGMENT_BYTES)
                if len(data) < _V6.size:
                    continue
                port, to, _, acknowledged, _, flags = _V6.unpack_from(data)
                text = sender[0]
                if text not in packed:
                    packed[text] = socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
                host = numbers.get(packed[text])
                if host is None or not proves(host, port, acknowledged):
                    continue
                if flags & RST:
                    found.append((host, port, to - self.first_port + 1, _CLOSED, "rst", 0))
                elif flags & (SYN | ACK) == SYN | ACK:
                    found.append((host, port, to - self.first_port + 1, _OPEN, "syn-ack", 0))
        except BlockingIOError:
            pass
        return found

    def _read_icmp(self, found: list[Told]) -> None:
        try:
            for _ in range(READ_MAX):
                data = self._icmp.recv(512)
                ttl = 0
                if self._version == 4:
                    ttl, data = data[8], data[(data[0] & 0x0F) * 4 :]
                told = self._questions.unreachable(data, self._version, ttl)
                if told is not None:
                    found.append(told)
        except BlockingIOError:
            pass

    def forget(self, questions: Iterable[tuple[int, int]]) -> None:
        """Nothing is kept for a question here."""

    def close(self) -> None:
        """Give back sockets and ports."""
        self._volleys.close()
        for sock in (self._tcp, self._icmp, *self._held):
            sock.close()
