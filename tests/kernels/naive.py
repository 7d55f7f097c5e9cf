"""Slow, obvious twins of the kernels that read packets: index, decode, checksums, seconds. Written from the standards.

They work on ``bytes`` of one frame at a time, so a read beyond the end gives too few bytes and never somebody else's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nsm.decode.events import NAMES

IPV4, IPV6, ARP, MPLS, PPPOE = 0x0800, 0x86DD, 0x0806, 0x8847, 0x8864
TAGS = (0x8100, 0x88A8, 0x9100, 0x9200)
NOTHING, ETHERNET, BY_NIBBLE, PPP = -1, -2, -3, -4  # what follows, besides EtherTypes
FRAME_MAX, RECORD_MAX = 65_535, 262_144
LARGE, FRAGMENT = "large", "fragment"
BITS = {**{name: 1 << bit for bit, name in enumerate(NAMES)}, LARGE: 1 << 30, FRAGMENT: 1 << 31}


def u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


@dataclass
class Record:
    """A packet in a capture file or a ring."""

    ts_ns: int
    at: int
    caplen: int
    wirelen: int
    link: int
    iface: int = 0
    vlan: int = 0  # the tag that Linux took out of the frame, identifier + 0x1000


def record(ts_ns: int, at: int, captured: int, wire: int, link: int, iface: int = 0, vlan: int = 0) -> Record:
    kept = min(captured, FRAME_MAX)
    return Record(ts_ns, at, kept, min(max(wire, kept), 2**32 - 1), link, iface, vlan)


def index_pcap(data: bytes, big: bool, ns_per_unit: int, link: int) -> tuple[list[Record], str]:
    """(packets, why it ended) of the records behind the header of a classic pcap."""
    found: list[Record] = []
    at, order = 0, "big" if big else "little"
    while at + 16 <= len(data):
        second, part, captured, wire = (
            int.from_bytes(data[at + 4 * n : at + 4 * n + 4], order) for n in range(4)  # type: ignore[arg-type]
        )  # fmt: skip
        if captured > RECORD_MAX:
            return found, "bad length"
        if at + 16 + captured > len(data):
            break
        found.append(record(second * 10**9 + part * ns_per_unit, at + 16, captured, wire, link))
        at += 16 + captured
    return found, "more"


def index_ring(data: bytes, at: int, frames: int, link: int, iface: int, skip_outgoing: bool) -> list[Record]:
    """The packets of a TPACKET_V3 block whose first header is at ``at``. Linux, include/uapi/linux/if_packet.h.

    48 bytes of struct tpacket3_hdr, then struct sockaddr_ll, whose byte 10 is the kind of packet: 4 goes out.
    """
    found: list[Record] = []
    for _ in range(frames):
        if at + 48 + 20 > len(data):
            break
        step, second, part, captured, wire, status = struct.unpack_from("<IIIIII", data, at)
        mac, _, _, tci = struct.unpack_from("<HHII", data, at + 24)
        start = at + mac
        if start + captured > len(data):
            break
        if not (skip_outgoing and data[at + 58] == 4):
            tagged = bool(status & 0x10)
            # The tag was on the wire, and Linux does not count it.
            wire, tag = (wire + 4, 0x1000 | tci & 0xFFF) if tagged else (wire, 0)
            found.append(record(second * 10**9 + part, start, captured, wire, link, iface, tag))
        if step == 0:  # the last of its block
            break
        at += step
    return found


@dataclass
class Row:
    """What decoding says of one header that can belong to a flow; addresses as bytes, 16 of them."""

    kind: str  # flow, outer, notice, arp, other
    src: bytes = bytes(16)
    dst: bytes = bytes(16)
    sport: int = 0
    dport: int = 0
    proto: int = 0
    version: int = 0
    vlan: int = 0
    depth: int = 0
    bad: set[str] = field(default_factory=set)
    l3: int = 0
    l4: int = 0
    pay: int = 0
    plen: int = 0
    iplen: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 0
    flags: int = 0
    ttl: int = 0
    vlan_inner: int = 0
    icmp: int = 0

    @property
    def swapped(self) -> bool:
        """Does the sender stand behind the receiver in the canonical order?"""
        return (self.src, self.sport) > (self.dst, self.dport)


Step = tuple[int, int, str]  # position, what follows, what is wrong


def first_step(frame: bytes, link: int) -> Step:
    """The link layer. https://www.tcpdump.org/linktypes.html"""
    sizes = {1: (14, 12, "ethernet.pkt"), 113: (16, 14, "sll.pkt"), 276: (20, 0, "sll.pkt"), 104: (4, 2, "ppp.pkt")}
    if link in sizes:
        size, place, name = sizes[link]
        return (size, u16(frame, place), "") if len(frame) >= size else (0, NOTHING, f"decoder.{name}_too_small")
    if link in (101, 12, 14):
        return 0, BY_NIBBLE, ""
    if link in (228, 229):
        return 0, IPV4 if link == 228 else IPV6, ""
    if link in (0, 108):
        if len(frame) < 4:
            return 0, NOTHING, "decoder.ltnull.pkt_too_small"
        family = u32(frame, 0)
        if family >= 0x10000:  # the other byte order
            family = int.from_bytes(frame[:2], "little")
        return 4, {2: IPV4, 10: IPV6, 24: IPV6, 28: IPV6, 30: IPV6}.get(family, NOTHING), ""
    if link in (9, 50):
        if len(frame) < 4:
            return 0, NOTHING, "decoder.ppp.pkt_too_small"
        return (4, u16(frame, 2), "") if frame[:2] in (b"\x0f\0", b"\x8f\0") else (0, PPP, "")
    if link == 51:
        return 0, PPPOE, ""
    return 0, NOTHING, ""


