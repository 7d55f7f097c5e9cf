"""Writes the capture of the benchmarks: a million packets of ordinary mix, or a flood of SYNs from spoofed sources.

    python bench/make_capture.py mix FILE [--packets N] [--seed S]
    python bench/make_capture.py flood FILE [--packets N] [--seconds T]

mix: 65 % TCP, 32 % UDP, 3 % ICMP packets, mean frame about 330 bytes, one flow for every 20 packets, 300 s, 20 % IPv6,
10 % VLAN; handshakes, real DNS, HTTP and TLS first payloads, true checksums.
"""

from __future__ import annotations

import argparse
import heapq
import random
import struct
from collections.abc import Iterator
from pathlib import Path

BASE_S = 1_700_000_000
SYN, ACK, PSH, FIN = 0x02, 0x10, 0x08, 0x01
PCAP_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Host:
    """One end of a conversation."""

    def __init__(self, version: int, number: int, local: bool) -> None:
        if version == 4:
            prefix = bytes((10, 20)) if local else bytes((198, 18 + (number >> 16) % 2))
            self.address = prefix + struct.pack(">H", number & 0xFFFF)
        else:
            self.address = bytes.fromhex("20010db800000000" if local else "20010db8ffff0000") + struct.pack(
                ">Q", number
            )
        self.mac = b"\x02\0" + struct.pack(">I", number + (1 << 31 if local else 0))


class Conversation:
    """Frames between two hosts, both directions."""

    def __init__(self, rng: random.Random, version: int, vlan: int, client: Host, server: Host, sport: int, dport: int):
        self.rng, self.version, self.vlan = rng, version, vlan
        self.ends = ((client, sport), (server, dport))
        self.seq = [rng.randrange(1 << 32), rng.randrange(1 << 32)]
        self.identifier = rng.randrange(65536)

    def frame(self, proto: int, side: int, segment: bytes) -> bytes:
        """A whole frame around a transport segment whose checksum field is zero."""
        (source, _), (target, _) = self.ends[side], self.ends[1 - side]
        pseudo = source.address + target.address + struct.pack(">HH", proto, len(segment))
        if proto != 1:
            place = {6: 16, 17: 6, 58: 2}[proto]
            value = checksum(pseudo + segment)
        else:
            place, value = 2, checksum(segment)
        segment = segment[:place] + struct.pack(">H", value) + segment[place + 2 :]
        if self.version == 4:
            self.identifier = (self.identifier + 1) & 0xFFFF
            head = struct.pack(
                ">BBHHHBBH", 0x45, 0, 20 + len(segment), self.identifier, 0x4000, 64 - side * 8, proto, 0
            )
            head += source.address + target.address
            head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
            kind = b"\x08\x00"
        else:
            head = struct.pack(">IHBB", 6 << 28, len(segment), proto, 64 - side * 8) + source.address + target.address
            kind = b"\x86\xdd"
        tag = b"\x81\x00" + struct.pack(">H", self.vlan) if self.vlan else b""
        return target.mac + source.mac + tag + kind + head + segment

    def tcp(self, side: int, flags: int, payload: bytes = b"") -> bytes:
        """A TCP segment that goes on where the last one of its side ended."""
        header = struct.pack(
            ">HHIIBBHHH", self.ends[side][1], self.ends[1 - side][1], self.seq[side],
            self.seq[1 - side] if flags & ACK else 0, 0x50, flags, 64240, 0, 0,
        )  # fmt: skip
        self.seq[side] = (self.seq[side] + len(payload) + (1 if flags & (SYN | FIN) else 0)) & 0xFFFFFFFF
        return self.frame(6, side, header + payload)

    def udp(self, side: int, payload: bytes) -> bytes:
        """A datagram."""
        header = struct.pack(">HHHH", self.ends[side][1], self.ends[1 - side][1], 8 + len(payload), 0)
        return self.frame(17, side, header + payload)

    def echo(self, side: int, number: int) -> bytes:
        """An ICMP echo request or reply."""
        kind = (8, 0)[side] if self.version == 4 else (128, 129)[side]
        body = struct.pack(">BBHHH", kind, 0, 0, 7, number & 0xFFFF) + bytes(range(56))
        return self.frame(1 if self.version == 4 else 58, side, body)


