"""TCP segments that ask, and what answers them: bytes in and out, no sockets.

Each try of a question has a source port of its own (the first of the scan's ports for the first try, and so on): the
answer's destination port says which try it answers, so a round trip is never measured wrongly. It cannot be told by
the sequence number instead: a host that half opened the connection takes a second SYN with another number for an
error and resets it, and an open port looks closed (RFC 9293, section 3.10.7.4; Linux answers so).

The sequence number depends on a secret of the scan, the host and the port; an answer acknowledges it, so that nobody
who does not see our probes can make one up.
"""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from typing import Final

from nsm.iana import PROTO_TCP
from nsm.model.scan import PortState
from nsm.scan.pacing import TRIES_MAX

SYN, RST, ACK = 0x02, 0x04, 0x10  # RFC 9293, section 3.1
SYN_BYTES: Final = 24
WINDOW: Final = 64_240  # what Linux sends
MSS: Final = (2 << 24) | (4 << 16) | 1_460  # option 2, 4 bytes: RFC 9293, section 3.2
OFFSET_FLAGS: Final = (SYN_BYTES // 4 << 12) | SYN
PORT_STEP: Final = 65_537  # ours: spreads the port over both halves of the sequence number

# IPv4 destination unreachable (RFC 792, RFC 1122, RFC 1812) and IPv6 (RFC 4443, section 3.1): codes that say filtered.
FILTERED_V4: Final = frozenset({0, 1, 2, 3, 9, 10, 13})
FILTERED_V6: Final = frozenset({0, 1, 3, 4, 5, 6})
UNREACHABLE_V4, UNREACHABLE_V6 = 3, 1

_SYN = struct.Struct("!HHIIHHHHI")
_PORTS_SEQUENCE = struct.Struct("!HHI")

Told = tuple[int, int, int, PortState, str, int]  # host (index), port, try, state, reason, ttl


class Questions:
    """What makes the probes of one scan its own. ``pairs``: (source, target) addresses of one IP version, in order."""

    def __init__(self, pairs: list[tuple[str, str]], source_port: int, secret: bytes) -> None:
        self.source_port = source_port
        packed = [
            (ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed) for source, target in pairs
        ]
        self.keys = [int.from_bytes(hashlib.blake2b(b, key=secret, digest_size=4).digest()) for _, b in packed]
        self.numbers = {target: number for number, (_, target) in enumerate(packed)}
        self.bases = [_fixed_sum(source, target) for source, target in packed]

    def syn(self, host: int, port: int, attempt: int) -> bytes:
        """The segment that asks, with its checksum (RFC 1071) over the pseudo header of either IP version."""
        sequence = (self.keys[host] + port * PORT_STEP) & 0xFFFFFFFF
        source = self.source_port + attempt - 1
        total = self.bases[host] + source + port + (sequence >> 16) + (sequence & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        check = ~(total + (total >> 16)) & 0xFFFF
        return _SYN.pack(source, port, sequence, 0, OFFSET_FLAGS, WINDOW, check, 0, MSS)

    def proves(self, host: int, port: int, acknowledged: int) -> bool:
        """Whether a segment from that port acknowledges our probe."""
        return acknowledged == (self.keys[host] + port * PORT_STEP + 1) & 0xFFFFFFFF

    def unreachable(self, message: bytes, version: int, sender_ttl: int) -> Told | None:
        """What an ICMP message (from its type on) says of one of our probes; None when it is not about one."""
        kind, codes, inner = (
            (UNREACHABLE_V4, FILTERED_V4, message[8:]) if version == 4 else (UNREACHABLE_V6, FILTERED_V6, message[8:])
        )
        if len(message) < 36 or message[0] != kind or message[1] not in codes:
            return None
        quoted = _quoted(inner, version, PROTO_TCP)
        if quoted is None or len(quoted[1]) < 8:
            return None
        host = self.numbers.get(quoted[0], -1)
        source, port, sequence = _PORTS_SEQUENCE.unpack_from(quoted[1])
        attempt = source - self.source_port + 1
        if host < 0 or not 1 <= attempt <= TRIES_MAX or not self.proves(host, port, (sequence + 1) & 0xFFFFFFFF):
            return None
        return host, port, attempt, PortState.FILTERED, f"icmp {kind}/{message[1]}", sender_ttl


def _fixed_sum(source: bytes, target: bytes) -> int:
    """The checksum's terms that are the same for every probe to a host, folded to less than 2^16."""
    pseudo = source + target + struct.pack("!II", PROTO_TCP, SYN_BYTES)
    total: int = (
        sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo)) + OFFSET_FLAGS + WINDOW + (MSS >> 16) + (MSS & 0xFFFF)
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _quoted(packet: bytes, version: int, proto: int) -> tuple[bytes, bytes] | None:
    """(destination, transport header) of the packet that an ICMP message quotes; None when it is of another protocol."""
    if version == 4:
        start = (packet[0] & 0x0F) * 4
        return (packet[16:20], packet[start:]) if start >= 20 and packet[9] == proto else None
    return (packet[24:40], packet[40:]) if len(packet) >= 48 and packet[6] == proto else None
