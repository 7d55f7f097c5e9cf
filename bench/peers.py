"""What other programs do with the same capture, each in a process of its own: python bench/peers.py NAME FILE."""

from __future__ import annotations

import socket
import sys


def nfstream(path: str) -> int:
    """Flows without dissection, one meter."""
    from nfstream import NFStreamer

    return sum(1 for _ in NFStreamer(source=path, n_dissections=0, statistical_analysis=False, n_meters=1))


def dpkt(path: str) -> int:
    """5-tuples of every packet into a set."""
    import dpkt as package

    seen = set()
    with open(path, "rb") as file:  # noqa: PTH123
        for _, frame in package.pcap.Reader(file):
            packet = package.ethernet.Ethernet(frame).data
            if isinstance(packet, package.ip.IP | package.ip6.IP6):
                inner = packet.data
                ports = (getattr(inner, "sport", 0), getattr(inner, "dport", 0))
                seen.add((packet.src, packet.dst, packet.p if hasattr(packet, "p") else packet.nxt, ports))
    return len(seen)


def scapy(path: str) -> int:
    """5-tuples of every packet into a set."""
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.utils import PcapReader

    seen = set()
    with PcapReader(path) as reader:
        for packet in reader:
            network = packet.getlayer(IP) or packet.getlayer(IPv6)
            if network is not None:
                inner = packet.getlayer(TCP) or packet.getlayer(UDP)
                ports = (inner.sport, inner.dport) if inner is not None else (0, 0)
                seen.add((network.src, network.dst, ports))
    return len(seen)


def free_port() -> int:
    """A UDP port that nobody listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    print({"nfstream": nfstream, "dpkt": dpkt, "scapy": scapy}[sys.argv[1]](sys.argv[2]))
