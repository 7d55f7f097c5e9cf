"""Which bytes of a batch parsers have to see: payload of flows that are followed, in order, as ranges of the batch.

Nothing is copied. A segment in order is a range; one that is not puts its direction on the slow way, where every segment
is handed on with its numbers until reassembly (nsm.track.reassembly) says that it is in order again. Bytes that a parser
skips, and directions that it ignores, never make a range. Twin: tests/parse/naive_engine.py.

State of a record, u64[STREAM]: the flow's number; modes of both directions, 8 bits each, and what was begun; next sequence
number of the client's bytes, of the server's; bytes to skip of each; highest acknowledgement of each, bit 32: there was one; flow_id.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.jit import get, inline, kernel, put
from nsm.kernels.table import LOW32, REC, U32, flow_id

STREAM: Final = 9  # words of a record
S_NUMBER, S_MODES, S_NEXT, S_SKIP, S_ACKED, S_FLOW_ID = 0, 1, 2, 4, 6, 8
FOLLOW, IGNORE, SLOW = 0, 1, 2  # modes of a direction
BEGUN_SHIFT: Final = 16  # bits of S_MODES: the direction's numbers are known
RANGE: Final = 8  # words of a range
R_ROW, R_RECORD, R_KIND, R_START, R_LENGTH, R_SEQ, R_ACK, R_NUMBER = range(8)
# Kinds of a range, shifted left by one; the lowest bit is who sent the bytes.
DATA, GAP, SEGMENT, ACKED, DATAGRAM = 0, 1, 2, 3, 4
SIDE_NONE: Final = 255  # of a row whose packet is not of a flow that can be followed
SIDE_MIDSTREAM: Final = 2  # bit of a side: the flow began before the capture did
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
ACK_KNOWN = np.uint64(1 << 32)


@inline
def _near(number):
    """A difference of sequence numbers as a signed distance (RFC 9293, section 3.4)."""
    low = number & 0xFFFFFFFF
    return low - 0x100000000 if low >= 0x80000000 else low


@inline
def _range(out, at, row, record, kind, side, start, length, seq, ack, number):
    base = at * RANGE
    put(out, base + R_ROW, np.int64(row))
    put(out, base + R_RECORD, np.int64(record))
    put(out, base + R_KIND, np.int64(kind << 1 | side))
    put(out, base + R_START, np.int64(start))
    put(out, base + R_LENGTH, np.int64(length))
    put(out, base + R_SEQ, np.int64(seq))
    put(out, base + R_ACK, np.int64(ack))
    put(out, base + R_NUMBER, np.int64(number))
    return at + 1


@inline
def _acknowledged(streams, base, side, ack):
    """Note an acknowledgement of that side's bytes; True when it is the highest so far."""
    word = get(streams, base + S_ACKED + side)
    if word & ACK_KNOWN and _near(ack - np.int64(word & LOW32)) <= 0:
        return False
    put(streams, base + S_ACKED + side, ACK_KNOWN | np.uint64(ack))
    return True