def by_nibble(frame: bytes, at: int) -> int:
    return {4: IPV4, 6: IPV6}.get(frame[at] >> 4, NOTHING) if at < len(frame) else NOTHING


def ppp(frame: bytes, at: int) -> Step:
    """RFC 1661, section 2; RFC 1662, section 3.1."""
    if frame[at : at + 2] == b"\xff\x03":
        at += 2
    if len(frame) < at + 2:
        return at, NOTHING, "decoder.ppp.pkt_too_small"
    short = frame[at] & 1
    number = frame[at] if short else u16(frame, at)
    kind = {0x21: IPV4, 0x57: IPV6, 0x281: MPLS, 0x283: MPLS}.get(number, NOTHING)
    return at + (1 if short else 2), kind, ""


def mpls(frame: bytes, at: int) -> Step:
    """RFC 3032; RFC 4385 for the control word."""
    for _ in range(8):
        if len(frame) < at + 4:
            return at, NOTHING, "decoder.mpls.header_too_small"
        bottom = frame[at + 2] & 1
        at += 4
        if bottom:
            kind = by_nibble(frame, at)
            if kind != NOTHING:
                return at, kind, ""
            return at + (4 if at < len(frame) and frame[at] < 16 else 0), ETHERNET, ""
    return at, NOTHING, "decoder.too_many_layers"


def next_step(frame: bytes, at: int, kind: int) -> Step:
    """What stands between link and IP, tags left out."""
    if kind == ETHERNET:
        if len(frame) < at + 14:
            return at, NOTHING, "decoder.ethernet.pkt_too_small"
        return at + 14, u16(frame, at + 12), ""
    if kind in (MPLS, 0x8848):
        return mpls(frame, at)
    if kind == PPPOE:
        return ppp(frame, at + 6) if len(frame) >= at + 8 else (at, NOTHING, "decoder.pppoe.pkt_too_small")
    if kind == PPP:
        return ppp(frame, at)
    if kind == BY_NIBBLE:
        return at, by_nibble(frame, at), ""
    if 0 <= kind < 1536 and len(frame) >= at + 8 and frame[at : at + 2] == b"\xaa\xaa":
        return at + 8, u16(frame, at + 6), ""
    return at, NOTHING, ""


