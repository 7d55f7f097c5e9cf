"""Packets to flows: find or make the record of each row, count it, follow TCP, mark what a target gets unanswered.

Whether a flow has ended is decided from its own packets and the time-outs alone, so that the rows that come out
do not depend on batches, table size or the number of workers. Twin: tests/kernels/naive_flows.py.

Long because the helpers of one loop stand beside it: they share its conventions, and no other kernel calls them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels import decode as dec
from nsm.kernels import table as t
from nsm.kernels.constants import TICK_NS, TURN_ZEEK
from nsm.kernels.history import H_IP, H_RARE, HIST, begin, datagram, hopeless, scaled, segment
from nsm.kernels.jit import get, inline, kernel, ld16, ld32, prefetch, put
from nsm.kernels.layers import IP_CHECKSUM, L4_CHECKSUM
from nsm.kernels.recognise import recognise
from nsm.kernels.streams import SIDE_MIDSTREAM, SIDE_NONE
from nsm.kernels.table import REC, U1, U8, U16, U24, U32, U40, U48, add, emit, find, insert, remove, target

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
NEW, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSE_WAIT, CLOSING, CLOSED = range(11)
OPENED, PROGRESS, ENDED = 0, 1, 2
TIMEOUT, SHUTDOWN, FORCED, REUSE = 1, 2, 3, 4
MIDSTREAM, TURNED, LATE_ANSWER, FRAGMENT, TUNNELLED, CARRIES = 1, 2, 4, 8, 16, 32
AHEAD_SLOT, AHEAD_RECORD = 16, 8  # rows between a prefetch and its use
PORTS_LONG: Final = (21, 22, 23, 513)  # Zeek, scripts/base/protocols/conn/inactivity.zeek: one hour
CHECKSUMS = IP_CHECKSUM | L4_CHECKSUM
TS_LIMIT = np.uint64(0xFFFFFFFF)
BROADCAST = np.uint64(0xFFFFFFFFFFFF)


@inline
def _next_state(state, flags, to_client):
    """The TCP state after a segment. RFC 9293, figure 5, as an observer sees it; names and sides as in Suricata."""
    if flags & RST:
        return CLOSED
    if flags & SYN:
        if flags & ACK:
            return SYN_RECV if to_client and state <= SYN_SENT else state
        return SYN_SENT if state == NEW else state
    if flags & FIN:
        if state == ESTABLISHED or state == SYN_RECV:
            return FIN_WAIT1 if to_client else CLOSE_WAIT
        if state == CLOSE_WAIT and to_client:
            return LAST_ACK
        if state == FIN_WAIT1 and not to_client:
            return TIME_WAIT
        return TIME_WAIT if state == FIN_WAIT2 and not to_client else state
    if flags & ACK:
        if state == SYN_RECV and not to_client:
            return ESTABLISHED
        if state == FIN_WAIT1 and not to_client:
            return FIN_WAIT2
        if (state == LAST_ACK and not to_client) or (state == TIME_WAIT and to_client):
            return CLOSED
    return state


@inline
def _class(proto, key, tcp_state, answered):
    """The time-out class (kernels/table.py)."""
    if proto == 6:
        if tcp_state == CLOSED or tcp_state == TIME_WAIT or tcp_state == LAST_ACK:
            return 2
        if not answered:
            return 0
        low, high = np.int64(key & t.LOW16), np.int64((key >> U16) & t.LOW16)
        if low in PORTS_LONG or high in PORTS_LONG:
            return t.LONG
        return 1
    group = 3 if proto == 17 else (6 if proto == 1 or proto == 58 else 9)
    return group + (1 if answered else 0)


@inline
def _turned(proto, flags, key, direction, b_lo, a_lo, server_ports, cfg):
    """Was the first packet sent by the server? TCP with SYN alone never is."""
    if proto == 6:
        if flags & SYN:
            return flags & ACK != 0
        bit = np.uint8(1)
    elif proto == 17:
        bit = np.uint8(2)
    else:
        return False
    if get(cfg, t.CFG_TURN) == 0:
        return False
    high, low = np.int64((key >> U16) & t.LOW16), np.int64(key & t.LOW16)
    source, destination = (low, high) if direction else (high, low)
    receiver = a_lo if direction else b_lo
    if receiver == BROADCAST:
        return False
    if (get(server_ports, source) & bit) == 0:
        return False
    if (get(server_ports, destination) & bit) != 0:
        return get(cfg, t.CFG_TURN) == TURN_ZEEK and proto == 6 and not flags & SYN and source < destination
    return True


@inline
def _start(
    record, ts, i, key, a_hi, a_lo, b_hi, b_lo, direction, flags, vlan_inner, bad, number, iface, mac_at, data,
    rec, cold, ring, server_ports, cfg, st,
):  # fmt: skip
    """Write a fresh record; say which side began."""
    base, chill = record * REC, record * t.COLD
    proto = (key >> U32) & t.LOW8
    turned = _turned(proto, flags, key, direction, b_lo, a_lo, server_ports, cfg)
    began = np.uint64(direction ^ (1 if turned else 0))
    marks = np.uint64(0)
    if turned:
        marks |= np.uint64(TURNED)
        put(st, t.ST_TURNED, get(st, t.ST_TURNED) + 1)
    tcp_state = NEW
    if proto == 6 and flags & (SYN | ACK | RST) != SYN:
        marks |= np.uint64(MIDSTREAM)
        if get(cfg, t.CFG_MIDSTREAM) and not flags & (SYN | RST):
            tcp_state = ESTABLISHED
        elif flags & SYN:
            tcp_state = SYN_SENT  # its SYN was not seen; the SYN-ACK in hand moves it on
    if (key >> np.uint64(52)) & np.uint64(15):
        marks |= np.uint64(TUNNELLED)
    put(rec, base + t.A_HI, a_hi)
    put(rec, base + t.A_LO, a_lo)
    put(rec, base + t.B_HI, b_hi)
    put(rec, base + t.B_LO, b_lo)
    put(rec, base + t.KEY, key)
    put(rec, base + t.FIRST, np.uint64(ts))
    put(rec, base + t.LAST, np.uint64(ts))
    put(rec, base + t.STATE, began << U8 | np.uint64(tcp_state) << np.uint64(9) | np.uint64(0x00FF00FF) << U32)
    for word in range(t.PKTS, REC):
        put(rec, base + word, np.uint64(0))
    flow_number = get(st, t.ST_NUMBER) + 1
    put(st, t.ST_NUMBER, flow_number)
    put(rec, base + t.NUMBER, np.uint64(flow_number))
    put(cold, chill + t.C_ORIGIN, np.uint64(number) | np.uint64(iface) << U40 | np.uint64(flags) << U48)
    put(cold, chill + t.C_BITS, np.uint64(vlan_inner) | np.uint64(0xFFFF) << U16 | marks << t.MARK_SHIFT)
    put(cold, chill + t.C_BAD, np.uint64(0))
    put(cold, chill + t.C_PROGRESS, np.uint64(ts + get(cfg, t.CFG_PROGRESS_NS)))
    put(cold, chill + t.C_SEEN_S, np.uint64(0))
    put(cold, chill + t.C_SEEN_C, np.uint64(0))
    source = destination = np.uint64(0)
    if mac_at >= 0:
        destination = np.uint64(ld32(data, mac_at)) << U16 | np.uint64(ld16(data, mac_at + 4))
        source = np.uint64(ld32(data, mac_at + 6)) << U16 | np.uint64(ld16(data, mac_at + 10))
        if turned:
            source, destination = destination, source
    put(cold, chill + t.C_SRC_MAC, source)
    put(cold, chill + t.C_DST_MAC, destination)
    head = get(st, t.ST_HEAD)
    size = np.int64(ring.size // 2)
    slot = (head & (size - 1)) * 2
    put(ring, slot, np.uint64(flow_number))
    put(ring, slot + 1, np.uint64(record))
    put(st, t.ST_HEAD, head + 1)
    if head + 1 - get(st, t.ST_PENDING) > size:
        put(st, t.ST_PENDING, head + 1 - size)
    if head + 1 - get(st, t.ST_EVICT) > size:
        put(st, t.ST_EVICT, head + 1 - size)


@inline
def server_of(rec, base):
    """(hi, lo, port) of the side that did not begin."""
    key = get(rec, base + t.KEY)
    if (get(rec, base + t.STATE) >> U8) & U1:
        return get(rec, base + t.A_HI), get(rec, base + t.A_LO), (key >> U16) & t.LOW16
    return get(rec, base + t.B_HI), get(rec, base + t.B_LO), key & t.LOW16


@inline
def _target_of(rec, base, targets, tslots, st):
    hi, lo, port = server_of(rec, base)
    proto = (get(rec, base + t.KEY) >> U32) & t.LOW8
    if proto == 1 or proto == 58:
        port = np.uint64(0)
    part = t.part_of(get(rec, base + t.A_LO), get(rec, base + t.B_LO), get(rec, base + t.KEY))
    return target(targets, tslots, st, hi, lo, port, proto, part)


@inline
def _source(targets, base, hi, lo):
    """Keep the lowest source address, and whether there was another."""
    if get(targets, base + t.T_PKTS) == 0:
        put(targets, base + t.T_SRC_HI, hi)
        put(targets, base + t.T_SRC_LO, lo)
        return
    old_hi, old_lo = get(targets, base + t.T_SRC_HI), get(targets, base + t.T_SRC_LO)
    if hi != old_hi or lo != old_lo:
        put(targets, base + t.T_MANY, U1)
        if hi < old_hi or (hi == old_hi and lo < old_lo):
            put(targets, base + t.T_SRC_HI, hi)
            put(targets, base + t.T_SRC_LO, lo)


@inline
def _forgettable(rec, base):
    """Nobody answered, or it is TCP and only half open: what a flood leaves behind."""
    if get(rec, base + t.PKTS_C) == 0:
        return True
    if (get(rec, base + t.KEY) >> U32) & t.LOW8 != 6:
        return False
    return (get(rec, base + t.STATE) >> np.uint64(9)) & np.uint64(0x7F) == SYN_RECV


@inline
def _flooded(proto, flags, key, side, a_hi, a_lo, b_hi, b_lo, limit, bytes_, targets, tslots, st):
    """Count a packet that would begin a flow to a target which has too many unfinished ones in this tick already.

    True when it was counted there and must not get a record. SYN-ACK and RST are of their sender's account.
    """
    reply = proto == 6 and (flags & RST != 0 or flags & (SYN | ACK) == SYN | ACK)
    if proto == 6 and not flags & (SYN | RST):
        return False
    to_b = (side == 0) != reply
    hi, lo = (b_hi, b_lo) if to_b else (a_hi, a_lo)
    port = np.uint64(0)
    if proto != 1 and proto != 58:
        port = key & t.LOW16 if to_b else (key >> U16) & t.LOW16
    place = target(targets, tslots, st, hi, lo, port, np.uint64(proto), t.part_of(a_lo, b_lo, key))
    if place < 0:
        return False
    finished = get(targets, place + (t.T_COMPLETED if proto == 6 else t.T_ANSWERED))
    if get(targets, place + t.T_FLOWS) < finished + limit:
        return False
    put(st, t.ST_COUNTED, get(st, t.ST_COUNTED) + 1)
    if not reply:
        s_hi, s_lo = (a_hi, a_lo) if to_b else (b_hi, b_lo)
        _source(targets, place, s_hi, s_lo)
        add(targets, place + t.T_PKTS, U1)
        add(targets, place + t.T_BYTES, bytes_)
        add(targets, place + t.T_FLOWS, U1)
        add(targets, place + t.T_EVICTED, U1)
        if proto == 6:
            add(targets, place + t.T_SYNS, U1)
    return True


@inline
def _evict(slots, rec, cold, link, back, bucket, wheel_slot, ring, free, targets, tslots, cfg, st, seed):
    """Make room: forget the oldest flow that nobody answered, as a count of its target."""
    size = np.int64(ring.size // 2)
    at = get(st, t.ST_EVICT)
    for _ in range(t.EVICT_LOOKS):
        if at >= get(st, t.ST_HEAD):
            break
        slot = (at & (size - 1)) * 2
        record = np.int64(get(ring, slot + 1))
        base = record * REC
        at += 1
        if get(rec, base + t.NUMBER) != get(ring, slot) or not _forgettable(rec, base):
            continue
        place = _target_of(rec, base, targets, tslots, st)
        if place >= 0:
            add(targets, place + t.T_EVICTED, U1)
        release(slots, rec, link, back, bucket, wheel_slot, free, record, st, seed)
        put(st, t.ST_EVICT, at)
        put(st, t.ST_EVICTED, get(st, t.ST_EVICTED) + 1)
        return True
    put(st, t.ST_EVICT, at)
    return False


@inline
def release(slots, rec, link, back, bucket, wheel_slot, free, record, st, seed):
    """Give a record back."""
    base = record * REC
    remove(slots, t.tag_of(rec, base, seed), record)
    t.wheel_remove(link, back, bucket, record, np.int64(get(wheel_slot, record)))
    put(rec, base + t.NUMBER, np.uint64(0))
    top = get(st, t.ST_FREE)
    put(free, top, np.uint32(record))
    put(st, t.ST_FREE, top + 1)
    put(st, t.ST_LIVE, get(st, t.ST_LIVE) - 1)


@inline
def close(rec, cold, hist, record, reason, tick, time_ns, out, st):
    """The last rows of a flow: *opened* too when it was not said before."""
    bits = get(cold, record * t.COLD + t.C_BITS)
    result = t.outcome(rec, cold, record)
    if result == 0:
        result = U1
    if not bits & t.BIT_OPENED:
        emit(rec, cold, hist, record, np.int64(OPENED), result, np.int64(0), tick, time_ns, out, st)
        put(cold, record * t.COLD + t.C_BITS, bits | t.BIT_OPENED)
    emit(rec, cold, hist, record, np.int64(ENDED), result, np.int64(reason), tick, time_ns, out, st)


@inline
def _saturating(word, plen, shift):
    """Add to one 32-bit half of a word, stopping at its top."""
    half = (word >> shift) & t.LOW32
    total = half + plen
    if total > TS_LIMIT:
        total = TS_LIMIT
    return (word & ~(t.LOW32 << shift)) | total << shift


@inline
def _segment(rec, cold, record, base, state, flags, plen, seq, ts, to_client, targets, tslots, st):
    """TCP: state, handshake times, retransmissions. Returns the new STATE word."""
    before = np.int64((state >> np.uint64(9)) & np.uint64(0x7F))
    after = _next_state(before, flags, to_client)
    if after != before:
        elapsed = np.uint64(max(ts - np.int64(get(rec, base + t.FIRST)), 0)) // np.uint64(1000)
        if after == SYN_RECV:
            put(rec, base + t.RTT, min(elapsed, TS_LIMIT))
        elif before == SYN_RECV and after == ESTABLISHED:
            first = get(rec, base + t.RTT) & t.LOW32
            rest = elapsed - first if elapsed > first else np.uint64(0)
            put(rec, base + t.RTT, first | min(rest, TS_LIMIT) << U32)
            place = _target_of(rec, base, targets, tslots, st)
            if place >= 0:
                add(targets, place + t.T_COMPLETED, U1)
    length = plen + (1 if flags & (SYN | FIN) else 0)
    if length:
        shift = U32 if to_client else np.uint64(0)
        word = get(rec, base + t.NEXT_SEQ)
        expected = (word >> shift) & t.LOW32
        end = (np.uint64(seq) + np.uint64(length)) & t.LOW32
        ahead = (end - expected) & t.LOW32
        if expected != 0 and (ahead == 0 or ahead >= np.uint64(0x80000000)):
            bits = get(cold, record * t.COLD + t.C_BITS)
            if (bits >> U32) & t.LOW16 != t.LOW16:
                put(cold, record * t.COLD + t.C_BITS, bits + (U1 << U32))
        else:
            put(rec, base + t.NEXT_SEQ, (word & ~(t.LOW32 << shift)) | end << shift)
    flag_shift = U24 if to_client else U16
    return (state & ~(np.uint64(0xFE00))) | np.uint64(after) << np.uint64(9) | np.uint64(flags) << flag_shift


@inline
def _ttl(state, ttl, to_client):
    """Lowest and highest TTL of one direction."""
    shift = U48 if to_client else U32
    low, high = (state >> shift) & t.LOW8, (state >> (shift + U8)) & t.LOW8
    if ttl < low:
        state = (state & ~(t.LOW8 << shift)) | np.uint64(ttl) << shift
    if ttl > high:
        state = (state & ~(t.LOW8 << (shift + U8))) | np.uint64(ttl) << (shift + U8)
    return state


@kernel
def track(
    data, ts_ns, offset, caplen, wirelen, links, ifaces, first_number,
    pkt, kinds, key, hashes, a_hi, a_lo, b_hi, b_lo, direction, bads, pays, plens, iplens, seqs, acks, windows, flag_bytes, ttls,
    vlans_inner, icmps, first, count, flow, numbers, sides,
    slots, rec, cold, hist, link, back, bucket, wheel_slot, ring, free, targets, tslots, server_ports, cfg, st, out,
    seed,
):  # fmt: skip
    """Take rows first..count-1 into the flow table; return the first row that was not taken.

    Stops (st[ST_WHY]) before a row that lies behind the next tick, when ``out`` may not hold what a row brings, and before a
    row that gives a record to another flow: what was taken so far can be looked at with its records as they are.

    In:  data u8[b]; packet columns ts_ns offset caplen wirelen links ifaces; first_number i64: number of packet 0 of the batch;
         row columns of ``decode``; server_ports u8[65536]: bit 0 TCP, bit 1 UDP; cfg i64[21]; hist u64[n * HIST], empty when it is not kept; seed i64
    Out: flow u32[m]: the record of each row, 0xFFFFFFFF none; numbers u64[m]: number of its flow; sides u8[m] (kernels/streams.py):
         who sent it, or SIDE_NONE; the table (kernels/table.py); out u64[k * OUT];
         targets u64[j * TARGET]; st i64[ST_WORDS]
    """
    tick = get(st, t.ST_TICK)
    next_tick_ns = (tick + 1) * TICK_NS
    second = tick // 4
    mask = np.int64(slots.size - 1)
    room = out.size // (t.OUT + HIST) - 4
    shards = get(cfg, t.CFG_SHARDS)
    history = get(cfg, t.CFG_HISTORY)
    i = first
    put(st, t.ST_WHY, np.int64(t.WHY_DONE))
    while i < count:
        if i + AHEAD_SLOT < count:
            prefetch(slots, np.int64(get(hashes, i + AHEAD_SLOT)) & mask)
            ahead = get(slots, np.int64(get(hashes, i + AHEAD_RECORD)) & mask)
            if ahead != 0:
                prefetch(rec, (np.int64(ahead & t.LOW32) - 1) * REC)
                prefetch(rec, (np.int64(ahead & t.LOW32) - 1) * REC + 8)
        number = np.int64(get(pkt, i))
        ts = get(ts_ns, number)
        if ts >= next_tick_ns:
            put(st, t.ST_WHY, np.int64(t.WHY_TICK))
            break
        if get(st, t.ST_OUT) >= room:
            put(st, t.ST_WHY, np.int64(t.WHY_FULL))
            break
        kind = get(kinds, i)
        put(flow, i, np.uint32(0xFFFFFFFF))
        put(sides, i, np.uint8(SIDE_NONE))
        tag = get(hashes, i)
        i += 1
        if kind > dec.NOTICE:
            continue
        row = i - 1
        word = get(key, row)
        if shards > 1:
            part = np.int64(t.part_of(get(a_lo, row), get(b_lo, row), word))
            if part % shards != get(cfg, t.CFG_SHARD):
                continue
        record = find(slots, rec, tag, get(a_hi, row), get(a_lo, row), get(b_hi, row), get(b_lo, row), word)
        if kind == dec.NOTICE:
            if record >= 0 and get(rec, record * REC + t.PKTS_C) == 0:
                chill = record * t.COLD + t.C_BITS
                bits = get(cold, chill) & ~(t.LOW16 << U16)
                put(cold, chill, bits | t.BIT_REFUSED | np.uint64(get(icmps, row)) << U16)
                put(st, t.ST_NOTICES, get(st, t.ST_NOTICES) + 1)
            continue
        proto = np.int64((word >> U32) & t.LOW8)
        flags = np.int64(get(flag_bytes, row))
        side = np.int64(get(direction, row))
        bad_sum = np.int64(get(bads, row)) & CHECKSUMS
        if bad_sum and (history == 0 or bad_sum & IP_CHECKSUM):
            continue  # whoever asked for checksums does not want what is damaged
        fresh = record < 0
        if not fresh:  # has the flow ended, so that this packet begins another?
            base = record * REC
            state = get(rec, base + t.STATE)
            quiet = ts - np.int64(get(rec, base + t.LAST))
            reason = np.int64(0)
            if (
                history and proto == 6 and hopeless(hist, record * HIST, ts - np.int64(get(rec, base + t.FIRST)))
            ) or quiet > get(cfg, np.int64(state & t.LOW8)):
                reason = np.int64(TIMEOUT)
            elif proto == 6 and flags & (SYN | ACK) == SYN and np.int64(state & t.LOW8) == 2:
                reason = np.int64(REUSE)
            if reason:
                if row > first:
                    put(st, t.ST_WHY, np.int64(t.WHY_REUSE))
                    i = row
                    break
                close(rec, cold, hist, record, reason, tick + 1, ts, out, st)
                if _flooded(
                    proto, flags, word, side, get(a_hi, row), get(a_lo, row), get(b_hi, row), get(b_lo, row),
                    np.uint64(get(cfg, t.CFG_FLOOD)), np.uint64(get(wirelen, number)), targets, tslots, st,
                ):  # fmt: skip
                    release(slots, rec, link, back, bucket, wheel_slot, free, record, st, seed)
                    continue
                t.wheel_remove(link, back, bucket, record, np.int64(get(wheel_slot, record)))
                fresh = True
        else:
            if _flooded(
                proto, flags, word, side, get(a_hi, row), get(a_lo, row), get(b_hi, row), get(b_lo, row),
                np.uint64(get(cfg, t.CFG_FLOOD)), np.uint64(get(wirelen, number)), targets, tslots, st,
            ):  # fmt: skip
                continue
            if get(st, t.ST_FREE) == 0 and not _evict(
                slots, rec, cold, link, back, bucket, wheel_slot, ring, free, targets, tslots, cfg, st, seed
            ):
                put(st, t.ST_UNTRACKED, get(st, t.ST_UNTRACKED) + 1)
                continue
            top = get(st, t.ST_FREE) - 1
            record = np.int64(get(free, top))
            put(st, t.ST_FREE, top)
            put(st, t.ST_LIVE, get(st, t.ST_LIVE) + 1)
            insert(slots, tag, record)
        base = record * REC
        if fresh:
            at = get(offset, number)
            mac_at = at if get(links, number) == 1 else np.int64(-1)
            _start(record, ts, row, word, get(a_hi, row), get(a_lo, row), get(b_hi, row), get(b_lo, row), side, flags,
                   get(vlans_inner, row), get(bads, row), first_number + number, get(ifaces, number), mac_at, data,
                   rec, cold, ring, server_ports, cfg, st)  # fmt: skip
            if history:
                turned = get(cold, record * t.COLD + t.C_BITS) >> t.MARK_SHIFT & np.uint64(TURNED)
                begin(hist, record * HIST, turned != 0, ts)
        put(flow, row, np.uint32(record))
        state = get(rec, base + t.STATE)
        to_client = (np.uint64(side) ^ (state >> U8)) & U1 != 0
        back_words = np.int64(1 if to_client else 0)
        if bad_sum:
            scaled(hist, record * HIST, np.int64(H_RARE), np.int64(back_words), np.int64(back_words), np.int64(67))
            if fresh:
                due = ts + get(cfg, np.int64(state & t.LOW8))
                put(wheel_slot, record, np.uint16(t.wheel_add(link, back, bucket, record, due, second)))
            continue
        if kind == dec.OUTER:
            chill = record * t.COLD + t.C_BITS
            put(cold, chill, get(cold, chill) | np.uint64(CARRIES) << t.MARK_SHIFT)
        put(numbers, row, get(rec, base + t.NUMBER))
        late = get(cold, record * t.COLD + t.C_BITS) >> t.MARK_SHIFT & np.uint64(MIDSTREAM)
        put(sides, row, np.uint8(back_words | (SIDE_MIDSTREAM if late else 0)))
        bytes_ = np.uint64(get(wirelen, number))
        if (word >> np.uint64(52)) & np.uint64(15):
            bytes_ = np.uint64(get(iplens, row))
        plen = np.uint64(get(plens, row))
        if history:
            _remember(hist, record * HIST, back_words, proto, flags, get(seqs, row), get(acks, row), get(windows, row),
                      np.int64(plen), np.uint64(get(iplens, row)), ts)  # fmt: skip
        first_answer = to_client and get(rec, base + t.PKTS_C) == 0
        add(rec, base + t.PKTS + back_words, U1)
        add(rec, base + t.BYTES + back_words, bytes_)
        if plen:
            shift = U32 if to_client else np.uint64(0)
            if (get(rec, base + t.PAYLOAD) >> shift) & t.LOW32 == 0 and (proto == 6 or proto == 17):
                _look(cold, record, data, get(offset, number), np.int64(get(pays, row)), np.int64(get(caplen, number)),
                      np.int64(plen), proto, word, side, back_words)  # fmt: skip
            put(
                rec, base + t.PAYLOAD, _saturating(get(rec, base + t.PAYLOAD), plen, U32 if to_client else np.uint64(0))
            )
        if ts > np.int64(get(rec, base + t.LAST)):
            put(rec, base + t.LAST, np.uint64(ts))
        elif np.int64(get(rec, base + t.LAST)) - ts > t.SECOND_NS:
            put(st, t.ST_BACKWARDS, get(st, t.ST_BACKWARDS) + 1)
        was = np.int64(state & t.LOW8)
        if proto == 6:
            state = _segment(
                rec, cold, record, base, state, flags, plen, get(seqs, row), ts, to_client, targets, tslots, st
            )
        state = _ttl(state, np.uint64(get(ttls, row)), to_client)
        answered = get(rec, base + t.PKTS_C) != 0
        now = _class(proto, word, np.int64((state >> np.uint64(9)) & np.uint64(0x7F)), answered)
        put(rec, base + t.STATE, (state & ~t.LOW8) | np.uint64(now))
        if fresh or (now == 2 and was != 2):
            if not fresh:
                t.wheel_remove(link, back, bucket, record, np.int64(get(wheel_slot, record)))
            due = np.int64(get(rec, base + t.LAST)) + get(cfg, now)
            put(wheel_slot, record, np.uint16(t.wheel_add(link, back, bucket, record, due, second)))
        if np.int64(get(bads, row)):
            _note_bad(cold, record, get(bads, row))
        if first_answer:
            _answer(rec, cold, hist, record, base, get(icmps, row), tick, ts, targets, tslots, out, st)
        if (not answered) or proto == 1 or proto == 58:
            _count(rec, base, to_client, fresh, flags, bytes_, proto, targets, tslots, st,
                   get(a_hi, row), get(a_lo, row), get(b_hi, row), get(b_lo, row), side)  # fmt: skip
    return i


@inline
def _look(cold, record, data, start, pay, captured, length, proto, key, side, back_words):
    """Note what the first payload of a direction looks like."""
    high, low = np.int64((key >> U16) & t.LOW16), np.int64(key & t.LOW16)
    sport, dport = (low, high) if side else (high, low)
    code = recognise(data, start + pay, start + min(captured, pay + length), proto, sport, dport)
    if code:
        place = record * t.COLD + t.C_BAD
        put(cold, place, get(cold, place) | np.uint64(code) << (U40 if back_words else U32))


@inline
def _remember(hist, base, side, proto, flags, seq, ack, window, length, size, ts):
    """Zeek's view of the packet."""
    put(hist, base + H_IP + side, get(hist, base + H_IP + side) + size)
    if proto == 6:
        segment(hist, base, side, flags, np.int64(seq), np.int64(ack), np.int64(window), length, ts)
    else:
        datagram(hist, base, side, proto, ts)