def client_hello(rng: random.Random, name: bytes) -> bytes:
    """A TLS 1.3 ClientHello (RFC 8446, section 4.1.2) with SNI, ALPN and a key share."""

    def extension(kind: int, body: bytes) -> bytes:
        return struct.pack(">HH", kind, len(body)) + body

    sni = struct.pack(">HBH", len(name) + 3, 0, len(name)) + name
    share = struct.pack(">HHH", 36, 29, 32) + rng.randbytes(32)
    parts = extension(0, sni) + extension(10, struct.pack(">HHH", 4, 29, 23)) + extension(16, b"\0\x0c\2h2\x08http/1.1")
    parts += extension(43, b"\4\3\4\3\3") + extension(13, struct.pack(">HHH", 4, 0x0403, 0x0804)) + extension(51, share)
    body = b"\3\3" + rng.randbytes(32) + b"\x20" + rng.randbytes(32) + struct.pack(">HHHH", 6, 0x1301, 0x1302, 0xC02F)
    body += b"\1\0" + struct.pack(">H", len(parts)) + parts
    message = b"\1" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack(">H", len(message)) + message


def dns(rng: random.Random, name: str, answer: bool, number: int) -> bytes:
    """A query for A, or its answer (RFC 1035, section 4)."""
    question = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    header = struct.pack(">HHHHHH", number, 0x8180 if answer else 0x0100, 1, int(answer), 0, 0)
    record = b"\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4" + rng.randbytes(4) if answer else b""
    return header + question + record


def server_hello(rng: random.Random) -> bytes:
    """A TLS 1.3 ServerHello with a key share, and the first record that is encrypted (RFC 8446, section 4.1.3)."""
    extensions = b"\0\x2b\0\2\3\4" + b"\0\x33\0\x24\0\x1d\0\x20" + rng.randbytes(32)
    body = (
        b"\3\3"
        + rng.randbytes(32)
        + b"\x20"
        + rng.randbytes(32)
        + b"\x13\1\0"
        + struct.pack(">H", len(extensions))
        + extensions
    )
    hello = b"\2" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\3" + struct.pack(">H", len(hello)) + hello + b"\x14\3\3\0\1\1" + sealed(rng, 600)


def sealed(rng: random.Random, size: int) -> bytes:
    """A TLS record of encrypted data, ``size`` bytes in all."""
    return b"\x17\3\3" + struct.pack(">H", size - 5) + rng.randbytes(size - 5)


def tcp_flow(rng: random.Random, talk: Conversation, packets: int, kind: str, name: str) -> Iterator[bytes]:
    """``packets`` frames of a connection: handshake, first payloads of TLS or HTTP, data, tear-down."""
    yield talk.tcp(0, SYN)
    yield talk.tcp(1, SYN | ACK)
    yield talk.tcp(0, ACK)
    if kind == "tls":
        yield talk.tcp(0, ACK | PSH, client_hello(rng, name.encode()))
    else:
        yield talk.tcp(
            0, ACK | PSH, f"GET /{rng.randrange(999)} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: bench\r\n\r\n".encode()
        )
    sizes = [1200 if rng.random() < 0.30 else rng.randrange(0, 200) for _ in range(packets - 7)]
    pieces = [rng.randbytes(size) for size in sizes]
    if kind == "tls" and len(sizes) > 1:
        pieces = [sealed(rng, size) if size > 5 else b"" for size in sizes]
        pieces[0] = server_hello(rng)
        pieces[1] = sealed(rng, 79)
    elif kind == "http" and sizes:
        body = sum(sizes[1:])
        pieces[0] = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {body}\r\n\r\n".encode()
    for place, piece in enumerate(pieces):
        from_server = bool(piece) and not (kind == "tls" and place == 1)  # the client's Finished
        yield talk.tcp(1 if from_server else 0, ACK | PSH if piece else ACK, piece)
    yield talk.tcp(0, FIN | ACK)
    yield talk.tcp(1, FIN | ACK)
    yield talk.tcp(0, ACK)