@dataclass
class Packet:
    """An IP header that was read; ``stop`` is the end by its length, ``usable`` False when it cannot be gone on with."""

    usable: bool
    bad: str = ""
    proto: int = 0
    l4: int = 0
    stop: int = 0
    offset: int = 0  # of the fragment, bytes
    more: bool = False
    ttl: int = 0


def ipv4(frame: bytes, at: int, wire: int) -> Packet:
    """RFC 791, section 3.1."""
    if len(frame) < at + 20:
        return Packet(False, "decoder.ipv4.pkt_too_small" if wire < at + 20 else "")
    head, total = (frame[at] & 15) * 4, u16(frame, at + 2) or wire - at
    bad = ""
    if frame[at] >> 4 != 4:
        bad = "decoder.ipv4.wrong_ip_version"
    elif head < 20:
        bad = "decoder.ipv4.hlen_too_small"
    elif total < head:
        bad = "decoder.ipv4.iplen_smaller_than_hlen"
    elif at + total > wire:
        bad = "decoder.ipv4.trunc_pkt"
    if bad or len(frame) < at + head:
        return Packet(False, bad)
    field_ = u16(frame, at + 6)
    return Packet(
        True, "", frame[at + 9], at + head, at + total, (field_ & 0x1FFF) * 8, bool(field_ & 0x2000), frame[at + 8]
    )


def ipv6(frame: bytes, at: int, wire: int) -> Packet:
    """RFC 8200, sections 3 and 4: at most eight extension headers."""
    if len(frame) < at + 40:
        return Packet(False, "decoder.ipv6.pkt_too_small" if wire < at + 40 else "")
    if frame[at] >> 4 != 6:
        return Packet(False, "decoder.ipv6.wrong_ip_version")
    size = u16(frame, at + 4)
    stop = at + 40 + size if size else wire
    if stop > wire:
        return Packet(False, "decoder.ipv6.trunc_pkt")
    found = Packet(True, "", frame[at + 6], at + 40, stop, ttl=frame[at + 7])
    limit = min(len(frame), stop)
    for _ in range(8):
        if found.proto not in (0, 43, 44, 51, 60, 135, 139, 140):
            return found
        if found.l4 + 8 > limit:
            break
        head, units = found.l4, frame[found.l4 + 1]
        if found.proto == 44:
            found.offset, found.more = u16(frame, head + 2) & 0xFFF8, bool(u16(frame, head + 2) & 1)
            found.l4 += 8
        else:
            found.l4 += (units + 2) * 4 if found.proto == 51 else (units + 1) * 8
        found.proto = frame[head]
        if found.offset:
            return found
        if found.l4 > limit:
            break
    return Packet(False, "decoder.ipv6.trunc_exthdr" if stop <= len(frame) else "", found.proto)


def icmp_ports(version: int, kind: int, code: int) -> tuple[int, int]:
    """Type and its counterpart (RFC 792, RFC 4443, RFC 4861), else type and code."""
    pairs = [(8, 0), (13, 14), (15, 16), (17, 18), (10, 9)]
    if version == 6:
        pairs = [(128, 129), (133, 134), (135, 136), (139, 140), (144, 145), (130, 131)]
    both = {**dict(pairs), **{b: a for a, b in pairs}}
    return kind, both.get(kind, code)


