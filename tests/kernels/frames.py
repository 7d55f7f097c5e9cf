"""Frames and capture files written from the standards, for tests that need to know every byte they feed."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
BASE_S = 1_700_000_000
Timed = tuple[float, bytes]  # seconds after BASE_S, frame


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def internet_sum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def ether(payload: bytes, kind: int = IPV4, vlans: Iterable[int] = (), src: int = 1, dst: int = 2) -> bytes:
    """An Ethernet frame; ``vlans`` from the outside in; src and dst are the last byte of local addresses."""
    tags = b"".join(struct.pack(">HH", 0x8100, vlan) for vlan in vlans)
    return bytes((2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src)) + tags + struct.pack(">H", kind) + payload


def ip(
    src: str,
    dst: str,
    proto: int,
    payload: bytes,
    ttl: int = 64,
    fragment: int = 0,
    options: bytes = b"",
    ident: int = 7,
) -> bytes:
    """An IPv4 or IPv6 packet; ``fragment`` is the field of RFC 791: flags and offset in eights."""
    a, b = packed(src), packed(dst)
    if len(a) == 16:
        return struct.pack(">IHBB", 6 << 28, len(payload), proto, ttl) + a + b + payload
    size = 20 + len(options)
    head = struct.pack(
        ">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), ident & 0xFFFF, fragment, ttl, proto, 0
    ) + a + b + options  # fmt: skip
    return head[:10] + struct.pack(">H", internet_sum(head)) + head[12:] + payload


def _pseudo(src: str, dst: str, proto: int, length: int) -> bytes:
    return packed(src) + packed(dst) + struct.pack(">II", length, proto)


def tcp_ip(
    src: str,
    dst: str,
    sport: int,
    dport: int,
    flags: int,
    payload: bytes = b"",
    seq: int = 1,
    ack: int = 0,
    ttl: int = 64,
    window: int = 64_240,
) -> bytes:
    """An IP packet with a TCP segment, sums right."""
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, window, 0, 0)
    value = internet_sum(_pseudo(src, dst, 6, 20 + len(payload)) + segment + payload)
    return ip(src, dst, 6, segment[:16] + struct.pack(">H", value) + segment[18:] + payload, ttl)


def udp_ip(src: str, dst: str, sport: int, dport: int, payload: bytes = b"", ttl: int = 64) -> bytes:
    """An IP packet with a UDP datagram, sums right."""
    head = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0)
    value = internet_sum(_pseudo(src, dst, 17, 8 + len(payload)) + head + payload) or 0xFFFF
    return ip(src, dst, 17, head[:6] + struct.pack(">H", value) + payload, ttl)


def icmp_ip(
    src: str, dst: str, kind: int, code: int, rest: bytes = b"\0\0\0\1", body: bytes = b"", ttl: int = 64
) -> bytes:
    """An IP packet with an ICMP or ICMPv6 message, sums right; ``rest`` are bytes 4 to 7 of its header."""
    six = ":" in src
    message = struct.pack(">BBH", kind, code, 0) + rest + body
    value = internet_sum((_pseudo(src, dst, 58, len(message)) if six else b"") + message)
    return ip(src, dst, 58 if six else 1, message[:2] + struct.pack(">H", value) + message[4:], ttl)


def framed(packet: bytes, vlans: Iterable[int] = (), src: int = 1, dst: int = 2) -> bytes:
    """An Ethernet frame around an IP packet."""
    return ether(packet, IPV6 if packet[0] >> 4 == 6 else IPV4, vlans, src, dst)


def tcp(
    src: str, dst: str, sport: int, dport: int, flags: int, payload: bytes = b"", seq: int = 1, ack: int = 0
) -> bytes:
    return framed(tcp_ip(src, dst, sport, dport, flags, payload, seq, ack))


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes = b"", ttl: int = 64) -> bytes:
    return framed(udp_ip(src, dst, sport, dport, payload, ttl))


def icmp(src: str, dst: str, kind: int, code: int = 0, body: bytes = b"", rest: bytes = b"\0\0\0\1") -> bytes:
    return framed(icmp_ip(src, dst, kind, code, rest, body))


def unreachable(router: str, packet: bytes, code: int = 3) -> bytes:
    """An ICMP or ICMPv6 "unreachable" that quotes an IP packet, sent back to its source."""
    six = packet[0] >> 4 == 6
    source = str(ipaddress.ip_address(packet[8:24] if six else packet[12:16]))
    return icmp(router, source, 1 if six else 3, (4 if code == 3 else code) if six else code, packet[:48], b"\0" * 4)


def arp(opcode: int, sender: str, target: str, mac: int = 1) -> bytes:
    """RFC 826, Ethernet and IPv4."""
    hardware = bytes((2, 0, 0, 0, 0, mac))
    body = struct.pack(">HHBBH", 1, IPV4, 6, 4, opcode) + hardware + packed(sender) + bytes(6) + packed(target)
    return ether(body, ARP, src=mac, dst=255)


def pcap(frames: Iterable[Timed], link: int = 1, big: bool = False, nano: bool = False, base_s: int = BASE_S) -> bytes:
    """A classic pcap."""
    order, unit = ">" if big else "<", 1_000_000_000 if nano else 1_000_000
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link)]
    for when, frame in frames:
        second, part = divmod(round(when * unit) + base_s * unit, unit)
        out.append(struct.pack(order + "IIII", second, part, len(frame), len(frame)) + frame)
    return b"".join(out)


def block(kind: int, body: bytes, big: bool = False) -> bytes:
    """A pcapng block; the body is padded."""
    body += bytes(-len(body) % 4)
    size = struct.pack((">" if big else "<") + "I", 12 + len(body))
    return struct.pack((">" if big else "<") + "I", kind) + size + body + size


def option(code: int, value: bytes, big: bool = False) -> bytes:
    return struct.pack((">" if big else "<") + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(big: bool = False) -> bytes:
    return block(0x0A0D0D0A, struct.pack((">" if big else "<") + "IHHq", 0x1A2B3C4D, 1, 0, -1), big)


def interface(link: int = 1, snaplen: int = 0, options: bytes = b"", big: bool = False) -> bytes:
    return block(1, struct.pack((">" if big else "<") + "HHI", link, 0, snaplen) + options, big)


def enhanced(frame: bytes, ticks: int, number: int = 0, wire: int | None = None, big: bool = False) -> bytes:
    head = struct.pack(
        (">" if big else "<") + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame),
        len(frame) if wire is None else wire,
    )  # fmt: skip
    return block(6, head + frame + bytes(-len(frame) % 4), big)


def pcapng(frames: Iterable[Timed], link: int = 1) -> bytes:
    """A pcapng of one section and one interface, microseconds."""
    body = b"".join(enhanced(frame, round(when * 1e6) + BASE_S * 1_000_000) for when, frame in frames)
    return section() + interface(link) + body
