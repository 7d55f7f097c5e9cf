"""One header at a time: the helpers of ``decode``. Each reads only below the limit it is given.

All take data u8[b] and int64 positions; ``stop`` is the first byte not captured. What they find wrong is a bit
of ``bad``, named as Suricata names decoder events (see decode/anomaly.py).

Long because every layer below IP has its few lines here: the decoder inlines them all.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.constants import (
    LINK_AVS,
    LINK_CHDLC,
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LOOP,
    LINK_NULL,
    LINK_PPI,
    LINK_PPP,
    LINK_PPP_HDLC,
    LINK_PPPOE,
    LINK_PRISM,
    LINK_RADIOTAP,
    LINK_RAW,
    LINK_RAW_A,
    LINK_RAW_B,
    LINK_SLL,
    LINK_SLL2,
    LINK_WIFI,
)
from nsm.kernels.jit import get, inline, ld16, ld32

# EtherTypes: IEEE 802 numbers. Pseudo types below zero are ours.
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
VLAN_8021Q, VLAN_8021AD, VLAN_9100, VLAN_9200 = 0x8100, 0x88A8, 0x9100, 0x9200
MPLS, MPLS_MULTICAST, PPPOE, VNTAG, ETAG, NSH, ITAG = 0x8847, 0x8848, 0x8864, 0x8926, 0x893F, 0x894F, 0x88E7
FABRICPATH = 0x8903
NONE, ETHERNET, BY_NIBBLE, PPP = -1, -2, -3, -4

# Bits of ``bad``. 0 to 29 are decoder events; 30 and 31 are ours and no anomaly.
(
    ETHERNET_SHORT, VLAN_SHORT, MPLS_SHORT, PPP_SHORT, PPPOE_SHORT, SLL_SHORT, NULL_SHORT, WIFI_SHORT,
    IPV4_SHORT, IPV4_VERSION, IPV4_HLEN, IPV4_IPLEN, IPV4_TRUNC, IPV6_SHORT, IPV6_VERSION, IPV6_TRUNC,
    IPV6_EXTHDR, TCP_SHORT, TCP_HLEN, UDP_SHORT, UDP_LEN, ICMPV4_SHORT, ICMPV6_SHORT, SCTP_SHORT,
    GRE_SHORT, GRE_VERSION, TUNNEL_SHORT, TOO_MANY_LAYERS, IP_CHECKSUM, L4_CHECKSUM, LARGE, FRAGMENT,
) = (1 << bit for bit in range(32))  # fmt: skip

VLAN_HEADER: Final = 4


@inline
def link_layer(data, at, stop, link):
    """(position of the next header, its EtherType or a pseudo type, bad bits) of a frame of link type ``link``."""
    bad = np.int64(0)
    if link == LINK_ETHERNET:
        if at + 14 > stop:
            return at, np.int64(NONE), np.int64(ETHERNET_SHORT)
        return at + 14, np.int64(ld16(data, at + 12)), bad
    if link in (LINK_RAW, LINK_RAW_A, LINK_RAW_B):
        return at, np.int64(BY_NIBBLE), bad
    if link == LINK_IPV4:
        return at, np.int64(IPV4), bad
    if link == LINK_IPV6:
        return at, np.int64(IPV6), bad
    if link == LINK_SLL:
        if at + 16 > stop:
            return at, np.int64(NONE), np.int64(SLL_SHORT)
        return at + 16, np.int64(ld16(data, at + 14)), bad
    if link == LINK_SLL2:
        if at + 20 > stop:
            return at, np.int64(NONE), np.int64(SLL_SHORT)
        return at + 20, np.int64(ld16(data, at)), bad
    if link in (LINK_NULL, LINK_LOOP):
        return _null(data, at, stop)
    if link in (LINK_PPP, LINK_PPP_HDLC):
        return _ppp_link(data, at, stop)
    if link == LINK_CHDLC:
        if at + 4 > stop:
            return at, np.int64(NONE), np.int64(PPP_SHORT)
        return at + 4, np.int64(ld16(data, at + 2)), bad
    if link == LINK_PPPOE:
        return at, np.int64(PPPOE), bad
    if link in (LINK_WIFI, LINK_RADIOTAP, LINK_PPI, LINK_PRISM, LINK_AVS):
        return _wifi(data, at, stop, link)
    return at, np.int64(NONE), bad


@inline
def _null(data, at, stop):
    """BSD loopback: four bytes of address family, in the byte order of the machine that captured."""
    if at + 4 > stop:
        return at, np.int64(NONE), np.int64(NULL_SHORT)
    family = np.int64(ld32(data, at))
    if family >= 0x10000:
        family = ((family >> 24) & 0xFF) | ((family >> 8) & 0xFF00)
    if family == 2:
        return at + 4, np.int64(IPV4), np.int64(0)
    if family in (10, 24, 28, 30):  # AF_INET6 of Linux, NetBSD, FreeBSD, macOS
        return at + 4, np.int64(IPV6), np.int64(0)
    return at + 4, np.int64(NONE), np.int64(0)


@inline
def _ppp_link(data, at, stop):
    if at + 4 > stop:
        return at, np.int64(NONE), np.int64(PPP_SHORT)
    if ld16(data, at) == 0x0F00 or ld16(data, at) == 0x8F00:  # Cisco HDLC inside (RFC 1547)
        return at + 4, np.int64(ld16(data, at + 2)), np.int64(0)
    return at, np.int64(PPP), np.int64(0)


@inline
def ppp(data, at, stop):
    """PPP protocol field with or without address and control (RFC 1661, 1662)."""
    if at + 2 <= stop and ld16(data, at) == 0xFF03:
        at += 2
    if at + 2 > stop:
        return at, np.int64(NONE), np.int64(PPP_SHORT)
    protocol = np.int64(ld16(data, at))
    at += 2
    if protocol & 0x0100:  # compressed to one byte
        protocol >>= 8
        at -= 1
    if protocol == 0x0021:
        return at, np.int64(IPV4), np.int64(0)
    if protocol == 0x0057:
        return at, np.int64(IPV6), np.int64(0)
    if protocol in (0x0281, 0x0283):
        return at, np.int64(MPLS), np.int64(0)
    return at, np.int64(NONE), np.int64(0)


@inline
def _wifi(data, at, stop, link):
    """IEEE 802.11 data frames, behind radiotap, PPI, Prism or AVS headers; only unprotected ones have more to show."""
    if link != LINK_WIFI:
        if at + 8 > stop:
            return at, np.int64(NONE), np.int64(WIFI_SHORT)
        if link in (LINK_RADIOTAP, LINK_PPI):
            at += np.int64(get(data, at + 2)) | (np.int64(get(data, at + 3)) << 8)
        elif link == LINK_PRISM and ld32(data, at) == 0x44000000:
            at += 144
        else:
            at += np.int64(ld32(data, at + 4))
    if at + 24 > stop:
        return at, np.int64(NONE), np.int64(WIFI_SHORT)
    control, flags = np.int64(get(data, at)), np.int64(get(data, at + 1))
    if (control & 0x0C) != 0x08 or (control & 0x40) or (flags & 0x40):  # no data, or protected
        return at, np.int64(NONE), np.int64(0)
    at += 30 if (flags & 0x03) == 0x03 else 24
    if control & 0x80:
        at += 2  # QoS control
        if flags & 0x80:
            at += 4  # HT control
    if at + 8 > stop:
        return at, np.int64(NONE), np.int64(WIFI_SHORT)
    if ld16(data, at) != 0xAAAA:
        return at, np.int64(NONE), np.int64(0)
    return at + 8, np.int64(ld16(data, at + 6)), np.int64(0)


@inline
def nibble(data, at, stop):
    """IPv4 or IPv6 by the version field."""
    if at < stop:
        version = np.int64(get(data, at)) >> 4
        if version == 4:
            return np.int64(IPV4)
        if version == 6:
            return np.int64(IPV6)
    return np.int64(NONE)


@inline
def mpls(data, at, stop):
    """Pop a label stack (RFC 3032); what follows is told by its first nibble (RFC 4928)."""
    for _ in range(8):
        if at + 4 > stop:
            return at, np.int64(NONE), np.int64(MPLS_SHORT)
        bottom = np.int64(get(data, at + 2)) & 1
        at += 4
        if bottom:
            kind = nibble(data, at, stop)
            if kind != NONE:
                return at, kind, np.int64(0)
            if at < stop and np.int64(get(data, at)) >> 4 == 0:
                at += 4  # pseudowire control word (RFC 4385)
            return at, np.int64(ETHERNET), np.int64(0)
    return at, np.int64(NONE), np.int64(TOO_MANY_LAYERS)


@inline
def shim(data, at, stop, kind):
    """The header between link and IP that ``kind`` names, VLAN tags left out: (position, next type, bad bits)."""
    if kind == ETHERNET:
        if at + 14 > stop:
            return at, np.int64(NONE), np.int64(ETHERNET_SHORT)
        return at + 14, np.int64(ld16(data, at + 12)), np.int64(0)
    if kind in (MPLS, MPLS_MULTICAST):
        return mpls(data, at, stop)
    if kind == PPPOE:
        if at + 8 > stop:
            return at, np.int64(NONE), np.int64(PPPOE_SHORT)
        return ppp(data, at + 6, stop)
    if kind == PPP:
        return ppp(data, at, stop)
    if kind == BY_NIBBLE:
        return at, nibble(data, at, stop), np.int64(0)
    if kind == VNTAG or kind == ETAG:
        size = 6 if kind == VNTAG else 8
        if at + size > stop:
            return at, np.int64(NONE), np.int64(VLAN_SHORT)
        return at + size, np.int64(ld16(data, at + size - 2)), np.int64(0)
    if kind == ITAG:  # IEEE 802.1ah: four bytes of I-TAG, then the customer's frame
        return at + 4, np.int64(ETHERNET), np.int64(0)
    if kind == FABRICPATH:  # Cisco FabricPath: two bytes of tag, then the frame it carries
        return at + 2, np.int64(ETHERNET), np.int64(0)
    if kind == NSH:  # RFC 8300
        if at + 8 > stop:
            return at, np.int64(NONE), np.int64(TUNNEL_SHORT)
        size = (np.int64(get(data, at + 1)) & 0x3F) * 4
        inner = np.int64(get(data, at + 3))
        known = IPV4 if inner == 1 else (IPV6 if inner == 2 else (ETHERNET if inner == 3 else NONE))
        return at + size, np.int64(known), np.int64(0)
    if 0 <= kind < 1536 and at + 8 <= stop and ld16(data, at) == 0xAAAA:  # IEEE 802.3 with SNAP
        return at + 8, np.int64(ld16(data, at + 6)), np.int64(0)
    return at, np.int64(NONE), np.int64(0)


@inline
def ipv4(data, at, stop, wire_stop):
    """(bad bits, protocol, next header, end on the wire, fragment offset | more << 16, TTL). RFC 791, section 3.1."""
    if at + 20 > stop:
        short = np.int64(IPV4_SHORT) if wire_stop - at < 20 else np.int64(0)
        return short | np.int64(1) << 40, np.int64(0), at, at, np.int64(0), np.int64(0)
    first = np.int64(get(data, at))
    header = (first & 0x0F) * 4
    total = np.int64(ld16(data, at + 2))
    bad = np.int64(0)
    if first >> 4 != 4:
        bad = np.int64(IPV4_VERSION)
    elif header < 20:
        bad = np.int64(IPV4_HLEN)
    if total == 0:  # segmentation offload leaves the length to the card
        total = wire_stop - at
    if bad == 0 and total < header:
        bad = np.int64(IPV4_IPLEN)
    if bad == 0 and total > wire_stop - at:
        bad = np.int64(IPV4_TRUNC)
    if bad != 0 or at + header > stop:
        return bad | np.int64(1) << 40, np.int64(0), at, at, np.int64(0), np.int64(0)
    field = np.int64(ld16(data, at + 6))
    fragment = (field & 0x1FFF) * 8 | (field & 0x2000) << 3
    return bad, np.int64(get(data, at + 9)), at + header, at + total, fragment, np.int64(get(data, at + 8))


@inline
def ipv6(data, at, stop, wire_stop):
    """As ``ipv4``, through at most eight extension headers. RFC 8200, sections 3 and 4."""
    if at + 40 > stop:
        short = np.int64(IPV6_SHORT) if wire_stop - at < 40 else np.int64(0)
        return short | np.int64(1) << 40, np.int64(0), at, at, np.int64(0), np.int64(0)
    if np.int64(get(data, at)) >> 4 != 6:
        return np.int64(IPV6_VERSION) | np.int64(1) << 40, np.int64(0), at, at, np.int64(0), np.int64(0)
    size = np.int64(ld16(data, at + 4))
    end = at + 40 + size if size > 0 else wire_stop
    if end > wire_stop:
        return np.int64(IPV6_TRUNC) | np.int64(1) << 40, np.int64(0), at, at, np.int64(0), np.int64(0)
    ttl = np.int64(get(data, at + 7))
    protocol = np.int64(get(data, at + 6))
    fragment = np.int64(0)
    at += 40
    limit = min(stop, end)
    for _ in range(8):
        if protocol in (0, 43, 60, 135, 139, 140):
            if at + 8 > limit:
                break
            protocol, at = np.int64(get(data, at)), at + (np.int64(get(data, at + 1)) + 1) * 8
        elif protocol == 51:
            if at + 8 > limit:
                break
            protocol, at = np.int64(get(data, at)), at + (np.int64(get(data, at + 1)) + 2) * 4
        elif protocol == 44:
            if at + 8 > limit:
                break
            field = np.int64(ld16(data, at + 2))
            fragment = (field & 0xFFF8) | (field & 1) << 16
            protocol, at = np.int64(get(data, at)), at + 8
            if fragment & 0xFFF8:
                return np.int64(0), protocol, at, end, fragment, ttl
        else:
            return np.int64(0), protocol, at, end, fragment, ttl
        if at > limit:
            break
    wrong = np.int64(IPV6_EXTHDR) if end <= stop else np.int64(0)
    return wrong | np.int64(1) << 40, protocol, at, end, fragment, ttl


@inline
def gre(data, at, stop):
    """GRE versions 0 and 1 and ERSPAN (RFC 2784, 2890, 2637; draft-foschiano-erspan): (position, next type, bad bits)."""
    if at + 4 > stop:
        return at, np.int64(NONE), np.int64(GRE_SHORT)
    flags, kind = np.int64(ld16(data, at)), np.int64(ld16(data, at + 2))
    version = flags & 7
    if version > 1:
        return at, np.int64(NONE), np.int64(GRE_VERSION)
    if flags & 0x4000:  # source routing: nobody uses it, and its length is the sender's to say
        return at, np.int64(NONE), np.int64(0)
    at += 4
    sequence = flags & 0x1000
    at += 4 if flags & 0x8000 else 0
    at += 4 if flags & 0x2000 else 0
    at += 4 if sequence else 0
    if version == 1:
        at += 4 if flags & 0x0080 else 0
        return at, np.int64(PPP if kind == 0x880B else NONE), np.int64(0)
    if kind == 0x6558:
        return at, np.int64(ETHERNET), np.int64(0)
    if kind == 0x88BE:
        return at + (8 if sequence else 0), np.int64(ETHERNET), np.int64(0)
    if kind == 0x22EB:
        if at + 12 > stop:
            return at, np.int64(NONE), np.int64(GRE_SHORT)
        extra = 8 if np.int64(get(data, at + 11)) & 1 else 0
        return at + 12 + extra, np.int64(ETHERNET), np.int64(0)
    return at, kind, np.int64(0)


@inline
def udp_tunnel(data, at, stop, source, destination, teredo):
    """What a UDP payload at ``at`` carries when its port names a tunnel: (position, next type), NONE for no tunnel.

    VXLAN RFC 7348, GENEVE RFC 8926, GTP-U 3GPP TS 29.281, Teredo RFC 4380.
    """
    if destination == 4789:
        if at + 8 <= stop and np.int64(get(data, at)) & 0x08:
            return at + 8, np.int64(ETHERNET)
    elif destination == 6081:
        if at + 8 <= stop and np.int64(get(data, at)) >> 6 == 0:
            kind = np.int64(ld16(data, at + 2))
            at += 8 + (np.int64(get(data, at)) & 0x3F) * 4
            return at, np.int64(ETHERNET) if kind == 0x6558 else kind
    elif destination == 2152 or source == 2152:
        if at + 12 <= stop and np.int64(get(data, at)) & 0xF0 == 0x30 and get(data, at + 1) == 255:
            flags = np.int64(get(data, at)) & 7
            at += 8
            if flags:
                extension = np.int64(get(data, at + 3)) if flags & 4 else np.int64(0)
                at += 4
                for _ in range(4):
                    if extension == 0 or at + 4 > stop:
                        break
                    size = np.int64(get(data, at)) * 4
                    if size == 0 or at + size > stop:
                        return at, np.int64(NONE)
                    extension = np.int64(get(data, at + size - 1))
                    at += size
            return at, nibble(data, at, stop)
    elif teredo and (destination == 3544 or source == 3544):
        if at + 4 <= stop and ld16(data, at) == 1:  # authentication
            at += 13 + np.int64(get(data, at + 2)) + np.int64(get(data, at + 3))
        if at + 8 <= stop and ld16(data, at) == 0:  # origin indication
            at += 8
        if at + 40 <= stop and np.int64(get(data, at)) >> 4 == 6:
            return at, np.int64(IPV6)
    elif (destination == 5072 or source == 5072) and at + 8 <= stop:  # AYIYA: draft-massar-v6ops-ayiya, section 3
        identity, signature = np.int64(get(data, at)) >> 4, np.int64(get(data, at + 1)) >> 4
        forward = np.int64(get(data, at + 2)) & 15 == 1
        carried = np.int64(get(data, at + 3))
        at += 8 + (np.int64(1) << identity) + signature * 4
        if forward and at < stop and (carried == 41 or carried == 4):
            return at, nibble(data, at, stop)
    return at, np.int64(NONE)


@inline
def icmp_ports(ip_version, kind, code):
    """(source, destination) that let both directions of one ICMP exchange meet: type and counterpart, else type and code.

    RFC 792, RFC 4443, RFC 4861; the same numbers as Zeek's id.orig_p and id.resp_p.
    """
    if ip_version == 4:
        if kind in (8, 13, 15, 17):
            return kind, (0 if kind == 8 else kind + 1)
        if kind in (0, 14, 16, 18):
            return kind, (8 if kind == 0 else kind - 1)
        if kind == 10:
            return kind, 9
        if kind == 9:
            return kind, 10
        return kind, code
    if kind in (128, 133, 135, 139, 144):
        return kind, kind + 1
    if kind in (129, 134, 136, 140, 145):
        return kind, kind - 1
    if kind == 130 or kind == 131:
        return kind, (131 if kind == 130 else 130)
    return kind, code