def transport(frame: bytes, packet: Packet, version: int, row: Row) -> str | None:
    """Fill in what TCP, UDP, SCTP or ICMP say; the fault when nothing can be said, "" when only bytes are missing."""
    at, stop = packet.l4, min(len(frame), packet.stop)
    row.pay = at
    if packet.offset:
        return None
    names = {6: ("tcp", 20), 17: ("udp", 8), 132: ("sctp", 12)}
    names.update({1: ("icmpv4", 8)} if version == 4 else {58: ("icmpv6", 8)})
    if packet.proto not in names:
        return None
    name, size = names[packet.proto]
    if at + size > stop:
        return f"decoder.{name}.pkt_too_small" if packet.stop - at < size else ""
    row.pay = at + size
    if name.startswith("icmp"):
        row.sport, row.dport = icmp_ports(version, frame[at], frame[at + 1])
        row.icmp = u16(frame, at)
        return None
    if name == "tcp":
        head = (frame[at + 12] >> 4) * 4
        if head < 20 or head > packet.stop - at:
            return "decoder.tcp.hlen_too_small"
        row.pay = at + head
        row.seq, row.ack, row.flags, row.window = (
            u32(frame, at + 4),
            u32(frame, at + 8),
            frame[at + 13],
            u16(frame, at + 14),
        )
    elif name == "udp":
        length = u16(frame, at + 4)
        if 0 < length < 8 or (length > packet.stop - at and not packet.more):
            row.bad.add("decoder.udp.len_invalid")
    row.sport, row.dport = u16(frame, at), u16(frame, at + 2)
    return None


def gre(frame: bytes, at: int, stop: int) -> Step:
    """RFC 2784, 2890, 2637; ERSPAN."""
    if at + 4 > stop:
        return at, NOTHING, "decoder.gre.pkt_too_small"
    flags, kind = u16(frame, at), u16(frame, at + 2)
    if flags & 7 > 1:
        return at, NOTHING, "decoder.gre.wrong_version"
    if flags & 0x4000:
        return at, NOTHING, ""
    at += 4 + 4 * sum(bool(flags & bit) for bit in (0x8000, 0x2000, 0x1000))
    if flags & 7 == 1:
        return at + (4 if flags & 0x80 else 0), PPP if kind == 0x880B else NOTHING, ""
    if kind == 0x88BE:
        return at + (8 if flags & 0x1000 else 0), ETHERNET, ""
    if kind == 0x22EB:
        if at + 12 > stop:
            return at, NOTHING, "decoder.gre.pkt_too_small"
        return at + 12 + (8 if frame[at + 11] & 1 else 0), ETHERNET, ""
    return at, ETHERNET if kind == 0x6558 else kind, ""


def in_udp(frame: bytes, at: int, stop: int, sport: int, dport: int) -> tuple[int, int]:
    """VXLAN RFC 7348, GENEVE RFC 8926, GTP-U TS 29.281, Teredo RFC 4380."""
    data = frame[at:stop]
    if dport == 4789:
        return (at + 8, ETHERNET) if len(data) >= 8 and data[0] & 8 else (at, NOTHING)
    if dport == 6081:
        if len(data) < 8 or data[0] >> 6:
            return at, NOTHING
        kind = u16(data, 2)
        return at + 8 + (data[0] & 63) * 4, ETHERNET if kind == 0x6558 else kind
    if 2152 in (sport, dport):
        if len(data) < 12 or data[0] & 0xF0 != 0x30 or data[1] != 255:
            return at, NOTHING
        place = 8
        if data[0] & 7:
            following, place = (data[11] if data[0] & 4 else 0), 12
            for _ in range(4):
                if not following or place + 4 > len(data):
                    break
                size = data[place] * 4
                if not size or place + size > len(data):
                    return at, NOTHING
                following, place = data[place + size - 1], place + size
        return at + place, by_nibble(frame[:stop], at + place)
    if 3544 not in (sport, dport) and 5072 in (sport, dport) and dport != 4754:
        if len(data) >= 8:
            place = 8 + (1 << (data[0] >> 4)) + (data[1] >> 4) * 4
            if data[2] & 15 == 1 and data[3] in (41, 4) and place < len(data):
                return at + place, by_nibble(frame[:stop], at + place)
        return at, NOTHING
    if 3544 in (sport, dport):
        place = 0
        if data[:2] == b"\0\1" and len(data) >= 4:
            place = 13 + data[2] + data[3]
        if data[place : place + 2] == b"\0\0" and len(data) >= place + 8:
            place += 8
        if len(data) >= place + 40 and data[place] >> 4 == 6:
            return at + place, IPV6
    return at, NOTHING