@inline
def _note_bad(cold, record, bad):
    """Remember what was wrong with a flow's packets, and that there were fragments."""
    chill = record * t.COLD
    put(cold, chill + t.C_BAD, get(cold, chill + t.C_BAD) | np.uint64(bad))
    if np.int64(bad) & 0x80000000:
        put(cold, chill + t.C_BITS, get(cold, chill + t.C_BITS) | np.uint64(FRAGMENT) << t.MARK_SHIFT)


@inline
def _answer(rec, cold, hist, record, base, icmp, tick, ts, targets, tslots, out, st):
    """The server's first packet: count it for the target, and take back what was said of the flow."""
    chill = record * t.COLD + t.C_BITS
    bits = get(cold, chill)
    if np.int64(icmp):
        bits = (bits & ~(t.LOW16 << U16)) | np.uint64(icmp) << U16
    result = t.outcome(rec, cold, record)
    if bits & t.BIT_UNANSWERED:
        bits = (bits & ~t.BIT_UNANSWERED) | np.uint64(LATE_ANSWER) << t.MARK_SHIFT
        put(cold, chill, bits)
        emit(rec, cold, hist, record, np.int64(OPENED), result, np.int64(0), tick + 1, ts, out, st)
    put(cold, chill, bits)
    if result == 3:
        place = _target_of(rec, base, targets, tslots, st)
        if place >= 0:
            add(targets, place + t.T_ANSWERED, U1)


@inline
def _count(rec, base, to_client, fresh, flags, bytes_, proto, targets, tslots, st, a_hi, a_lo, b_hi, b_lo, side):
    """One packet that nobody has answered so far, for its receiver."""
    hi, lo = (a_hi, a_lo) if side else (b_hi, b_lo)
    key = get(rec, base + t.KEY)
    port = np.uint64(0)
    if proto != 1 and proto != 58:
        port = (key >> U16) & t.LOW16 if side else key & t.LOW16
    place = target(targets, tslots, st, hi, lo, port, np.uint64(proto), t.part_of(a_lo, b_lo, key))
    if place < 0:
        return
    s_hi, s_lo = (b_hi, b_lo) if side else (a_hi, a_lo)
    _source(targets, place, s_hi, s_lo)
    add(targets, place + t.T_PKTS, U1)
    add(targets, place + t.T_BYTES, bytes_)
    if fresh:
        add(targets, place + t.T_FLOWS, U1)
    if proto == 6 and flags & (SYN | ACK) == SYN:
        add(targets, place + t.T_SYNS, U1)
