"""Small bulk tables besides flows: what happened in a second, to a target, in ARP, and malformed packets."""

from __future__ import annotations

from typing import Final

from nsm.model.table import Column, Table

# Names of events in ANOMALY that detectors look for.
FRAGMENT_TOO_LARGE: Final = "decoder.ipv4.frag_pkt_too_large"
# Inputs of detectors, no anomalies: these never leave as events.
LARGE_PACKET: Final = "nsm.large_packet"
TINY_FRAGMENT: Final = "nsm.tiny_fragment"

SECOND: Final = Table(
    "second",
    "What one interface carried in one second of packet time",
    (
        Column("ts", "int64", "start of the second, us UTC"),
        Column("iface", "uint8", "number of the interface", dictionary=True),
        Column("pkts", "uint64", "packets"),
        Column("bytes", "uint64", "bytes on the wire"),
        Column("bytes_in", "uint64", "bytes from outside to the local networks"),
        Column("bytes_out", "uint64", "bytes from the local networks to outside"),
        Column("tcp_bytes", "uint64", "bytes of TCP packets"),
        Column("udp_bytes", "uint64", "bytes of UDP packets"),
        Column("icmp_pkts", "uint64", "ICMP and ICMPv6 packets"),
        Column("other_bytes", "uint64", "bytes of everything else"),
        Column("large_pkts", "uint64", "packets above the size that the setting names"),
        Column("fragments", "uint64", "IP fragments"),
        Column("malformed", "uint64", "packets with at least one decoder event"),
        Column("drops", "uint64", "packets that the kernel could not hand over"),
    ),
    sort=("ts", "iface"),
)

TARGET: Final = Table(
    "target",
    "One-sided packets to one (address, port, protocol) in one tick of 250 ms: what floods look like",
    (
        Column("ts", "int64", "start of the tick, us UTC"),
        Column("dst_hi", "uint64", "address, upper half"),
        Column("dst_lo", "uint64", "address, lower half"),
        Column("port", "uint16", "port; 0 for ICMP"),
        Column("proto", "uint8", "IP protocol number"),
        Column("pkts", "uint64", "packets of flows that had no answer so far"),
        Column("bytes", "uint64", "their bytes on the wire"),
        Column("syns", "uint64", "of them SYN without ACK"),
        Column("flows", "uint64", "flows begun"),
        Column("answered", "uint64", "flows whose first answer came in this tick"),
        Column("completed", "uint64", "TCP handshakes completed in this tick"),
        Column(
            "evicted",
            "uint64",
            "flows without a record of their own, or that lost it before an answer: counted here alone",
        ),
        Column("src_hi", "uint64", "a source seen, upper half"),
        Column("src_lo", "uint64", "a source seen, lower half"),
        Column("single", "uint8", "1 when all packets came from that source"),
    ),
    sort=("ts", "dst_hi", "dst_lo", "port", "proto"),
)

ARP: Final = Table(
    "arp",
    "One ARP message (RFC 826)",
    (
        Column("ts", "int64", "packet time, us UTC"),
        Column("opcode", "uint16", "1 request, 2 reply", dictionary=True),
        Column("src_mac", "uint64", "sender hardware address, 48 bits"),
        Column("dst_mac", "uint64", "target hardware address, 48 bits"),
        Column("src_lo", "uint64", "sender IPv4 address, mapped, lower half"),
        Column("dst_lo", "uint64", "target IPv4 address, mapped, lower half"),
        Column("iface", "uint8", "number of the interface", dictionary=True),
        Column("vlan", "uint16", "outer VLAN identifier, 0 none", dictionary=True),
    ),
    sort=("ts", "src_lo", "dst_lo"),
)

ANOMALY: Final = Table(
    "anomaly",
    "A packet that breaks its protocol; named as Suricata names decoder events",
    (
        Column("ts", "int64", "packet time, us UTC"),
        Column("event", "text", "name, for example decoder.ipv4.trunc_pkt", dictionary=True),
        Column("packet", "uint64", "1-based number of the packet in the capture"),
        Column("flow_id", "uint64", "the flow, 0 none"),
        Column("iface", "uint8", "number of the interface", dictionary=True),
        Column("vlan", "uint16", "outer VLAN identifier, 0 none", dictionary=True),
        Column("ip_v", "uint8", "4, 6, or 0 when the packet is not IP", dictionary=True),
        Column("src_hi", "uint64", "source address, upper half"),
        Column("src_lo", "uint64", "source address, lower half", bloom=True),
        Column("dst_hi", "uint64", "destination address, upper half"),
        Column("dst_lo", "uint64", "destination address, lower half", bloom=True),
        Column("src_port", "uint16", "source port"),
        Column("dst_port", "uint16", "destination port"),
        Column("proto", "uint8", "IP protocol number", dictionary=True),
        Column("value", "uint32", "bytes of payload", stored=False),
    ),
    sort=("ts", "packet", "event"),
)

ACTIVITY: Final = Table(
    "activity",
    "What one flow moved since the last look, a second ago: for the live page, never stored",
    (
        Column("src_hi", "uint64", "client address, upper half", stored=False),
        Column("src_lo", "uint64", "client address, lower half", stored=False),
        Column("dst_hi", "uint64", "server address, upper half", stored=False),
        Column("dst_lo", "uint64", "server address, lower half", stored=False),
        Column("dst_port", "uint16", "server port", stored=False),
        Column("proto", "uint8", "IP protocol number", stored=False),
        Column("app", "uint8", "a place in APPS", stored=False),
        Column("bytes_s", "uint64", "bytes to the server", stored=False),
        Column("bytes_c", "uint64", "bytes to the client", stored=False),
    ),
    sort=("src_hi", "src_lo", "dst_hi", "dst_lo"),
)
