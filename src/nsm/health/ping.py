"""Probes of a target, by the best way that is allowed: ICMP echo over a datagram socket, over a raw one, TCP connects.

A datagram socket needs the group in ``net.ipv4.ping_group_range`` (icmp(7)); a raw one CAP_NET_RAW, so another process
may open it and hand it over. A TCP connect to 443, 53 or 80 needs nothing: a refusal (RST) is an answer as good as any,
but it says how long the target's TCP takes, so figures are marked ``tcp``.
ICMP: RFC 792; RFC 4443, section 4. Constants: Linux include/uapi/linux/{icmp,icmpv6,in6}.h.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

import icmplib

from nsm.health.probes import NUMBERS

REQUEST: Final = {4: 8, 6: 128}
REPLY: Final = {4: 0, 6: 129}
SOL_RAW, ICMP_FILTER, ICMP6_FILTER = 255, 1, 1
PORTS: Final = (443, 53, 80)
TCP_WAIT_S: Final = 3.0  # so long a connection is waited for: what comes after the time-out is late, not lost
READS_MAX: Final = 1_000  # answers taken at once
DATAGRAM, RAW, TCP = "icmp", "icmp raw", "tcp"


def version_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


def open_raw(version: int) -> socket.socket | None:
    """A raw socket that receives echo replies alone; None without the privilege or the IP version."""
    proto = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    try:
        sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_RAW, proto)
    except OSError:
        return None
    if version == 4:  # a set bit blocks; types above 31 always pass
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("I", 0xFFFFFFFF & ~(1 << REPLY[4])))
    else:
        words = [0xFFFFFFFF] * 8
        words[REPLY[6] >> 5] &= ~(1 << (REPLY[6] & 31))
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("8I", *words))
    return sock


class Datagram:
    """Echoes through a datagram socket: the kernel sets the identifier, and gives us what answers it."""

    method: Final = DATAGRAM

    def __init__(self, version: int) -> None:
        kind = icmplib.ICMPv4Socket if version == 4 else icmplib.ICMPv6Socket
        self._socket = kind(privileged=False)
        self._socket.blocking = False
        self.sock: socket.socket = self._socket.sock

    def send(self, address: str, number: int) -> None:
        """Send one; OSError when it cannot leave this machine."""
        try:
            self._socket.send(icmplib.ICMPRequest(address, 0, number, payload_size=24))
        except icmplib.ICMPLibError as error:
            raise OSError(str(error)) from error

    def read(self) -> Iterator[tuple[str, int]]:
        """(address, number) of the answers that are there."""
        for data, address in _received(self.sock):
            if len(data) >= 8 and data[0] in REPLY.values():
                yield address, struct.unpack_from("!H", data, 6)[0]


class Raw:
    """Echoes through a raw socket; an identifier of our own tells our answers from those of others."""

    method: Final = RAW

    def __init__(self, version: int, sock: socket.socket) -> None:
        self._version, self.sock = version, sock
        self._tag = int.from_bytes(os.urandom(2), "big")
        sock.setblocking(False)

    def send(self, address: str, number: int) -> None:
        """Send one; OSError when it cannot leave this machine."""
        body = struct.pack("!BBHHH", REQUEST[self._version], 0, 0, self._tag, number) + bytes(24)
        if self._version == 4:  # the kernel fills it in for IPv6 alone
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        self.sock.sendto(body, address_of(address, 0))

    def read(self) -> Iterator[tuple[str, int]]:
        """(address, number) of the answers that are there."""
        for data, address in _received(self.sock):
            start = (data[0] & 0x0F) * 4 if self._version == 4 and data else 0
            if len(data) >= start + 8 and data[start] == REPLY[self._version]:
                tag, number = struct.unpack_from("!HH", data, start + 4)
                if tag == self._tag:
                    yield address, number


def open_echo(version: int, handed: socket.socket | None = None) -> Datagram | Raw | None:
    """The best way of sending echoes; ``handed``: a raw socket that somebody else opened. None: only TCP is left."""
    try:
        return Datagram(version)
    except icmplib.ICMPLibError:
        return Raw(version, handed) if handed is not None else None


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def address_of(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """The socket address of an address text, which may have a zone."""
    found = socket.getaddrinfo(address, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_STREAM)
    return found[0][4]  # type: ignore[return-value]  # of IPv4 or IPv6, by the address


class TcpConnects:
    """Connects to one target; keeps to the port that answered, else tries one after the other."""

    method: Final = TCP

    def __init__(self, address: str) -> None:
        self._address = address
        self._place = 0
        self._answered = False

    @property
    def port(self) -> int:
        """The port that is asked now."""
        return PORTS[self._place % len(PORTS)]

    async def ask(self) -> bool:
        """Connect once: True for an answer, which a refusal is too; False when none came in TCP_WAIT_S."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET if version_of(self._address) == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            try:
                async with asyncio.timeout(TCP_WAIT_S):
                    await loop.sock_connect(sock, address_of(self._address, self.port))
            except ConnectionRefusedError:
                pass
            except (OSError, TimeoutError):
                self._place += not self._answered
                return False
        self._answered = True
        return True


def ways(handed: Mapping[int, socket.socket]) -> dict[int, Datagram | Raw]:
    """Version -> how echoes are sent; a version that is missing has TCP alone."""
    found = {version: open_echo(version, handed.get(version)) for version in (4, 6)}
    return {version: way for version, way in found.items() if way is not None}


def _received(sock: socket.socket) -> Iterator[tuple[bytes, str]]:
    with contextlib.suppress(BlockingIOError, ConnectionError):
        for _ in range(min(READS_MAX, NUMBERS)):
            data, address = sock.recvfrom(256)
            yield data, str(address[0])
