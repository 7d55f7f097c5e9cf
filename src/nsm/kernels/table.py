"""The flow table: layout of a record, hash slots, time wheel, and the counters by target.

All memory is given by the caller and never grows. A record is 16 words (two cache lines) that packets read
and write, and 8 words of ``cold`` that few packets touch. Words named ``_S`` count what went to the server.

slots u64[2**k]: tag << 32 | record + 1, at most half full, linear probing, deletion by shifting back.
wheel: 512 buckets of one second, doubly linked through ``link`` and ``back`` (u32, record + 1, 0 ends).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.decode import hash_words, mix
from nsm.kernels.history import HIST
from nsm.kernels.jit import get, inline, put

REC, COLD, OUT = 16, 8, 29  # words of a record, of its cold part, of an output row (history, if kept, comes behind)
A_HI, A_LO, B_HI, B_LO, KEY, FIRST, LAST, STATE, PKTS, PKTS_C, BYTES, BYTES_C, PAYLOAD, NEXT_SEQ, RTT, NUMBER = range(
    16
)
C_ORIGIN, C_BITS, C_BAD, C_PROGRESS, C_SEEN_S, C_SEEN_C, C_SRC_MAC, C_DST_MAC = range(8)
# O_NAMES: codes of app_proto, application and services, 16 bits each; written by nsm.track.streams.
O_REPORT, O_TICK, O_FLOW_ID, O_TIME, O_NAMES, O_HISTORY = 24, 25, 26, 27, 28, 29

# STATE: 0-7 time-out class, 8 side that began (0 a, 1 b), 9-15 TCP state, 16-23 TCP flags to the server, 24-31 to the
# client, then lowest and highest TTL to the server and to the client, 8 bits each.
# C_ORIGIN: 0-39 packet number, 40-47 interface, 48-55 TCP flags of the first packet, 56-63 timeout reason.
# C_BAD: 0-31 bits of what was wrong, 32-39 and 40-47 what the first payload to the server and to the client looks like.
# C_BITS: 0-15 inner VLAN, 16-31 ICMP answer, 32-47 retransmissions, 48-55 marks, 56 opened reported, 57 refused by
# ICMP, 58 was reported unanswered.
BIT_OPENED, BIT_REFUSED, BIT_UNANSWERED = (np.uint64(1) << np.uint64(bit) for bit in (56, 57, 58))
MARK_SHIFT = np.uint64(48)

# Time-out classes: 3 * group (0 TCP, 1 UDP, 2 ICMP, 3 other) + phase (0 new, 1 established, 2 closed), or LONG.
LONG: Final = 12
CLASSES: Final = 13
# Places in ``cfg`` behind the time-outs (ns).
CFG_UNANSWERED_NS, CFG_PROGRESS_NS, CFG_SHARD, CFG_SHARDS, CFG_MIDSTREAM, CFG_TURN, CFG_FLOOD, CFG_HISTORY = range(
    13, 21
)

# Places in ``st`` (int64).
(
    ST_TICK, ST_NUMBER, ST_FREE, ST_LIVE, ST_HEAD, ST_PENDING, ST_EVICT, ST_OUT, ST_TOUT, ST_TARGETS, ST_UNTRACKED,
    ST_EVICTED, ST_REFUSED_TARGETS, ST_PHASE, ST_CURSOR, ST_BACKWARDS, ST_WHY, ST_COUNTED, ST_TURNED, ST_NOTICES,
    ST_TOLD,
) = range(21)  # fmt: skip
ST_WORDS: Final = 24
WHY_DONE, WHY_TICK, WHY_FULL, WHY_REUSE = 0, 1, 2, 3

SECOND_NS: Final = 1_000_000_000
BUCKETS: Final = 512
# Flows are dealt into so many parts, whatever the seed and the number of workers; a worker takes whole parts. The bound on
# a target's flows holds for each part, so that the same flows are counted there however many workers there are.
EVICT_LOOKS: Final = 64

# A target: its key, its counters, one source, and its slot.
TARGET = 14
(
    T_HI, T_LO, T_KEY, T_PKTS, T_BYTES, T_SYNS, T_FLOWS, T_ANSWERED, T_COMPLETED, T_EVICTED, T_SRC_HI, T_SRC_LO, T_MANY,
    T_SLOT,
) = range(14)  # fmt: skip

U1, U8, U9, U16, U24, U32, U40, U48, U56 = (np.uint64(n) for n in (1, 8, 9, 16, 24, 32, 40, 48, 56))
LOW8, LOW16, LOW32 = np.uint64(0xFF), np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)
ID_SEED, ID_MASK = np.uint64(0x5EED), np.uint64((1 << 51) - 1)


@inline
def flow_id(rec, base):
    """Below 2**51, from the key and the first packet's time alone: the same in every process and run."""
    word = hash_words(
        ID_SEED ^ get(rec, base + FIRST),
        get(rec, base + A_HI), get(rec, base + A_LO), get(rec, base + B_HI), get(rec, base + B_LO), get(rec, base + KEY),
    )  # fmt: skip
    return (word ^ (word >> U32)) & ID_MASK


