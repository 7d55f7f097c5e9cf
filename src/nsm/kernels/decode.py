"""Headers of a whole batch: from the link layer to TCP, UDP, SCTP and ICMP, through tunnels.

One packet gives one row, and one more for each tunnel around it (the outer flow is a flow too) and for the
packet that an ICMP unreachable message quotes. Rows keep what the flow table needs; where a frame's bytes are
stays in the columns l3, l4 and pay. Twin: tests/kernels/naive.py, in plain Python.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels import layers as la
from nsm.kernels.jit import get, inline, kernel, ld16, ld32, ld64, put
from nsm.kernels.layers import gre, icmp_ports, ipv4, ipv6, link_layer, shim, udp_tunnel

# Values of kind[i].
FLOW, OUTER, NOTICE, ARP_ROW, OTHER = 0, 1, 2, 3, 4

STEPS_MAX: Final = 16  # headers below IP, tunnels counted in
DEPTH_MAX: Final = 4  # tunnels, as Zeek's Tunnel::max_depth
ROWS_PER_PACKET_MAX: Final = DEPTH_MAX + 2

# Places in ``limits`` (int64): what counts as large, whether Teredo is looked into, the seed of the hash,
# the mask of the VLAN identifier: 0xFFF, or 0 where flows are the same whatever their tag.
LIMIT_ICMP, LIMIT_UDP, LIMIT_TEREDO, LIMIT_SEED, LIMIT_TAGS = 0, 1, 2, 3, 4

V4_HIGH = np.uint64(0xFFFF00000000)
K1, K2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
U8, U16, U32, U40, U52, U56 = (np.uint64(bits) for bits in (8, 16, 32, 40, 52, 56))


@inline
def mix(state, word):
    """One multiply-xorshift step."""
    state = (state ^ word) * K1
    return state ^ (state >> U32)


@inline
def hash_words(seed, a_hi, a_lo, b_hi, b_lo, key):
    """64-bit hash of a flow's canonical words."""
    state = mix(seed ^ K2, a_hi)
    state = mix(state, a_lo)
    state = mix(state, b_hi)
    state = mix(state, b_lo)
    return mix(state, key)


@inline
def _emit(
    m, i, kind, s_hi, s_lo, d_hi, d_lo, sport, dport, proto, version, vlan, depth, bad, seed,
    pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads,
):  # fmt: skip
    """The words that say which flow a packet belongs to, in canonical order."""
    swap = (s_hi > d_hi) or (s_hi == d_hi and (s_lo > d_lo or (s_lo == d_lo and sport > dport)))
    ports = (np.uint64(dport) << U16 | np.uint64(sport)) if swap else (np.uint64(sport) << U16 | np.uint64(dport))
    word = (
        ports | np.uint64(proto) << U32 | np.uint64(vlan & 0xFFF) << U40 | np.uint64(depth) << U52
        | np.uint64(version) << U56
    )  # fmt: skip
    x_hi, x_lo = (d_hi, d_lo) if swap else (s_hi, s_lo)
    y_hi, y_lo = (s_hi, s_lo) if swap else (d_hi, d_lo)
    put(pkt, m, np.uint32(i))
    put(kinds, m, np.uint8(kind))
    put(key, m, word)
    put(hashes, m, np.uint32(hash_words(seed, x_hi, x_lo, y_hi, y_lo, word) >> U32))
    put(a_hi, m, x_hi)
    put(a_lo, m, x_lo)
    put(b_hi, m, y_hi)
    put(b_lo, m, y_lo)
    put(direction, m, np.uint8(1 if swap else 0))
    put(bads, m, np.uint32(bad))


@inline
def _detail(
    m, base, l3, l4, pay, plen, iplen, seq, ack, window, flags, ttl, vlan_inner, icmp,
    l3s, l4s, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls, vlans_inner, icmps,
):  # fmt: skip
    put(l3s, m, np.uint16(l3 - base))
    put(l4s, m, np.uint16(l4 - base))
    put(pays, m, np.uint16(pay - base))
    put(plens, m, np.uint32(plen if plen > 0 else 0))
    put(iplens, m, np.uint32(iplen))
    put(seqs, m, np.uint32(seq))
    put(acks, m, np.uint32(ack))
    put(windows, m, np.uint16(window))
    put(flag_bytes, m, np.uint8(flags))
    put(ttls, m, np.uint8(ttl))
    put(vlans_inner, m, np.uint16(vlan_inner))
    put(icmps, m, np.uint16(icmp))