def inside(frame: bytes, packet: Packet, row: Row) -> Step:
    """The tunnel in a packet, if it is one."""
    stop = min(len(frame), packet.stop)
    if packet.offset or packet.more:
        return 0, NOTHING, ""
    if packet.proto == 17:
        return *in_udp(frame, row.pay, stop, row.sport, row.dport), ""
    if packet.proto in (4, 41):
        return packet.l4, IPV4 if packet.proto == 4 else IPV6, ""
    return gre(frame, packet.l4, stop) if packet.proto == 47 else (0, NOTHING, "")


def addresses(frame: bytes, at: int, version: int) -> tuple[bytes, bytes]:
    if version == 4:
        mapped = bytes(10) + b"\xff\xff"
        return mapped + frame[at + 12 : at + 16], mapped + frame[at + 16 : at + 20]
    return frame[at + 8 : at + 24], frame[at + 24 : at + 40]


def quoted(frame: bytes, at: int, version: int, outer: Row) -> Row | None:
    """The packet that an ICMP "unreachable" quotes."""
    size = 20 if version == 4 else 40
    if len(frame) < at + size or frame[at] >> 4 != version:
        return None
    proto, l4 = (frame[at + 9], at + (frame[at] & 15) * 4) if version == 4 else (frame[at + 6], at + 40)
    if proto not in (6, 17, 132) or len(frame) < l4 + 4:
        return None
    src, dst = addresses(frame, at, version)
    return Row(
        "notice", src, dst, u16(frame, l4), u16(frame, l4 + 2), proto, version, outer.vlan, outer.depth, set(),
        outer.l3, outer.l4, outer.pay, ttl=outer.ttl, vlan_inner=outer.vlan_inner, icmp=outer.icmp,
    )  # fmt: skip


def decode(
    frame: bytes, wire: int, link: int, tag: int = 0, large_icmp: int = 1_000, large_udp: int = 4_096
) -> Iterator[Row]:
    """The rows of one frame."""
    vlans = [tag & 0xFFF] if tag else []
    at, kind, wrong = first_step(frame, link)
    bad = {wrong} - {""}
    depth = 0
    was = kind
    for step in range(17):
        if step == 16:
            bad.add("decoder.too_many_layers")
            kind = NOTHING
        outer, inner = [*vlans, 0, 0][:2]
        if kind in (IPV4, IPV6):
            version = 4 if kind == IPV4 else 6
            packet = (ipv4 if version == 4 else ipv6)(frame, at, wire)
            row = Row("flow", proto=packet.proto, version=version, vlan=outer, vlan_inner=inner, depth=depth, l3=at)
            row.l4, row.ttl, row.iplen = packet.l4, packet.ttl, packet.stop - at
            fault = transport(frame, packet, version, row) if packet.usable else packet.bad
            if len(frame) >= at + (20 if version == 4 else 40):
                row.src, row.dst = addresses(frame, at, version)
            elif fault is not None:
                row.version = 0
            if fault is not None:
                row = Row("other", row.src, row.dst, 0, 0, row.proto, row.version, outer, depth, bad | {fault} - {""},
                          at, at, at, vlan_inner=inner, icmp=kind)  # fmt: skip
                yield row
                return
            next_at, next_kind, wrong = inside(frame, packet, row)
            row.bad |= bad | {wrong} - {""}
            if next_kind != NOTHING and depth == 4:
                row.bad.add("decoder.too_many_layers")
                next_kind = NOTHING
            row.kind = "flow" if next_kind == NOTHING else "outer"
            row.plen = max(packet.stop - row.pay, 0)
            if packet.offset or packet.more:
                row.bad.add(FRAGMENT)
            if (packet.proto == 17 and row.plen > large_udp) or (row.icmp and row.plen > large_icmp):
                row.bad.add(LARGE)
            yield row
            end = min(len(frame), packet.stop)
            if row.icmp and row.icmp >> 8 == (3 if version == 4 else 1):
                notice = quoted(frame[:end], packet.l4 + 8, version, row)
                if notice:
                    yield notice
            if next_kind == NOTHING:
                return
            frame, wire, depth, bad = frame[:end], packet.stop, depth + 1, set()
            at, kind = next_at, next_kind
        elif kind in TAGS and len(frame) >= at + 4:
            if depth == 0:
                vlans.append(u16(frame, at) & 0xFFF)
            at, kind = at + 4, u16(frame, at + 2)
        else:
            was = kind
            if kind in TAGS:
                bad.add("decoder.vlan.header_too_small")
                kind, was = NOTHING, NOTHING
            elif kind not in (ARP, NOTHING):
                at, kind, wrong = next_step(frame, at, kind)
                bad |= {wrong} - {""}
            if kind in (ARP, NOTHING):
                kind = was if kind == NOTHING and was >= 0 else kind
                yield Row("arp" if kind == ARP else "other", vlan=outer, depth=depth, bad=bad, l3=at, l4=at, pay=at,
                          vlan_inner=inner, icmp=max(kind, 0))  # fmt: skip
                return


