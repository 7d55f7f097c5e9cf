"""The demo's source of packets: an office's traffic, then a bad quarter of an hour, over and over, at the wall's time.

Ordinary browsing, DNS and pings all the time; every few minutes a port scan, a SYN flood, a host sweep, a service that
refuses. Frames are made as they would come from a wire, so that the whole engine is at work. Names and addresses are of the
ranges for documentation (RFC 5737) and private ones.
"""

from __future__ import annotations

import heapq
import random
import struct
import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from nsm.capture.source import SourceCounters
from nsm.kernels.constants import LINK_ETHERNET
from nsm.model.batch import PacketBatch

SYN, ACK, RST, FIN, PSH = 0x02, 0x10, 0x04, 0x01, 0x08
BUFFER_BYTES: Final = 4 << 20
ROWS: Final = 4_096
STEP_S: Final = 0.05
FLOWS_PER_S: Final = 14.0
CLIENTS: Final = 12
SERVERS: Final = 60
CYCLE_S: Final = 300.0
# Second of the cycle -> what begins then.
SCENES: Final = (
    (12.0, "port_scan"), (45.0, "syn_flood"), (80.0, "host_sweep"), (120.0, "refused"), (170.0, "udp_scan"), (220.0, "large"),
)  # fmt: skip

Event = tuple[float, int, Iterator[tuple[float, bytes]], bytes]


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def frame(src: str, dst: str, proto: int, segment: bytes) -> bytes:
    """An Ethernet frame with IPv4; checksums of the header are right, those of the payload are left to the card."""
    source, target = bytes(map(int, src.split("."))), bytes(map(int, dst.split(".")))
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, proto, 0) + source + target
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return b"\x02\0" + target + b"\x02\0" + source + b"\x08\0" + head + segment


def tcp(src: str, dst: str, sport: int, dport: int, seq: int, ack: int, flags: int, payload: bytes = b"") -> bytes:
    """A TCP frame."""
    header = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 64240, 0, 0)
    return frame(src, dst, 6, header + payload)


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes) -> bytes:
    """A UDP frame."""
    return frame(src, dst, 17, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload)


