"""The golden cases of the detectors: attacks that have to be found, and look-alikes that have to pass in silence.

    python -m tests.data.detect.make FOLDER

writes each as NAME.pcap. Tests take the same frames from ``CASES``, so no capture lies in the repository. Every case is a
function of its name alone: same frames, same times, on any machine. Networks 10.0.0.0/8 and 192.168.0.0/16 are "ours",
198.51.100.0/24, 203.0.113.0/24 and 100.64.0.0/10 are outside.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kernels.frames import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    URG,
    Timed,
    arp,
    framed,
    icmp,
    ip,
    pcap,
    tcp,
    udp,
    udp_ip,
    unreachable,
)  # fmt: skip

OURS, OTHER, SERVER = "192.168.1.9", "192.168.1.20", "192.168.1.80"
ATTACKER, RESOLVER = "203.0.113.7", "198.51.100.53"
Case = Callable[[], Iterator[Timed]]
MINUTE, HOUR = 60.0, 3_600.0


def connection(
    at: float,
    src: str,
    dst: str,
    sport: int,
    dport: int,
    request: bytes = b"hello, world",
    answer: bytes = b"fine, thanks",
) -> Iterator[Timed]:
    """A whole TCP connection in 60 ms."""
    yield at, tcp(src, dst, sport, dport, SYN, seq=100)
    yield at + 0.01, tcp(dst, src, dport, sport, SYN | ACK, seq=500, ack=101)
    yield at + 0.02, tcp(src, dst, sport, dport, ACK, seq=101, ack=501)
    yield at + 0.03, tcp(src, dst, sport, dport, PSH | ACK, request, seq=101, ack=501)
    yield at + 0.04, tcp(dst, src, dport, sport, PSH | ACK, answer, seq=501, ack=101 + len(request))
    yield at + 0.05, tcp(src, dst, sport, dport, FIN | ACK, seq=101 + len(request), ack=501 + len(answer))
    yield at + 0.06, tcp(dst, src, dport, sport, FIN | ACK, seq=501 + len(answer), ack=102 + len(request))


def refused(at: float, src: str, dst: str, sport: int, dport: int, flags: int = SYN) -> Iterator[Timed]:
    yield at, tcp(src, dst, sport, dport, flags)
    yield at + 0.001, tcp(dst, src, dport, sport, RST | ACK, ack=2)


def silent(at: float, src: str, dst: str, sport: int, dport: int, flags: int = SYN) -> Iterator[Timed]:
    yield at, tcp(src, dst, sport, dport, flags)


def closed_udp(at: float, src: str, dst: str, sport: int, dport: int) -> Iterator[Timed]:
    packet = udp_ip(src, dst, sport, dport, b"probe")
    yield at, framed(packet)
    yield at + 0.001, unreachable(dst, packet)


def asked(at: float, src: str, dst: str, sport: int, dport: int = 53) -> Iterator[Timed]:
    """A UDP question and its answer."""
    yield at, udp(src, dst, sport, dport, b"question")
    yield at + 0.02, udp(dst, src, dport, sport, b"the answer")


def afterwards(at: float) -> Iterator[Timed]:
    """A packet so much later that everything before is known to be over."""
    yield at, udp(OURS, SERVER, 9, 9, b"later")


# ---------------------------------------------------------------- scans of ports


def _vertical(flags: int, answer: bool, src: str = ATTACKER, ports: int = 30, step: float = 0.02) -> Case:
    def frames() -> Iterator[Timed]:
        for number in range(ports):
            make = refused if answer else silent
            yield from make(number * step, src, SERVER, 40_000 + number, 1 + number, flags)
        yield from afterwards(ports * step + 5)

    return frames


def scan_connect() -> Iterator[Timed]:
    """connect(): some ports are open, so the handshake is completed and reset."""
    for number in range(40):
        at, sport = number * 0.02, 40_000 + number
        if number % 13 == 0:
            yield at, tcp(ATTACKER, SERVER, sport, 1 + number, SYN)
            yield at + 0.001, tcp(SERVER, ATTACKER, 1 + number, sport, SYN | ACK, ack=2)
            yield at + 0.002, tcp(ATTACKER, SERVER, sport, 1 + number, ACK, seq=2, ack=2)
            yield at + 0.003, tcp(ATTACKER, SERVER, sport, 1 + number, RST | ACK, seq=2, ack=2)
        else:
            yield from refused(at, ATTACKER, SERVER, sport, 1 + number)
    yield from afterwards(5)


def scan_udp() -> Iterator[Timed]:
    for number in range(30):
        yield from closed_udp(number * 0.02, ATTACKER, SERVER, 50_000, 100 + number)
    yield from afterwards(5)


def scan_six() -> Iterator[Timed]:
    for number in range(30):
        yield from refused(number * 0.02, "2001:db8::7", "fd00::80", 40_000, 1 + number)
    yield from afterwards(5)


def scan_in_a_tunnel() -> Iterator[Timed]:
    """The same scan, carried by GRE."""
    for when, frame in _vertical(SYN, True)():
        yield when, framed(ip("10.1.0.1", "10.1.0.2", 47, b"\0\0\x08\0" + frame[14:]))


# ---------------------------------------------------------------- scans of hosts


def sweep(port: int, network: str, hosts: int, step: float, src: str = ATTACKER) -> Case:
    def frames() -> Iterator[Timed]:
        for number in range(hosts):
            yield from silent(number * step, src, f"{network}.{1 + number}", 40_000 + number, port)
        yield from afterwards(hosts * step + 5)

    return frames


def sweep_echo() -> Iterator[Timed]:
    for number in range(40):
        yield number * 0.1, icmp(ATTACKER, f"192.168.1.{1 + number}", 8)
        if number % 4 == 0:
            yield number * 0.1 + 0.001, icmp(f"192.168.1.{1 + number}", ATTACKER, 0)
    yield from afterwards(10)


def sweep_arp() -> Iterator[Timed]:
    for number in range(60):
        yield number * 0.05, arp(1, OURS, f"192.168.1.{1 + number}")
        if number % 10 == 0:
            yield number * 0.05 + 0.001, arp(2, f"192.168.1.{1 + number}", OURS, mac=9)


def block() -> Iterator[Timed]:
    """Six to eight ports on each of ten hosts."""
    for number, (host, port) in enumerate((h, p) for h in range(10) for p in (21, 22, 23, 80, 135, 139, 443)):
        yield from silent(number * 0.4, ATTACKER, f"192.168.1.{10 + host}", 40_000 + number, port)
    yield from afterwards(60)


# ---------------------------------------------------------------- floods


def flood(kind: str, packets: int = 3_000, seconds: float = 1.0) -> Case:
    def frames() -> Iterator[Timed]:
        rng = random.Random(kind)
        for number in range(packets):
            source, at = (
                f"100.{64 + rng.randrange(64)}.{rng.randrange(256)}.{rng.randrange(256)}",
                number * seconds / packets,
            )
            sport = rng.randrange(1_024, 65_536)
            if kind == "syn":
                yield at, tcp(source, SERVER, sport, 80, SYN)
            elif kind == "ack":
                yield at, tcp(source, SERVER, sport, 80, ACK, seq=9, ack=9)
            elif kind == "udp":
                yield at, udp(source, SERVER, sport, 9_999, b"x" * 20)
            else:
                yield at, icmp(source, SERVER, 8)
        yield from afterwards(seconds + 5)

    return frames


def flood_slow() -> Iterator[Timed]:
    """300 SYN a second for five seconds: under the rate of one second, over that of three."""
    yield from flood("syn", 1_500, 5.0)()


# ---------------------------------------------------------------- odd packets, failures, news


def large() -> Iterator[Timed]:
    yield 0, icmp(OURS, ATTACKER, 8, body=bytes(1_300))
    yield 1, udp(OURS, ATTACKER, 4_000, 4_001, bytes(6_000))
    yield from afterwards(5)


def fragments_tiny() -> Iterator[Timed]:
    for number in range(25):
        yield number * 0.1, framed(ip(ATTACKER, SERVER, 17, bytes(24), fragment=0x2000, ident=number))
        yield number * 0.1 + 0.001, framed(ip(ATTACKER, SERVER, 17, bytes(24), fragment=3, ident=number))


def fragment_beyond() -> Iterator[Timed]:
    yield 0, framed(ip(ATTACKER, SERVER, 1, bytes(1_000), fragment=8_189))
    yield from afterwards(1)


def knocking() -> Iterator[Timed]:
    """One closed door, tried every six seconds by one client."""
    for number in range(45):
        yield from refused(number * 6.0, OURS, SERVER, 40_000 + number, 3389)
    yield from afterwards(300)


def news() -> Iterator[Timed]:
    """A day of one outside network, then others; then a host of ours that was not there before."""
    for hour in range(0, 25, 4):
        yield from connection(hour * HOUR, OURS, "203.0.113.10", 40_000 + hour, 443)
    for number in range(3):
        yield from connection(25 * HOUR + number * 20, OURS, f"198.51.{number}.10", 50_000 + number, 443)
    yield from connection(25 * HOUR + 100, "192.168.1.77", "203.0.113.10", 50_000, 443)
    yield from afterwards(25 * HOUR + 200)


# ---------------------------------------------------------------- look-alikes


def busy_resolver() -> Iterator[Timed]:
    """A resolver of ours asks many servers; a third of them are dead."""
    for number in range(400):
        server, at = f"198.{51 + number % 40}.{number % 200}.53", number * 0.1
        if number % 3:
            yield from asked(at, "192.168.1.53", server, 20_000 + number)
        else:
            yield at, udp("192.168.1.53", server, 20_000 + number, 53, b"question")
    yield from afterwards(120)


def web_crawler() -> Iterator[Timed]:
    for number in range(200):
        server, at = f"203.{number}.113.{1 + number % 250}", number * 0.2
        port = 443 if number % 4 else 80
        if number % 10:
            yield from connection(at, OURS, server, 30_000 + number, port)
        else:
            yield from silent(at, OURS, server, 30_000 + number, port)
    yield from afterwards(120)


def peer_to_peer() -> Iterator[Timed]:
    """Hundreds of peers on high ports of as many networks; most are gone."""
    rng = random.Random("peers")
    for number in range(400):
        peer = f"{rng.randrange(20, 100)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        port, at = (51_413, 6_881)[number % 2] if number % 5 == 0 else rng.randrange(10_000, 65_000), number * 0.15
        if number % 9 == 0:
            yield from asked(at, OURS, peer, 51_413, port)
        elif number % 2:
            yield at, udp(OURS, peer, 51_413, port, b"d1:ad2:id20:")
        else:
            yield from refused(at, OURS, peer, 30_000 + number, port)
    yield from afterwards(120)


def monitoring() -> Iterator[Timed]:
    """Every minute: a ping and three services of forty hosts, one of which is down."""
    for turn in range(5):
        for host in range(40):
            at, address = turn * MINUTE + host * 0.5, f"192.168.2.{10 + host}"
            yield at, icmp("192.168.1.5", address, 8)
            if host == 7:
                yield from silent(at + 0.1, "192.168.1.5", address, 30_000 + turn, 22)
                continue
            yield at + 0.001, icmp(address, "192.168.1.5", 0)
            for place, port in enumerate((22, 80, 161)):
                yield from connection(at + 0.1 + place * 0.1, "192.168.1.5", address, 30_000 + turn * 10 + place, port)
    yield from afterwards(6 * MINUTE)


def office_behind_one_address() -> Iterator[Timed]:
    """A NAT gateway: thousands of connections of many people, one in twelve fails."""
    rng = random.Random("office")
    for number in range(600):
        at, server = number * 0.1, f"203.0.{rng.randrange(60)}.{rng.randrange(1, 255)}"
        port = rng.choice((443, 443, 443, 80, 993, 5_222, 8_443))
        if number % 12:
            yield from connection(at, "10.0.0.1", server, 10_000 + number, port)
        else:
            yield from silent(at, "10.0.0.1", server, 10_000 + number, port)
    yield from afterwards(120)


def outage() -> Iterator[Timed]:
    """A server is down: forty clients try again and again for two minutes."""
    for turn in range(12):
        for client in range(40):
            at = turn * 10 + client * 0.2
            yield from silent(at, f"192.168.1.{100 + client}", SERVER, 30_000 + turn * 50 + client, 443)
    yield from afterwards(240)


def flash_crowd() -> Iterator[Timed]:
    """1,200 visitors in a second and a half, and the server manages them all."""
    for number in range(1_200):
        at, visitor = number / 800, f"100.{64 + number % 50}.{number // 256}.{number % 256}"
        yield from connection(at, visitor, SERVER, 20_000 + number, 443)
    yield from afterwards(20)


def streaming() -> Iterator[Timed]:
    """A film by UDP: 2,000 datagrams to one client in a second, and its acknowledgements."""
    yield 0, udp(OURS, "203.0.113.44", 50_000, 443, b"\xc0\0\0\0\1" + bytes(1_200))
    for number in range(4_000):
        yield 0.05 + number / 2_000, udp("203.0.113.44", OURS, 443, 50_000, bytes(1_300))
        if number % 8 == 0:
            yield 0.05 + number / 2_000, udp(OURS, "203.0.113.44", 50_000, 443, bytes(40))
    yield from afterwards(10)


def traceroute() -> Iterator[Timed]:
    """traceroute(8): three datagrams for each of twenty hops, each to a port of its own."""
    for number in range(60):
        packet = udp_ip(OURS, "203.0.113.99", 45_000, 33_434 + number, bytes(32), ttl=1 + number // 3)
        yield number * 0.05, framed(packet)
        if number % 3 == 0:
            yield number * 0.05 + 0.01, icmp(f"198.51.100.{1 + number // 3}", OURS, 11, 0, packet[:28], bytes(4))
    yield from afterwards(60)


def gateway_arp() -> Iterator[Timed]:
    """A gateway looks for its hosts, most of which answer; a host asks for it again and again."""
    for number in range(80):
        yield number * 0.4, arp(1, "192.168.1.1", f"192.168.1.{10 + number}")
        if number % 4:
            yield number * 0.4 + 0.01, arp(2, f"192.168.1.{10 + number}", "192.168.1.1", mac=9)
        yield number * 0.4 + 0.02, arp(1, OURS, "192.168.1.1")
        yield number * 0.4 + 0.03, arp(2, "192.168.1.1", OURS, mac=9)


def one_side_from_the_middle() -> Iterator[Timed]:
    """A capture that begins in the middle and shows what one server sends: data, ACK and FIN of 300 connections."""
    for number in range(300):
        client, at = f"203.0.{number % 200}.{1 + number // 200}", number * 0.1
        yield at, tcp(SERVER, client, 443, 20_000 + number, ACK, b"x" * 400, seq=9_000, ack=1)
        yield at + 0.3, tcp(SERVER, client, 443, 20_000 + number, ACK, b"x" * 100, seq=9_400, ack=1)
        yield at + 0.6, tcp(SERVER, client, 443, 20_000 + number, FIN | ACK, seq=9_500, ack=1)
    yield from afterwards(120)


def mended_client() -> Iterator[Timed]:
    """A client that tries eight times in vain and then gets through, every quarter of an hour."""
    for turn in range(6):
        for number in range(8):
            yield from silent(turn * 900 + number * 5, OURS, SERVER, 30_000 + turn * 10 + number, 25)
        yield from connection(turn * 900 + 60, OURS, SERVER, 30_009 + turn * 10, 25)
    yield from afterwards(6_000)


def ordinary() -> Iterator[Timed]:
    """Pings, DNS, web pages, offloaded segments and a fragmented datagram of two ordinary fragments."""
    for number in range(60):
        yield number * 1.0, icmp(OURS, "192.168.1.1", 8, body=bytes(56))
        yield number + 0.001, icmp("192.168.1.1", OURS, 0, body=bytes(56))
        yield from asked(number + 0.1, OURS, RESOLVER, 30_000 + number)
        yield from connection(number + 0.2, OURS, "203.0.113.10", 40_000 + number, 443, b"x" * 1_400, b"y" * 20_000)
    yield 70, framed(ip(OURS, SERVER, 17, bytes(1_480), fragment=0x2000))
    yield 70.001, framed(ip(OURS, SERVER, 17, bytes(600), fragment=185))
    yield from afterwards(90)


def _several_scanners() -> Iterator[Timed]:
    yield from _vertical(SYN, True, src="192.168.1.66", ports=60)()


ATTACKS: dict[str, tuple[str, Case]] = {
    "connect": ("port_scan", scan_connect),
    "syn": ("port_scan", _vertical(SYN, True)),
    "syn_silent": ("port_scan", _vertical(SYN, False)),
    "null": ("port_scan", _vertical(0, True)),
    "fin": ("port_scan", _vertical(FIN, False)),
    "xmas": ("port_scan", _vertical(FIN | PSH | URG, True)),
    "ack": ("port_scan", _vertical(ACK, True)),
    "udp": ("port_scan", scan_udp),
    "six": ("port_scan", scan_six),
    "tunnel": ("port_scan", scan_in_a_tunnel),
    "minute": ("port_scan", _vertical(SYN, True, step=3.0)),
    "hour": ("port_scan", _vertical(SYN, True, ports=40, step=80.0)),
    "day": ("port_scan", _vertical(SYN, True, ports=50, step=1_500.0)),
    "inside": ("port_scan", _several_scanners),
    "sweep": ("host_sweep", sweep(445, "192.168.1", 60, 0.05)),
    "sweep_minute": ("host_sweep", sweep(22, "192.168.1", 40, 2.0)),
    "sweep_hour": ("host_sweep", sweep(23, "192.168.1", 70, 45.0)),
    "sweep_day": ("host_sweep", sweep(3389, "192.168.1", 140, 550.0)),
    "sweep_echo": ("host_sweep", sweep_echo),
    "sweep_arp": ("arp_sweep", sweep_arp),
    "block": ("block_scan", block),
    "flood_syn": ("flood", flood("syn")),
    "flood_syn_slow": ("flood", flood_slow),
    "flood_udp": ("flood", flood("udp", 8_000)),
    "flood_icmp": ("flood", flood("icmp", 3_500)),
    "flood_ack": ("flood", flood("ack", 7_000)),
    "large": ("large_packet", large),
    "fragments_tiny": ("large_packet", fragments_tiny),
    "fragment_beyond": ("large_packet", fragment_beyond),
    "knocking": ("failed_connections", knocking),
    "news_network": ("new_external", news),
    "news_host": ("new_host", news),
}
LOOK_ALIKES: dict[str, Case] = {
    case.__name__: case
    for case in (
        busy_resolver, web_crawler, peer_to_peer, monitoring, office_behind_one_address, outage, flash_crowd, streaming,
        traceroute, gateway_arp, one_side_from_the_middle, mended_client, ordinary,
    )
}  # fmt: skip
CASES: dict[str, Case] = {**{name: case for name, (_, case) in ATTACKS.items()}, **LOOK_ALIKES}


def in_time(case: Case) -> list[Timed]:
    """The frames of a case in order of time."""
    return sorted(case(), key=lambda timed: timed[0])


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        (folder / f"{name}.pcap").write_bytes(pcap(in_time(case)))


if __name__ == "__main__":
    main()
