"""Fragments to datagrams: IPv4 (RFC 791, section 3.2) and IPv6 (RFC 8200, section 4.5).

Where fragments overlap, the bytes that came first are kept, as with overlapping segments. A datagram is given up when it is
not whole in time, when it would be longer than an IP packet can be, or when there are too many; each is counted.
"""

from __future__ import annotations

import struct
from typing import Final

DATAGRAMS_MAX: Final = 4_096  # held at once; the oldest is given up
DATAGRAM_BYTES_MAX: Final = 65_535  # RFC 791, section 3.1
PIECES_MAX: Final = 1_024  # of one datagram; ours: the smallest link of IPv4 carries 68 bytes
WAIT_NS: Final = 60_000_000_000  # RFC 8200, section 4.5: sixty seconds
_FRAGMENT: Final = 44
_SKIPPED: Final = (0, 43, 60, 135)  # hop-by-hop, routing, destination options, mobility: headers before the fragment's
HEADERS_MAX: Final = 8  # before it, as the decoder
Key = tuple[bytes, bytes, int, int, int]


class _Datagram:
    """What came of one datagram. ``pieces`` do not overlap and are in order."""

    __slots__ = ("first_ns", "head", "pieces", "size", "total")

    def __init__(self, first_ns: int) -> None:
        self.first_ns = first_ns
        self.head = b""
        self.pieces: list[tuple[int, bytes]] = []
        self.size = 0
        self.total = -1

    def add(self, at: int, data: bytes) -> None:
        """Keep what is new of a piece."""
        end = at + len(data)
        kept = []
        for start, piece in self.pieces:
            if start >= end:
                break
            stop = start + len(piece)
            if stop <= at:
                continue
            if at < start:
                kept.append((at, data[: start - at]))
            data, at = data[max(0, stop - at) :], max(at, stop)
        if at < end:
            kept.append((at, data))
        for place, piece in kept:
            self.size += len(piece)
            self.pieces.append((place, piece))
        self.pieces.sort()

    @property
    def whole(self) -> bool:
        """Is every byte there?"""
        return self.total >= 0 and self.size >= self.total and bool(self.head) and self.pieces[0][0] == 0


class Fragments:
    """Takes fragments as IP packets, gives whole ones back."""

    def __init__(self) -> None:
        self._held: dict[Key, _Datagram] = {}
        self.given_up = 0

    def add(self, packet: bytes, vlan: int, ts_ns: int) -> bytes | None:
        """Take an IP packet that is a fragment; the whole IP packet once its last piece came."""
        found = _ipv4(packet) if packet[:1] and packet[0] >> 4 == 4 else _ipv6(packet)
        if found is None:
            return None
        head, proto, identifier, at, more, data = found
        if at + len(data) > DATAGRAM_BYTES_MAX or (more and len(data) % 8):
            self.given_up += 1
            return None
        source, target = (
            (head[12:16], head[16:20]) if len(packet) and packet[0] >> 4 == 4 else (head[8:24], head[24:40])
        )
        key = (source, target, identifier, proto, vlan)
        datagram = self._held.get(key)
        if datagram is None or ts_ns - datagram.first_ns > WAIT_NS or len(datagram.pieces) >= PIECES_MAX:
            self.given_up += datagram is not None
            self._held.pop(key, None)
            if len(self._held) >= DATAGRAMS_MAX:
                del self._held[next(iter(self._held))]
                self.given_up += 1
            datagram = self._held[key] = _Datagram(ts_ns)
        datagram.add(at, data)
        if at == 0:
            datagram.head = head
        if not more:
            datagram.total = at + len(data)
        if not datagram.whole:
            return None
        del self._held[key]
        body = b"".join(piece for _, piece in datagram.pieces)[: datagram.total]
        if len(datagram.head) + len(body) > DATAGRAM_BYTES_MAX:
            self.given_up += 1
            return None
        return _joined(datagram.head, proto, body)


def _ipv4(packet: bytes) -> tuple[bytes, int, int, int, bool, bytes] | None:
    """(header, protocol, identifier, offset, do more follow, payload) of a fragment."""
    if len(packet) < 20:
        return None
    size, total = (packet[0] & 15) * 4, packet[2] << 8 | packet[3]
    if size < 20 or total > len(packet) or total <= size:
        return None
    field = packet[6] << 8 | packet[7]
    return (
        packet[:size],
        packet[9],
        packet[4] << 8 | packet[5],
        (field & 0x1FFF) * 8,
        bool(field & 0x2000),
        packet[size:total],
    )


def _ipv6(packet: bytes) -> tuple[bytes, int, int, int, bool, bytes] | None:
    """The same; the header is all that stands before the fragment header, the protocol what that header names."""
    if len(packet) < 48 or packet[0] >> 4 != 6:
        return None
    total = 40 + (packet[4] << 8 | packet[5])
    if total > len(packet):
        return None
    following, at, named = packet[6], 40, 6
    for _ in range(HEADERS_MAX):
        if following == _FRAGMENT or following not in _SKIPPED or at + 8 > total:
            break
        following, named, at = packet[at], at, at + 8 + packet[at + 1] * 8
    if following != _FRAGMENT or at + 8 > total:
        return None
    field, identifier = struct.unpack_from(">HI", packet, at + 2)
    head = packet[:named] + packet[at : at + 1] + packet[named + 1 : at]
    return head, packet[at], identifier, field & 0xFFF8, bool(field & 1), packet[at + 8 : total]


def _joined(head: bytes, proto: int, body: bytes) -> bytes:
    """An IP packet that was never in pieces; a checksum of IPv4 is worked out anew."""
    if head[0] >> 4 == 6:
        return head[:4] + struct.pack(">H", len(head) - 40 + len(body)) + head[6:] + body
    fresh = head[:2] + struct.pack(">H", len(head) + len(body)) + head[4:6] + b"\0\0" + head[8:10] + b"\0\0" + head[12:]
    total = sum(struct.unpack(f">{len(fresh) // 2}H", fresh))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return fresh[:10] + struct.pack(">H", ~total & 0xFFFF) + fresh[12:] + body