@inline
def _transport(data, l4, stop, wire_stop, version, proto, fragment):
    """(usable, source port, destination port, payload position, seq, ack, window, flags, icmp, bad bits)."""
    zero = np.int64(0)
    if fragment & 0xFFF8:  # not the first fragment: no transport header
        return True, zero, zero, l4, zero, zero, zero, zero, zero, zero
    left = wire_stop - l4
    if proto == 6:  # RFC 9293, section 3.1
        if l4 + 20 > stop:
            wrong = np.int64(la.TCP_SHORT) if left < 20 else zero
            return False, zero, zero, l4, zero, zero, zero, zero, zero, wrong
        header = (np.int64(get(data, l4 + 12)) >> 4) * 4
        if header < 20 or header > left:
            return False, zero, zero, l4, zero, zero, zero, zero, zero, np.int64(la.TCP_HLEN)
        return (
            True, np.int64(ld16(data, l4)), np.int64(ld16(data, l4 + 2)), l4 + header, np.int64(ld32(data, l4 + 4)),
            np.int64(ld32(data, l4 + 8)), np.int64(ld16(data, l4 + 14)), np.int64(get(data, l4 + 13)), zero, zero,
        )  # fmt: skip
    if proto == 17:  # RFC 768
        if l4 + 8 > stop:
            wrong = np.int64(la.UDP_SHORT) if left < 8 else zero
            return False, zero, zero, l4, zero, zero, zero, zero, zero, wrong
        size = np.int64(ld16(data, l4 + 4))
        wrong = np.int64(la.UDP_LEN) if (size < 8 and size != 0) or (size > left and fragment == 0) else zero
        return (
            True, np.int64(ld16(data, l4)), np.int64(ld16(data, l4 + 2)), l4 + 8, zero, zero, zero, zero, zero, wrong
        )  # fmt: skip
    if (proto == 1 and version == 4) or (proto == 58 and version == 6):  # RFC 792, RFC 4443
        if l4 + 8 > stop:
            short = np.int64(la.ICMPV4_SHORT) if proto == 1 else np.int64(la.ICMPV6_SHORT)
            return False, zero, zero, l4, zero, zero, zero, zero, zero, short if left < 8 else zero
        kind, code = np.int64(get(data, l4)), np.int64(get(data, l4 + 1))
        sport, dport = icmp_ports(version, kind, code)
        return (
            True, np.int64(sport), np.int64(dport), l4 + 8, zero, zero, zero, zero, kind << 8 | code, zero
        )  # fmt: skip
    if proto == 132:  # RFC 9260, section 3.1
        if l4 + 12 > stop:
            wrong = np.int64(la.SCTP_SHORT) if left < 12 else zero
            return False, zero, zero, l4, zero, zero, zero, zero, zero, wrong
        return (
            True, np.int64(ld16(data, l4)), np.int64(ld16(data, l4 + 2)), l4 + 12, zero, zero, zero, zero, zero, zero
        )  # fmt: skip
    return True, zero, zero, l4, zero, zero, zero, zero, zero, zero


@inline
def _quoted(data, at, stop, version):
    """(found, header position, protocol, source, destination port) of the packet that an ICMP error quotes at ``at``."""
    zero = np.int64(0)
    if version == 4:
        if at + 20 > stop or np.int64(get(data, at)) >> 4 != 4:
            return False, zero, zero, zero
        proto, l4 = np.int64(get(data, at + 9)), at + (np.int64(get(data, at)) & 15) * 4
    else:
        if at + 40 > stop or np.int64(get(data, at)) >> 4 != 6:
            return False, zero, zero, zero
        proto, l4 = np.int64(get(data, at + 6)), at + 40
    if proto not in (6, 17, 132) or l4 + 4 > stop:
        return False, zero, zero, zero
    return True, proto, np.int64(ld16(data, l4)), np.int64(ld16(data, l4 + 2))