@kernel
def ranges(
    offset, caplen, pkt, key, pays, plens, seqs, acks, flag_bytes, flow, numbers, sides, first, count, midstream, slowly,
    rec, streams, out, done,
):  # fmt: skip
    """Write the ranges of rows first..count-1 to ``out``; return how many.

    In:  packet columns offset i64, caplen u32; row columns of ``decode``; flow u32[m]: record of a row; numbers u64[m]: the flow's
         number; sides u8[m]: who sent it, SIDE_MIDSTREAM, SIDE_NONE; midstream i64: are flows without a beginning followed?
         slowly i64: take
         the slow way from the beginning, for those who wait for acknowledgements; rec: the flow table
    Out: streams u64[records * STREAM]; out i64[k * RANGE], which has to hold three ranges a row or work stops early;
         done i64[1]: the first row that was not looked at
    """
    made = np.int64(0)
    room = out.size // RANGE - 3
    row = first
    while row < count and made < room:
        at = row
        row += 1
        side_bits = np.int64(get(sides, at))
        if side_bits == SIDE_NONE:
            continue
        proto = (get(key, at) >> U32) & np.uint64(0xFF)
        if proto != np.uint64(6) and proto != np.uint64(17):
            continue
        record = np.int64(get(flow, at))
        number = get(numbers, at)
        base = record * STREAM
        side = side_bits & 1
        if get(streams, base + S_NUMBER) != number:
            put(streams, base + S_NUMBER, number)
            refused = side_bits & SIDE_MIDSTREAM and not midstream
            put(
                streams,
                base + S_MODES,
                np.uint64(0x0101)
                if refused
                else np.uint64(0x0202)
                if slowly and proto == np.uint64(6)
                else np.uint64(0),
            )
            for word in range(S_NEXT, S_FLOW_ID):
                put(streams, base + word, np.uint64(0))
            put(streams, base + S_FLOW_ID, flow_id(rec, record * REC))
        packet = np.int64(get(pkt, at))
        begin = get(offset, packet) + np.int64(get(pays, at))
        stop = get(offset, packet) + np.int64(get(caplen, packet))
        length = np.int64(get(plens, at))
        modes = get(streams, base + S_MODES)
        mode = np.int64((modes >> np.uint64(8 * side)) & np.uint64(0xFF))
        if proto == np.uint64(17):
            if length > 0 and mode == FOLLOW:
                seen = min(length, stop - begin)
                if seen > 0:
                    made = _range(out, made, at, record, DATAGRAM, side, begin, seen, length, 0, number)
            continue
        flags = np.int64(get(flag_bytes, at))
        ack = np.int64(get(acks, at))
        if flags & ACK and not flags & RST:
            other = 1 - side
            if _acknowledged(streams, base, other, ack) and (modes >> np.uint64(8 * other)) & np.uint64(
                0xFF
            ) == np.uint64(SLOW):
                made = _range(out, made, at, record, ACKED, other, 0, 0, 0, ack, number)
        seq = np.int64(get(seqs, at))
        begun = np.uint64(1 << (BEGUN_SHIFT + side))
        if flags & SYN:
            seq = (seq + 1) & 0xFFFFFFFF
            if not modes & begun:
                put(streams, base + S_MODES, modes | begun)
                modes |= begun
                put(streams, base + S_NEXT + side, np.uint64(seq))
        if length <= 0 or flags & RST or mode == IGNORE:
            continue
        if not modes & begun:
            put(streams, base + S_MODES, modes | begun)
            put(streams, base + S_NEXT + side, np.uint64(seq))
            modes |= begun
        if mode == SLOW:
            made = _range(
                out, made, at, record, SEGMENT, side, begin, min(length, max(stop - begin, 0)), seq, length, number
            )
            continue
        expected = np.int64(get(streams, base + S_NEXT + side))
        ahead = _near(seq - expected)
        if ahead + length <= 0:
            continue
        skip = np.int64(get(streams, base + S_SKIP + side))
        if ahead > skip:
            known = get(streams, base + S_ACKED + side)
            put(streams, base + S_MODES, modes | np.uint64(SLOW) << np.uint64(8 * side))
            if known & ACK_KNOWN:
                made = _range(out, made, at, record, ACKED, side, 0, 0, 0, np.int64(known & LOW32), number)
            made = _range(
                out, made, at, record, SEGMENT, side, begin, min(length, max(stop - begin, 0)), seq, length, number
            )
            continue
        if ahead > 0:  # what is missing would have been skipped
            skip -= ahead
        else:
            begin -= ahead
            length += ahead
        put(streams, base + S_NEXT + side, np.uint64((seq + np.int64(get(plens, at))) & 0xFFFFFFFF))
        passed = min(skip, length)
        put(streams, base + S_SKIP + side, np.uint64(skip - passed))
        begin += passed
        length -= passed
        if length > 0:
            seen = min(length, max(stop - begin, 0))
            if seen > 0:
                made = _range(out, made, at, record, DATA, side, begin, seen, 0, 0, number)
            if seen < length:
                made = _range(out, made, at, record, GAP, side, 0, length - seen, 0, 0, number)
    put(done, 0, np.int64(row))
    return made