@inline
def find(slots, rec, tag, a_hi, a_lo, b_hi, b_lo, key):
    """The record of a flow, or -1."""
    mask = np.int64(slots.size - 1)
    at = np.int64(tag) & mask
    while True:
        slot = get(slots, at)
        if slot == np.uint64(0):
            return np.int64(-1)
        if slot >> U32 == np.uint64(tag):
            record = np.int64(slot & LOW32) - 1
            base = record * REC
            if (
                get(rec, base + A_LO) == a_lo and get(rec, base + B_LO) == b_lo and get(rec, base + KEY) == key
                and get(rec, base + A_HI) == a_hi and get(rec, base + B_HI) == b_hi
            ):  # fmt: skip
                return record
        at = (at + 1) & mask


@inline
def insert(slots, tag, record):
    """Put a record under its tag; the caller keeps the table at most half full."""
    mask = np.int64(slots.size - 1)
    at = np.int64(tag) & mask
    while get(slots, at) != np.uint64(0):
        at = (at + 1) & mask
    put(slots, at, np.uint64(tag) << U32 | np.uint64(record + 1))


@inline
def remove(slots, tag, record):
    """Take a record out and shift back what its slot kept from home."""
    mask = np.int64(slots.size - 1)
    wanted = np.uint64(tag) << U32 | np.uint64(record + 1)
    hole = np.int64(tag) & mask
    while get(slots, hole) != wanted:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        slot = get(slots, at)
        if slot == np.uint64(0):
            break
        home = np.int64(slot >> U32) & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            put(slots, hole, slot)
            hole = at
    put(slots, hole, np.uint64(0))


@inline
def tag_of(rec, base, seed):
    """The tag under which a record was put in."""
    return np.uint32(
        hash_words(
            np.uint64(seed),
            get(rec, base + A_HI),
            get(rec, base + A_LO),
            get(rec, base + B_HI),
            get(rec, base + B_LO),
            get(rec, base + KEY),
        )
        >> U32
    )


@inline
def wheel_add(link, back, bucket, record, due_ns, now_second):
    """File a record under the second after it is due, at most 511 s ahead."""
    second = due_ns // SECOND_NS + 1
    second = min(max(second, now_second + 1), now_second + BUCKETS - 1)
    slot = second & (BUCKETS - 1)
    head = get(bucket, slot)
    put(link, record, head)
    put(back, record, np.uint32(0))
    if head != 0:
        put(back, np.int64(head) - 1, np.uint32(record + 1))
    put(bucket, slot, np.uint32(record + 1))
    return slot


@inline
def wheel_remove(link, back, bucket, record, slot):
    """Take a record out of its bucket."""
    after, before = get(link, record), get(back, record)
    if after != 0:
        put(back, np.int64(after) - 1, before)
    if before != 0:
        put(link, np.int64(before) - 1, after)
    else:
        put(bucket, slot, after)


@inline
def refused_only(state):
    """Did the server of a TCP flow say nothing but RST?"""
    flags = (state >> U24) & LOW8
    return (flags & np.uint64(0x04)) != 0 and (flags & np.uint64(0x02)) == 0


