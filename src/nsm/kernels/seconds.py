"""What passed in each second of packet time: packets, bytes, by protocol and direction. Twin: tests/kernels/naive.py."""

from __future__ import annotations

import numpy as np

from nsm.kernels import decode as dec
from nsm.kernels.jit import get, inline, kernel, put

(
    SECOND, PKTS, BYTES, BYTES_IN, BYTES_OUT, TCP_BYTES, UDP_BYTES, ICMP_PKTS, OTHER_BYTES, LARGE_PKTS, FRAGMENTS,
    MALFORMED,
) = range(12)  # fmt: skip
WORDS = 12
U32, U52, LOW8 = np.uint64(32), np.uint64(52), np.uint64(0xFF)


@inline
def _local(ranges, hi, lo):
    """Is the address in one of ranges u64[k * 4]: first hi, first lo, last hi, last lo?"""
    at = 0
    while at < ranges.size:
        low_hi, low_lo = get(ranges, at), get(ranges, at + 1)
        high_hi, high_lo = get(ranges, at + 2), get(ranges, at + 3)
        if (hi > low_hi or (hi == low_hi and lo >= low_lo)) and (hi < high_hi or (hi == high_hi and lo <= high_lo)):
            return True
        at += 4
    return False


@kernel
def count_seconds(
    ts_ns, wirelen, pkt, kinds, key, a_hi, a_lo, b_hi, b_lo, direction, bads, count, ranges, current, out
):
    """Add the packets of a batch to ``current`` u64[WORDS]; return how many finished seconds were written to ``out``.

    In:  packet and row columns; ranges u64[k * 4]: local networks; out u64[(n + 1) * WORDS]
    Time never runs back here: an earlier packet counts in the second that is open.
    """
    rows = 0
    last = np.int64(-1)
    for i in range(count):
        number = np.int64(get(pkt, i))
        if number == last:
            continue  # a further row of the same packet
        last = number
        second = np.uint64(get(ts_ns, number) // 1_000_000_000)
        if second > get(current, SECOND):
            if get(current, PKTS) > 0:
                for word in range(WORDS):
                    put(out, rows * WORDS + word, get(current, word))
                rows += 1
            for word in range(1, WORDS):
                put(current, word, np.uint64(0))
            put(current, SECOND, second)
        size = np.uint64(get(wirelen, number))
        put(current, PKTS, get(current, PKTS) + np.uint64(1))
        put(current, BYTES, get(current, BYTES) + size)
        bad = np.int64(get(bads, i))
        if bad & 0x3FFFFFFF:
            put(current, MALFORMED, get(current, MALFORMED) + np.uint64(1))
        if bad & 0x40000000:
            put(current, LARGE_PKTS, get(current, LARGE_PKTS) + np.uint64(1))
        if bad & 0x80000000:
            put(current, FRAGMENTS, get(current, FRAGMENTS) + np.uint64(1))
        proto = (get(key, i) >> U32) & LOW8
        if get(kinds, i) > dec.NOTICE:
            put(current, OTHER_BYTES, get(current, OTHER_BYTES) + size)
            continue
        if proto == 6:
            put(current, TCP_BYTES, get(current, TCP_BYTES) + size)
        elif proto == 17:
            put(current, UDP_BYTES, get(current, UDP_BYTES) + size)
        elif proto == 1 or proto == 58:
            put(current, ICMP_PKTS, get(current, ICMP_PKTS) + np.uint64(1))
        else:
            put(current, OTHER_BYTES, get(current, OTHER_BYTES) + size)
        if ranges.size:
            a_local = _local(ranges, get(a_hi, i), get(a_lo, i))
            b_local = _local(ranges, get(b_hi, i), get(b_lo, i))
            if a_local != b_local:
                outward = (get(direction, i) == 0) == a_local
                word = BYTES_OUT if outward else BYTES_IN
                put(current, word, get(current, word) + size)
    return rows