class DemoSource:
    """Endless batches at the wall's time. ``speed`` above 1 makes more happen in a second."""

    def __init__(self, speed: float = 1.0, seed: int = 7) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - makes traffic, not secrets
        self._speed = max(0.1, speed)
        self._batch = PacketBatch(np.zeros(BUFFER_BYTES, np.uint8), ROWS)
        self._queue: list[Event] = []
        self._serial = 0
        self._packets = 0
        self._closed = False
        self._clients = [f"192.168.1.{20 + n}" for n in range(CLIENTS)]
        self._servers = [f"203.0.113.{n + 1}" for n in range(SERVERS)]

    @property
    def interfaces(self) -> tuple[str, ...]:
        """One, named demo."""
        return ("demo",)

    def batches(self) -> Iterator[PacketBatch]:
        """Batches every 50 ms until closed."""
        began = time.time()
        clock = began
        scene = 0
        while not self._closed:
            until = time.time()
            while clock < until:
                clock += self._rng.expovariate(FLOWS_PER_S * self._speed)
                self._begin(clock, self._ordinary())
            passed = (until - began) * self._speed
            while passed >= (scene // len(SCENES)) * CYCLE_S + SCENES[scene % len(SCENES)][0]:
                self._begin(until, getattr(self, f"_{SCENES[scene % len(SCENES)][1]}")())
                scene += 1
            yield self._fill(until)
            time.sleep(STEP_S)

    def _begin(self, at: float, frames: Iterator[tuple[float, bytes]]) -> None:
        first = next(frames, None)
        if first is not None:
            self._serial += 1
            heapq.heappush(self._queue, (at + first[0], self._serial, frames, first[1]))

    def _fill(self, until: float) -> PacketBatch:
        """The frames that are due, in order of time, as far as the batch holds them."""
        batch, count, at = self._batch, 0, 0
        while self._queue and self._queue[0][0] <= until and count < ROWS and at < BUFFER_BYTES - 65_536:
            when, serial, frames, data = heapq.heappop(self._queue)
            batch.data[at : at + len(data)] = np.frombuffer(data, np.uint8)
            batch.ts_ns[count], batch.offset[count] = int(when * 1e9), at
            batch.caplen[count] = batch.wirelen[count] = len(data)
            batch.links[count] = LINK_ETHERNET
            at += len(data)
            count += 1
            following = next(frames, None)
            if following is not None:
                heapq.heappush(self._queue, (when + following[0], serial, frames, following[1]))
        batch.count, batch.first_number = count, self._packets + 1
        self._packets += count
        return batch

    # Each scene yields (seconds since the frame before, frame).

    def _ordinary(self) -> Iterator[tuple[float, bytes]]:
        rng = self._rng
        client, draw = rng.choice(self._clients), rng.random()
        if draw < 0.35:
            number, name = rng.randrange(65_536), f"host{rng.randrange(300)}.example"
            question = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
            sport = rng.randrange(32_768, 61_000)
            yield (
                0.0,
                udp(client, "192.168.1.1", sport, 53, struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + question),
            )
            answer = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + rng.randbytes(4)
            yield (
                0.01,
                udp(
                    "192.168.1.1",
                    client,
                    53,
                    sport,
                    struct.pack(">HHHHHH", number, 0x8180, 1, 1, 0, 0) + question + answer,
                ),
            )
        elif draw < 0.40:
            for number in range(4):
                body = struct.pack(">BBHHH", 8, 0, 0, 9, number) + bytes(56)
                yield 1.0 * bool(number), frame(client, "192.168.1.1", 1, body)
                yield 0.001, frame("192.168.1.1", client, 1, b"\0" + body[1:])
        else:
            yield from self._connection(client, rng.choice(self._servers), 443 if draw < 0.85 else 80)

    def _connection(self, client: str, server: str, port: int) -> Iterator[tuple[float, bytes]]:
        rng = self._rng
        sport, a, b = rng.randrange(32_768, 61_000), rng.randrange(1 << 32), rng.randrange(1 << 32)
        yield 0.0, tcp(client, server, sport, port, a, 0, SYN)
        yield 0.02, tcp(server, client, port, sport, b, a + 1, SYN | ACK)
        yield 0.001, tcp(client, server, sport, port, a + 1, b + 1, ACK)
        hello = (
            b"\x16\3\1\2\0\1\0\1\xfc\3\3" + rng.randbytes(500)
            if port == 443
            else b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
        )
        yield 0.001, tcp(client, server, sport, port, a + 1, b + 1, ACK | PSH, hello)
        a, b = a + 1 + len(hello), b + 1
        reply = (b"\x16\3\3\0\x7a\2" if port == 443 else b"HTTP/1.1 200 OK\r\n\r\n") + rng.randbytes(900)
        for number in range(int(rng.expovariate(1 / 12)) + 2):
            data = reply if number == 0 else rng.randbytes(rng.choice((200, 1_200, 1_400)))
            yield rng.uniform(0.005, 0.2), tcp(server, client, port, sport, b, a, ACK | PSH, data)
            b += len(data)
            yield 0.002, tcp(client, server, sport, port, a, b, ACK)
        yield 0.05, tcp(client, server, sport, port, a, b, FIN | ACK)
        yield 0.02, tcp(server, client, port, sport, b, a + 1, FIN | ACK)
        yield 0.001, tcp(client, server, sport, port, a + 1, b + 1, ACK)

    def _port_scan(self) -> Iterator[tuple[float, bytes]]:
        ports = list(range(1, 400))
        self._rng.shuffle(ports)
        for port in ports:
            yield 0.01, tcp("192.168.1.23", "192.168.1.5", 40_000, port, port, 0, SYN)
            yield 0.001, tcp("192.168.1.5", "192.168.1.23", port, 40_000, 0, port + 1, RST | ACK)

    def _syn_flood(self) -> Iterator[tuple[float, bytes]]:
        for _ in range(9_000):
            source = f"198.51.100.{self._rng.randrange(1, 255)}"
            yield (
                0.0004,
                tcp(
                    source, "192.168.1.8", self._rng.randrange(1_024, 65_535), 443, self._rng.randrange(1 << 32), 0, SYN
                ),
            )

    def _host_sweep(self) -> Iterator[tuple[float, bytes]]:
        for host in range(30, 120):
            yield 0.05, tcp("192.168.1.31", f"192.168.1.{host}", 50_000 + host, 23, host, 0, SYN)

    def _refused(self) -> Iterator[tuple[float, bytes]]:
        for number in range(30):
            yield 1.0, tcp("192.168.1.26", "192.168.1.5", 51_000 + number, 22, number, 0, SYN)
            yield 0.001, tcp("192.168.1.5", "192.168.1.26", 22, 51_000 + number, 0, number + 1, RST | ACK)

    def _udp_scan(self) -> Iterator[tuple[float, bytes]]:
        for port in range(1_000, 1_120):
            yield 0.05, udp("192.168.1.23", "192.168.1.5", 45_000, port, b"\0" * 8)

    def _large(self) -> Iterator[tuple[float, bytes]]:
        for number in range(3):
            yield 1.0, frame("192.168.1.29", "203.0.113.9", 1, struct.pack(">BBHHH", 8, 0, 0, 5, number) + bytes(1_400))

    def counters(self) -> SourceCounters:
        """Packets so far."""
        return SourceCounters(packets=self._packets)

    def close(self) -> None:
        """End ``batches``."""
        self._closed = True