@inline
def outcome(rec, cold, record):
    """0 unknown, 1 unanswered, 2 refused, 3 answered; 0 is for the caller to make 1 of when it is time."""
    base = record * REC
    if get(rec, base + PKTS_C) != 0:
        proto = (get(rec, base + KEY) >> U32) & LOW8
        if proto == 6 and refused_only(get(rec, base + STATE)) and get(rec, base + PAYLOAD) >> U32 == 0:
            return np.uint64(2)
        return np.uint64(3)
    if get(cold, record * COLD + C_BITS) & BIT_REFUSED:
        return np.uint64(2)
    return np.uint64(0)


@inline
def eve_state(rec, base):
    """0 new, 1 established, 2 closed."""
    state = get(rec, base + STATE)
    if (get(rec, base + KEY) >> U32) & LOW8 == 6:
        tcp = (state >> U9) & np.uint64(0x7F)
        if tcp == 10 or tcp == 6:
            return np.uint64(2)
        return np.uint64(1) if tcp >= 3 else np.uint64(0)
    return np.uint64(1) if get(rec, base + PKTS_C) != 0 else np.uint64(0)


@inline
def emit(rec, cold, hist, record, report, result, reason, tick, time_ns, out, st):
    """Append one output row; the caller has made sure that there is room."""
    width = np.int64(OUT + HIST if hist.size else OUT)
    base, row = record * REC, get(st, ST_OUT) * width
    for word in range(REC):
        put(out, row + word, get(rec, base + word))
    for word in range(COLD):
        put(out, row + REC + word, get(cold, record * COLD + word))
    head = np.uint64(report) | result << U8 | eve_state(rec, base) << U16 | np.uint64(reason) << U24
    put(out, row + O_REPORT, head)
    put(out, row + O_TICK, np.uint64(tick))
    put(out, row + O_FLOW_ID, flow_id(rec, base))
    put(out, row + O_TIME, np.uint64(time_ns))
    put(out, row + O_NAMES, np.uint64(0))
    if hist.size:
        for word in range(HIST):
            put(out, row + O_HISTORY + word, get(hist, record * HIST + word))
    put(st, ST_OUT, get(st, ST_OUT) + 1)


@inline
def part_of(a_lo, b_lo, key):
    """The part, 0 to PARTS - 1, of the flow with these canonical words; nsm.decode.events has its twin over columns."""
    return mix(mix(a_lo, b_lo), key) >> np.uint64(61)


@inline
def target(targets, tslots, st, hi, lo, port, proto, part):
    """The base of the counters of (address, port, protocol) for one part of the flows in this tick, made when missing.

    -1 when there is no room. Those who read the rows add the parts up (nsm.track.merge).
    """
    mask = np.int64(tslots.size - 1)
    key = np.uint64(port) | np.uint64(proto) << U16 | part << U24
    at = np.int64(hash_words(ID_SEED, hi, lo, key, np.uint64(0), np.uint64(0)) >> U32) & mask
    while True:
        slot = get(tslots, at)
        if slot == 0:
            break
        base = (np.int64(slot) - 1) * TARGET
        if get(targets, base + T_LO) == lo and get(targets, base + T_KEY) == key and get(targets, base + T_HI) == hi:
            return base
        at = (at + 1) & mask
    used = get(st, ST_TARGETS)
    if (used + 1) * TARGET > targets.size:
        put(st, ST_REFUSED_TARGETS, get(st, ST_REFUSED_TARGETS) + 1)
        return np.int64(-1)
    base = used * TARGET
    for word in range(3, TARGET):
        put(targets, base + word, np.uint64(0))
    put(targets, base + T_HI, hi)
    put(targets, base + T_LO, lo)
    put(targets, base + T_KEY, key)
    put(targets, base + T_SLOT, np.uint64(at))
    put(tslots, at, np.uint32(used + 1))
    put(st, ST_TARGETS, used + 1)
    return base


@inline
def add(array, at, amount):
    """array[at] += amount."""
    put(array, at, get(array, at) + amount)