@inline
def _addresses(data, at, version):
    if version == 4:
        return (
            np.uint64(0), V4_HIGH | np.uint64(ld32(data, at + 12)), np.uint64(0), V4_HIGH | np.uint64(ld32(data, at + 16))
        )  # fmt: skip
    return ld64(data, at + 8), ld64(data, at + 16), ld64(data, at + 24), ld64(data, at + 32)


@inline
def _tunnel(data, proto, l4, pay, stop, sport, dport, fragment, teredo):
    """(position, next type) of what a packet carries; NONE when it is no tunnel."""
    if fragment:
        return l4, np.int64(la.NONE), np.int64(0)
    if proto == 17:
        if dport == 4754:  # RFC 8086: GRE in UDP
            return gre(data, pay, stop)
        at, kind = udp_tunnel(data, pay, stop, sport, dport, teredo)
        return at, kind, np.int64(0)
    if proto == 4 or proto == 41:
        return l4, np.int64(la.IPV4 if proto == 4 else la.IPV6), np.int64(0)
    if proto == 47:
        return gre(data, l4, stop)
    return l4, np.int64(la.NONE), np.int64(0)


@kernel
def decode(
    data, offset, caplen, wirelen, links, tags, first, count, limits,
    pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads,
    l3s, l4s, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls, vlans_inner, icmps, state,
):  # fmt: skip
    """Decode packets first..count-1 into rows; stop early when the rows might not hold the next packet.

    In:  data u8[b]; offset i64[n], caplen u32[n], wirelen u32[n], links u16[n], tags u16[n] (VLAN tag taken out of
         the frame, identifier + 0x1000); first, count i64; limits i64[5]: bytes that make an ICMP or UDP packet large,
         Teredo 0 or 1, seed of the hash, mask of the VLAN identifier in the key
    Out: rows as columns: pkt u32 (packet), kinds u8 (FLOW | OUTER | NOTICE | ARP_ROW | OTHER), key u64, hashes u32,
         a_hi a_lo b_hi b_lo u64 (canonical), direction u8 (1: b sent it), bads u32, l3s l4s pays u16 (from the frame's
         start), plens u32 (payload on the wire), iplens u32, seqs acks u32, windows u16, flag_bytes u8, ttls u8,
         vlans_inner u16, icmps u16 (type << 8 | code; of other rows the EtherType);
         state i64[2]: rows made, packets done
    """
    m = np.int64(0)
    none = np.int64(0)  # a plain 0 is a type of its own, and another compilation of whom it is given to
    capacity = pkt.size
    seed = np.uint64(limits[LIMIT_SEED])
    tag_mask = limits[LIMIT_TAGS]
    i = first
    while i < count and m + ROWS_PER_PACKET_MAX <= capacity:
        base = get(offset, i)
        stop = base + np.int64(get(caplen, i))
        wire_stop = base + np.int64(get(wirelen, i))
        tag = np.int64(get(tags, i))
        vlan, vlan_inner, tags_seen = np.int64(tag) & tag_mask, np.int64(0), np.int64(1 if tag else 0)
        at, kind, bad = link_layer(data, base, stop, np.int64(get(links, i)))
        depth = np.int64(0)
        steps = 0
        done = False
        while not done:
            steps += 1
            if steps > STEPS_MAX:
                bad |= la.TOO_MANY_LAYERS
                kind = np.int64(la.NONE)
            if kind == la.IPV4 or kind == la.IPV6:
                version = np.int64(4 if kind == la.IPV4 else 6)
                if kind == la.IPV4:
                    wrong, proto, l4, ip_stop, fragment, ttl = ipv4(data, at, stop, wire_stop)
                else:
                    wrong, proto, l4, ip_stop, fragment, ttl = ipv6(data, at, stop, wire_stop)
                bad |= wrong & 0xFFFFFFFF
                usable = wrong >> 40 == 0
                sport = dport = icmp = np.int64(0)
                if usable:
                    inner_stop = min(stop, ip_stop)
                    usable, sport, dport, pay, seq, ack, window, flags, icmp, wrong = _transport(
                        data, l4, inner_stop, ip_stop, version, proto, fragment
                    )
                    bad |= wrong
                if not usable:
                    has_addresses = at + (20 if version == 4 else 40) <= stop
                    if has_addresses:
                        s_hi, s_lo, d_hi, d_lo = _addresses(data, at, version)
                    else:
                        s_hi = s_lo = d_hi = d_lo = np.uint64(0)
                    _emit(m, i, np.int64(OTHER), s_hi, s_lo, d_hi, d_lo, sport, dport, proto, version if has_addresses else 0, vlan,
                          depth, bad, seed, pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads)  # fmt: skip
                    _detail(m, base, at, at, at, none, none, none, none, none, none, none, vlan_inner, kind,
                            l3s, l4s, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls, vlans_inner, icmps)  # fmt: skip
                    m += 1
                    break
                s_hi, s_lo, d_hi, d_lo = _addresses(data, at, version)
                next_at, next_kind, wrong = _tunnel(
                    data, proto, l4, pay, inner_stop, sport, dport, fragment, limits[LIMIT_TEREDO]
                )
                bad |= wrong
                if next_kind != la.NONE and depth + 1 > DEPTH_MAX:
                    bad |= la.TOO_MANY_LAYERS
                    next_kind = np.int64(la.NONE)
                row_bad = bad
                if fragment:
                    row_bad |= la.FRAGMENT
                plen = ip_stop - pay
                if (proto == 17 and plen > limits[LIMIT_UDP]) or (icmp > 0 and plen > limits[LIMIT_ICMP]):
                    row_bad |= la.LARGE
                _emit(m, i, np.int64(OUTER if next_kind != la.NONE else FLOW), s_hi, s_lo, d_hi, d_lo, sport, dport, proto, version,
                      vlan, depth, row_bad, seed, pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads)  # fmt: skip
                _detail(m, base, at, l4, pay, plen, ip_stop - at, seq, ack, window, flags, ttl, vlan_inner, icmp,
                        l3s, l4s, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls, vlans_inner, icmps)  # fmt: skip
                m += 1
                if icmp > 0 and icmp >> 8 == (3 if version == 4 else 1):
                    found, q_proto, q_sport, q_dport = _quoted(data, l4 + 8, inner_stop, version)
                    if found:
                        s_hi, s_lo, d_hi, d_lo = _addresses(data, l4 + 8, version)
                        _emit(m, i, np.int64(NOTICE), s_hi, s_lo, d_hi, d_lo, q_sport, q_dport, q_proto, version, vlan, depth,
                              none, seed, pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads)  # fmt: skip
                        _detail(m, base, at, l4, pay, none, none, none, none, none, none, ttl, vlan_inner, icmp,
                                l3s, l4s, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls, vlans_inner, icmps)  # fmt: skip
                        m += 1
                if next_kind == la.NONE:
                    break
                depth += 1
                bad = np.int64(0)
                stop, wire_stop = inner_stop, ip_stop
                at, kind = next_at, next_kind
            elif kind in (la.VLAN_8021Q, la.VLAN_8021AD, la.VLAN_9100, la.VLAN_9200):
                if at + la.VLAN_HEADER > stop:
                    bad |= la.VLAN_SHORT
                    kind = np.int64(la.NONE)
                else:
                    identifier = np.int64(ld16(data, at)) & tag_mask
                    if depth == 0:
                        if tags_seen == 0:
                            vlan = identifier
                        elif tags_seen == 1:
                            vlan_inner = identifier
                        tags_seen += 1
                    kind = np.int64(ld16(data, at + 2))
                    at += la.VLAN_HEADER
            elif kind == la.ARP or kind == la.NONE:
                done = True
            else:
                was = kind
                at, kind, wrong = shim(data, at, stop, kind)
                bad |= wrong
                if kind == la.NONE and was >= 0:
                    kind = was
                    done = True
            if done:
                zero = np.uint64(0)
                _emit(m, i, np.int64(ARP_ROW if kind == la.ARP else OTHER), zero, zero, zero, zero, none, none, none, none, vlan, depth, bad,
                      seed, pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads)  # fmt: skip
                _detail(m, base, at, at, at, none, none, none, none, none, none, none, vlan_inner, np.int64(kind if kind > 0 else 0),
                        l3s, l4s, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls, vlans_inner, icmps)  # fmt: skip
                m += 1
        i += 1
    state[0] = m
    state[1] = i