def checksums(frame: bytes, row: Row) -> set[str]:
    """Which sums of a row are wrong. RFC 1071, RFC 791, RFC 9293, RFC 768, RFC 8200."""

    def right(data: bytes) -> bool:
        padded = data + bytes(len(data) % 2)
        return sum(u16(padded, at) for at in range(0, len(padded), 2)) % 0xFFFF == 0 and any(padded)

    if row.version == 4 and not right(frame[row.l3 : row.l4]):
        return {"decoder.ipv4.csum_invalid"}
    end = row.l3 + row.iplen
    if end > len(frame) or FRAGMENT in row.bad or row.proto not in (1, 6, 17, 58):
        return set()
    if row.proto == 17 and u16(frame, row.l4 + 6) == 0:
        return set()
    segment = frame[row.l4 : end]
    pseudo = b""
    if row.proto != 1:
        ends = frame[row.l3 + 12 : row.l3 + 20] if row.version == 4 else frame[row.l3 + 8 : row.l3 + 40]
        pseudo = ends + len(segment).to_bytes(4, "big") + row.proto.to_bytes(4, "big")
    return set() if right(pseudo + segment) else {"decoder.l4.csum_invalid"}


def seconds(packets: Iterable[tuple[int, int, Row]], local: Any) -> dict[int, dict[str, int]]:
    """Second -> counters of (ts_ns, bytes on the wire, first row); ``local`` says whether an address is ours."""
    out: dict[int, dict[str, int]] = {}
    now = 0
    for ts_ns, size, row in packets:
        now = max(now, ts_ns // 10**9)
        counts = out.setdefault(now, dict.fromkeys(
            ("pkts", "bytes", "bytes_in", "bytes_out", "tcp_bytes", "udp_bytes", "icmp_pkts", "other_bytes", "large_pkts",
             "fragments", "malformed"), 0,
        ))  # fmt: skip
        counts["pkts"] += 1
        counts["bytes"] += size
        counts["malformed"] += bool(row.bad - {LARGE, FRAGMENT})
        counts["large_pkts"] += LARGE in row.bad
        counts["fragments"] += FRAGMENT in row.bad
        known = row.kind in ("flow", "outer")
        name = {6: "tcp_bytes", 17: "udp_bytes", 1: "icmp_pkts", 58: "icmp_pkts"}.get(row.proto, "other_bytes")
        name = name if known else "other_bytes"
        counts[name] += 1 if name == "icmp_pkts" else size
        if known and local(row.src) != local(row.dst):
            counts["bytes_out" if local(row.src) else "bytes_in"] += size
    return out
