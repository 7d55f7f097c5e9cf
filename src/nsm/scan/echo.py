"""Hosts anywhere by ICMP echo, and for IPv4 by its timestamp, through a raw socket; and what an answer of a host is."""

from __future__ import annotations

import contextlib
import select
import struct
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from nsm.scan.pacing import Bucket
from nsm.scan.raw_socket import open_icmp
from nsm.scan.route import socket_address

ECHO_V4, ECHO_REPLY_V4, ECHO_V6, ECHO_REPLY_V6 = 8, 0, 128, 129  # RFC 792; RFC 4443, section 4
TIMESTAMP, TIMESTAMP_REPLY = 13, 14  # RFC 792: some hosts that ignore echo answer it
NUMBERS: Final = 0x10000  # of the field that tells the hosts apart

Clock = Callable[[], float]


class Up(msgspec.Struct, frozen=True):
    """What shows that a host is up, in the words of ``ScannedHost.up_by``; ``rtt`` in s, 0 where it was not measured."""

    by: str
    rtt: float = 0.0
    mac: str = ""


class Echo:
    """Echo requests to many hosts of one IP version; answers prove by their id and number that they are ours."""

    def __init__(self, version: int, tag: int) -> None:
        self._version, self._tag = version, tag & 0xFFFF
        self.sock = open_icmp(version, *((ECHO_REPLY_V4, TIMESTAMP_REPLY) if version == 4 else (ECHO_REPLY_V6,)))
        self._asked: dict[int, tuple[str, float]] = {}

    def ask(self, addresses: Iterable[str], bucket: Bucket, clock: Clock, tell: Callable[[], bool]) -> None:
        """Ask each once; at most 65,536, which the sequence number tells apart."""
        for number, address in enumerate(addresses):
            if number >= NUMBERS:
                return
            for kind, more in ((ECHO_V4, b""), (TIMESTAMP, bytes(12))) if self._version == 4 else ((ECHO_V6, b""),):
                if not wait_for_room(bucket, clock, tell):
                    return
                self._asked[number] = address, clock()
                with contextlib.suppress(OSError):  # no route, or not allowed: then it does not answer
                    self.sock.sendto(self._question(kind, number) + more, socket_address(address))

    def _question(self, kind: int, number: int) -> bytes:
        """The first words, with the checksum where the kernel does not fill it in; what follows is zeros."""
        total = (kind << 8) + self._tag + number if self._version == 4 else 0xFFFF
        total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("!BBHHH", kind, 0, ~(total + (total >> 16)) & 0xFFFF, self._tag, number)

    def read(self, now: float) -> dict[str, Up]:
        """The hosts that have answered."""
        found: dict[str, Up] = {}
        with contextlib.suppress(BlockingIOError):
            while len(found) < NUMBERS:
                data = self.sock.recv(128)
                if self._version == 4:
                    data = data[(data[0] & 0x0F) * 4 :]
                if len(data) < 8:
                    continue
                kind, _, _, tag, number = struct.unpack_from("!BBHHH", data)
                if tag == self._tag and number in self._asked:
                    address, sent = self._asked[number]
                    found.setdefault(
                        address, Up(f"icmp {'timestamp' if kind == TIMESTAMP_REPLY else 'echo'}", now - sent)
                    )
        return found


def wait_for_room(bucket: Bucket, clock: Clock, tell: Callable[[], bool]) -> bool:
    """Wait until the rate allows one more, and take it; False when the scan is to stop."""
    while not bucket.room(clock()):
        if not tell():
            return False
        select.select((), (), (), min(0.05, max(bucket.wait(), 0.0005)))
    bucket.take(1)
    return True
