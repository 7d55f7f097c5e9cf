"""Internet checksums (RFC 1071) of IPv4 headers, TCP, UDP, ICMP and ICMPv6. Twin: tests/kernels/naive.py."""

from __future__ import annotations

import numpy as np

from nsm.kernels import decode as dec
from nsm.kernels.jit import get, inline, kernel, ld16, put
from nsm.kernels.layers import FRAGMENT, IP_CHECKSUM, L4_CHECKSUM


@inline
def _sum(data, at, stop, total):
    """The one's complement sum of data[at:stop] added to ``total``, not folded."""
    while at + 2 <= stop:
        total += np.int64(ld16(data, at))
        at += 2
    if at < stop:
        total += np.int64(get(data, at)) << 8
    return total


@inline
def _folded(total):
    total = (total >> 16) + (total & 0xFFFF)
    total = (total >> 16) + (total & 0xFFFF)
    return (total >> 16) + (total & 0xFFFF)


@kernel
def verify(data, offset, caplen, pkt, kinds, key, l3s, l4s, iplens, bads, count):
    """Set the bits IP_CHECKSUM and L4_CHECKSUM of rows whose sums are wrong; return how many rows those are.

    Rows whose packet was not captured whole, fragments, and UDP without a sum are not judged.
    In:  packet and row columns. Out: bads u32[m]
    """
    wrong = 0
    for i in range(count):
        if get(kinds, i) > dec.OUTER:
            continue
        number = np.int64(get(pkt, i))
        base = get(offset, number)
        stop = base + np.int64(get(caplen, number))
        l3, l4 = base + np.int64(get(l3s, i)), base + np.int64(get(l4s, i))
        end = l3 + np.int64(get(iplens, i))
        word = get(key, i)
        version, proto = word >> np.uint64(56), np.int64((word >> np.uint64(32)) & np.uint64(0xFF))
        bad = np.int64(get(bads, i))
        if version == 4 and _folded(_sum(data, l3, l4, np.int64(0))) != 0xFFFF:
            put(bads, i, np.uint32(bad | IP_CHECKSUM))
            wrong += 1
            continue
        if end > stop or bad & FRAGMENT or proto not in (1, 6, 17, 58):
            continue
        if proto == 17 and ld16(data, l4 + 6) == 0:
            continue
        total = np.int64(0)
        if proto != 1:  # pseudo header: RFC 9293, section 3.1; RFC 8200, section 8.1
            total = _sum(data, l3 + 12, l3 + 20, total) if version == 4 else _sum(data, l3 + 8, l3 + 40, total)
            total += proto + end - l4
        if _folded(_sum(data, l4, end, total)) != 0xFFFF:
            put(bads, i, np.uint32(bad | L4_CHECKSUM))
            wrong += 1
    return wrong
