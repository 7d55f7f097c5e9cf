"""Flow: one bidirectional conversation, as a table. The tracker reports it up to three times.

Sides: ``_s`` is what went to the server, ``_c`` what went to the client; ``src`` is the client, the
side that began. Addresses are two 64-bit halves in network order read as big-endian numbers; IPv4 is
``::ffff:a.b.c.d`` (RFC 4291, section 2.5.5.2).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from nsm.model.table import Column, Table


class Report(IntEnum):
    """Why a flow row was made."""

    OPENED = 0
    PROGRESS = 1
    ENDED = 2


class FlowState(IntEnum):
    """``flow.state`` of EVE."""

    NEW = 0
    ESTABLISHED = 1
    CLOSED = 2


class EndReason(IntEnum):
    """``flow.reason`` of EVE; NONE while the flow is open."""

    NONE = 0
    TIMEOUT = 1
    SHUTDOWN = 2
    FORCED = 3
    TCP_REUSE = 4


class Outcome(IntEnum):
    """What is known of the answer: a contact is failed when unanswered or refused."""

    UNKNOWN = 0
    UNANSWERED = 1
    REFUSED = 2
    ANSWERED = 3


class TcpState(IntEnum):
    """``tcp.state`` of EVE."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    LAST_ACK = 7
    CLOSE_WAIT = 8
    CLOSING = 9
    CLOSED = 10


# Bits of the column ``marks``.
MARK_MIDSTREAM: Final = 1  # first packet was not a SYN
MARK_TURNED: Final = 2  # first packet came from the server side
MARK_LATE_ANSWER: Final = 4  # was reported unanswered before
MARK_FRAGMENT: Final = 8  # a fragment belongs to it
MARK_TUNNELLED: Final = 16  # it ran inside another flow
MARK_CARRIES: Final = 32  # other flows ran inside it

# Application protocols by the code that kernels/recognise.py gives; names as Suricata's app_proto where it has one.
APPS: Final = (
    "", "http", "tls", "ssh", "dns", "quic", "smtp", "ftp", "pop3", "imap", "ntp", "dhcp", "snmp", "smb", "rdp", "sip",
    "bittorrent", "stun", "mdns", "llmnr", "pgsql", "redis", "wireguard", "rtsp", "mqtt", "ldap", "ssdp", "rfb", "telnet",
)  # fmt: skip

FLOW: Final = Table(
    "flow",
    "One bidirectional conversation",
    (
        Column("ts", "int64", "time of the last packet, us UTC"),
        Column("dur_us", "uint64", "last packet less first packet, us"),
        Column("emit_us", "int64", "packet time at which this row was made, us UTC", stored=False),
        Column("report", "uint8", "0 opened, 1 progress, 2 ended", stored=False),
        Column("outcome", "uint8", "0 unknown, 1 unanswered, 2 refused, 3 answered", dictionary=True),
        Column("flow_id", "uint64", "51-bit function of key and first packet time"),
        Column("iface", "uint8", "number of the interface", dictionary=True),
        Column("vlan", "uint16", "outer VLAN identifier, 0 none", dictionary=True),
        Column("vlan_inner", "uint16", "second VLAN identifier, 0 none", dictionary=True),
        Column("depth", "uint8", "number of tunnels around it", dictionary=True),
        Column("ip_v", "uint8", "4 or 6", dictionary=True),
        Column("src_hi", "uint64", "client address, upper half", dictionary=True),
        Column("src_lo", "uint64", "client address, lower half", bloom=True),
        Column("dst_hi", "uint64", "server address, upper half", dictionary=True),
        Column("dst_lo", "uint64", "server address, lower half", bloom=True),
        Column("src_port", "uint16", "client port; ICMP: type of the first packet"),
        Column("dst_port", "uint16", "server port; ICMP: code of the first packet", dictionary=True),
        Column("proto", "uint8", "IP protocol number", dictionary=True),
        Column("app", "text", "application protocol, empty when unknown", dictionary=True),
        Column("label", "text", "application behind the protocol, empty when unknown", dictionary=True, since=2),
        Column("pkts_s", "uint64", "packets to the server"),
        Column("pkts_c", "uint64", "packets to the client"),
        Column("bytes_s", "uint64", "bytes on the wire to the server, link layer included"),
        Column("bytes_c", "uint64", "bytes on the wire to the client, link layer included"),
        Column("payload_s", "uint32", "payload bytes to the server, saturating"),
        Column("payload_c", "uint32", "payload bytes to the client, saturating"),
        Column("tcp_s", "uint8", "TCP flags seen to the server", dictionary=True),
        Column("tcp_c", "uint8", "TCP flags seen to the client", dictionary=True),
        Column("tcp_first", "uint8", "TCP flags of the first packet", dictionary=True),
        Column("tcp_state", "uint8", "state of the TCP connection", dictionary=True),
        Column("state", "uint8", "0 new, 1 established, 2 closed", dictionary=True),
        Column("reason", "uint8", "1 timeout, 2 shutdown, 3 forced, 4 tcp_reuse", dictionary=True),
        Column("syn_ack_us", "uint32", "SYN to SYN-ACK, us, 0 unknown"),
        Column("ack_us", "uint32", "SYN-ACK to ACK, us, 0 unknown"),
        Column("retrans", "uint16", "retransmitted segments, saturating", dictionary=True),
        Column("ttl_min_s", "uint8", "lowest TTL to the server", dictionary=True),
        Column("ttl_max_s", "uint8", "highest TTL to the server", dictionary=True),
        Column("ttl_min_c", "uint8", "lowest TTL to the client", dictionary=True),
        Column("ttl_max_c", "uint8", "highest TTL to the client", dictionary=True),
        Column("icmp_reply", "uint16", "type << 8 | code of the first ICMP answer, 65535 none", dictionary=True),
        Column("marks", "uint8", "bits: midstream, turned, late answer, fragment, tunnelled, carries", dictionary=True),
        Column("alerted", "uint8", "1 when an alert names this flow", dictionary=True),
        Column("app_s", "uint8", "what the client's first payload looks like, a place in APPS", stored=False),
        Column("app_c", "uint8", "what the server's first payload looks like, a place in APPS", stored=False),
        Column("app_orig", "text", "the protocol before STARTTLS, CONNECT or an upgrade", stored=False),
        Column("service", "text", "Zeek's service, in order of confirmation", stored=False),
        Column("src_mac", "uint64", "client hardware address, 48 bits, 0 unknown", stored=False),
        Column("dst_mac", "uint64", "server hardware address, 48 bits, 0 unknown", stored=False),
    ),
    sort=("ts", "flow_id"),
    version=2,
)