def mix(packets: int, seed: int) -> Iterator[tuple[float, bytes]]:
    """(seconds from the start, frame) in order of time."""
    rng = random.Random(seed)
    flows = packets // 20
    queue: list[tuple[float, int, float, Iterator[bytes]]] = []
    begins = sorted(rng.random() * 290 for _ in range(flows))
    servers = {v: [Host(v, 1000 + n, False) for n in range(3000)] for v in (4, 6)}
    clients = {v: [Host(v, n + 2, True) for n in range(500)] for v in (4, 6)}
    serial = 0

    def make(begin: float) -> tuple[float, int, float, Iterator[bytes]]:
        version = 6 if rng.random() < 0.2 else 4
        vlan = rng.choice((10, 20, 30)) if rng.random() < 0.1 else 0
        client, server = rng.choice(clients[version]), rng.choice(servers[version])
        name = f"host{rng.randrange(5000)}.example.net"
        draw = rng.random()
        if draw < 0.46:
            kind = "tls" if draw < 0.30 else "http"
            talk = Conversation(
                rng, version, vlan, client, server, rng.randrange(32768, 61000), 443 if kind == "tls" else 80
            )
            count = max(8, int(rng.expovariate(1 / 21) + 8))
            frames = tcp_flow(rng, talk, count, kind, name)
        elif draw < 0.78:
            talk = Conversation(rng, version, vlan, client, server, rng.randrange(32768, 61000), 53)
            number = rng.randrange(65536)
            frames = iter((talk.udp(0, dns(rng, name, False, number)), talk.udp(1, dns(rng, name, True, number))))
            count = 2
        elif draw < 0.985:
            talk = Conversation(rng, version, vlan, client, server, rng.randrange(32768, 61000), 3478)
            count = max(2, int(rng.expovariate(1 / 29)))
            frames = (talk.udp(n & 1, rng.randbytes(rng.randrange(20, 500))) for n in range(count))
        else:
            talk = Conversation(rng, version, vlan, client, server, 0, 0)
            count = 40
            frames = (talk.echo(n & 1, n // 2) for n in range(count))
        return begin, 0, rng.uniform(0.5, 8) / count, frames

    made = 0
    at = 0
    while made < packets:
        while at < len(begins) and (not queue or begins[at] <= queue[0][0]):
            begin, _, gap, frames = make(begins[at])
            serial += 1
            heapq.heappush(queue, (begin, serial, gap, frames))
            at += 1
        if not queue:
            return
        when, number, gap, frames = heapq.heappop(queue)
        frame = next(frames, None)
        if frame is None:
            continue
        yield when, frame
        made += 1
        heapq.heappush(queue, (when + gap * rng.uniform(0.2, 1.8), number, gap, frames))


def flood(packets: int, seconds: float, seed: int) -> Iterator[tuple[float, bytes]]:
    """SYNs from as many sources as packets to one web server."""
    rng = random.Random(seed)
    server = Host(4, 80, True)
    for number in range(packets):
        talk = Conversation(rng, 4, 0, Host(4, 0, False), server, rng.randrange(1024, 65536), 80)
        talk.ends[0][0].address = struct.pack(">I", 0x0B000000 + (number * 2654435761 & 0x3FFFFFF))
        yield number * seconds / packets, talk.tcp(0, SYN)


def write(path: Path, frames: Iterator[tuple[float, bytes]]) -> int:
    """Write a pcap of microseconds; return the number of packets."""
    count = 0
    with path.open("wb", buffering=1 << 20) as file:
        file.write(PCAP_HEADER)
        for when, frame in frames:
            file.write(struct.pack("<IIII", BASE_S + int(when), int(when % 1 * 1e6), len(frame), len(frame)) + frame)
            count += 1
    return count


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("mix", "flood"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    source = mix(given.packets, given.seed) if given.kind == "mix" else flood(given.packets, given.seconds, given.seed)
    print(write(given.file, source), "packets", given.file.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
