"""What time alone brings: flows to report as opened, to report again, to end; targets to hand over.

A tick is 250 ms of packet time. ``advance`` goes tick by tick and can be interrupted whenever an output is full:
it goes on where it was.
"""

from __future__ import annotations

import numpy as np

from nsm.kernels import table as t
from nsm.kernels.constants import TICK_NS
from nsm.kernels.flows import OPENED, PROGRESS, SHUTDOWN, TIMEOUT, close, release
from nsm.kernels.jit import get, inline, kernel, put
from nsm.kernels.table import REC, U1, emit

PHASE_BEGIN, PHASE_PENDING, PHASE_TARGETS, PHASE_WHEEL = 0, 1, 2, 3
TICKS_AHEAD_MAX = 4 * t.BUCKETS  # after a longer silence every bucket is visited once


@inline
def _pending(rec, cold, hist, ring, cfg, st, tick, now, room, out):
    """Report new flows: refused and answered ones at once, others when they have been silent long enough."""
    size = np.int64(ring.size // 2)
    at = max(get(st, t.ST_CURSOR), get(st, t.ST_PENDING))
    head = get(st, t.ST_HEAD)
    while at < head:
        if get(st, t.ST_OUT) >= room:
            put(st, t.ST_CURSOR, at)
            return False
        slot = (at & (size - 1)) * 2
        record = np.int64(get(ring, slot + 1))
        base, chill = record * REC, record * t.COLD + t.C_BITS
        settled = True
        if get(rec, base + t.NUMBER) == get(ring, slot):
            bits = get(cold, chill)
            if not bits & t.BIT_OPENED:
                result = t.outcome(rec, cold, record)
                if result == 0 and now - np.int64(get(rec, base + t.FIRST)) >= get(cfg, t.CFG_UNANSWERED_NS):
                    result = U1
                if result != 0:
                    bits |= t.BIT_OPENED
                    if result == 1:
                        bits |= t.BIT_UNANSWERED
                    put(cold, chill, bits)
                    emit(rec, cold, hist, record, np.int64(OPENED), result, np.int64(0), tick, now, out, st)
                else:
                    settled = False
        if settled and at == get(st, t.ST_PENDING):
            put(st, t.ST_PENDING, at + 1)
        at += 1
    return True


@inline
def _hand_over(targets, tslots, st, tick, tout):
    """Copy this tick's targets out and begin the next tick with none."""
    used = get(st, t.ST_TARGETS)
    row = get(st, t.ST_TOUT)
    if (row + used) * (t.TARGET + 1) > tout.size:
        return False
    for index in range(used):
        base, place = index * t.TARGET, (row + index) * (t.TARGET + 1)
        for word in range(t.TARGET):
            put(tout, place + word, get(targets, base + word))
        put(tout, place + t.TARGET, np.uint64(tick))
        put(tslots, np.int64(get(targets, base + t.T_SLOT)), np.uint32(0))
    put(st, t.ST_TOUT, row + used)
    put(st, t.ST_TARGETS, np.int64(0))
    return True


@inline
def _due(slots, rec, cold, hist, link, back, bucket, wheel_slot, free, cfg, st, tick, now, room, out, seed):
    """Visit the bucket of this second: end what is over, report what goes on, file the rest again."""
    second = tick // 4
    slot = second & (t.BUCKETS - 1)
    # A record filed again goes to another bucket (at least one second ahead), so this one empties.
    while get(bucket, slot) != 0:
        if get(st, t.ST_OUT) >= room:
            return False
        record = np.int64(get(bucket, slot)) - 1
        base, chill = record * REC, record * t.COLD
        due = np.int64(get(rec, base + t.LAST)) + get(cfg, np.int64(get(rec, base + t.STATE) & t.LOW8))
        if due < now:
            close(rec, cold, hist, record, np.int64(TIMEOUT), tick, now, out, st)
            release(slots, rec, link, back, bucket, wheel_slot, free, record, st, seed)
            continue
        progress = np.int64(get(cold, chill + t.C_PROGRESS))
        if progress <= now:
            result = t.outcome(rec, cold, record)
            emit(rec, cold, hist, record, np.int64(PROGRESS), result if result else U1, np.int64(0), tick, now, out, st)
            while progress <= now:
                progress += get(cfg, t.CFG_PROGRESS_NS)
            put(cold, chill + t.C_PROGRESS, np.uint64(progress))
        t.wheel_remove(link, back, bucket, record, slot)
        put(wheel_slot, record, np.uint16(t.wheel_add(link, back, bucket, record, min(due, progress), second)))
    return True


@kernel
def advance(
    until, slots, rec, cold, hist, link, back, bucket, wheel_slot, ring, free, targets, tslots, cfg, st, out, tout, seed
):
    """Let ticks pass up to and with ``until``; False when an output is full and has to be taken away first."""
    room = out.size // (t.OUT + t.HIST) - 4
    if until - get(st, t.ST_TICK) > TICKS_AHEAD_MAX and get(st, t.ST_PHASE) == PHASE_BEGIN:
        # The targets of the tick before the silence keep their tick.
        if get(st, t.ST_TARGETS) > 0 and not _hand_over(targets, tslots, st, get(st, t.ST_TICK) + 1, tout):
            return False
        put(st, t.ST_TICK, until - TICKS_AHEAD_MAX)
    while get(st, t.ST_TICK) < until or get(st, t.ST_PHASE) != PHASE_BEGIN:
        phase = get(st, t.ST_PHASE)
        if phase == PHASE_BEGIN:
            put(st, t.ST_TICK, get(st, t.ST_TICK) + 1)
            put(st, t.ST_CURSOR, np.int64(0))
            phase = np.int64(PHASE_PENDING)
        tick = get(st, t.ST_TICK)
        now = tick * TICK_NS
        if phase == PHASE_PENDING:
            put(st, t.ST_PHASE, np.int64(PHASE_PENDING))
            if not _pending(rec, cold, hist, ring, cfg, st, tick, now, room, out):
                return False
            phase = np.int64(PHASE_TARGETS)
        if phase == PHASE_TARGETS:
            put(st, t.ST_PHASE, np.int64(PHASE_TARGETS))
            if not _hand_over(targets, tslots, st, tick, tout):
                return False
            phase = np.int64(PHASE_WHEEL)
        if phase == PHASE_WHEEL and tick % 4 == 0:
            put(st, t.ST_PHASE, np.int64(PHASE_WHEEL))
            if not _due(
                slots, rec, cold, hist, link, back, bucket, wheel_slot, free, cfg, st, tick, now, room, out, seed
            ):
                return False
        put(st, t.ST_PHASE, np.int64(PHASE_BEGIN))
    return True


@kernel
def finish(rec, cold, hist, link, targets, tslots, cfg, st, out, tout):
    """End every flow that is left, with the reason shutdown; False when ``out`` has to be taken away first.

    The table is of no use afterwards.
    """
    room = out.size // (t.OUT + t.HIST) - 4
    tick = get(st, t.ST_TICK) + 1
    record = get(st, t.ST_CURSOR)
    while record < link.size:
        if get(st, t.ST_OUT) >= room:
            put(st, t.ST_CURSOR, record)
            return False
        if get(rec, record * REC + t.NUMBER) != 0:
            close(rec, cold, hist, record, np.int64(SHUTDOWN), tick, np.int64(get(rec, record * REC + t.LAST)), out, st)
            put(rec, record * REC + t.NUMBER, np.uint64(0))
        record += 1
    put(st, t.ST_CURSOR, record)
    return _hand_over(targets, tslots, st, tick, tout)


@kernel
def identify(rec, records, ids):
    """Write the flow_id of each record of records u32[n] to ids u64[n]; 0 for 0xFFFFFFFF."""
    for index in range(records.size):
        record = np.int64(get(records, index))
        put(ids, index, t.flow_id(rec, record * REC) if record != 0xFFFFFFFF else np.uint64(0))


@kernel
def activity(rec, cold, st, out):
    """Write what each flow moved since the last call to out u64[n * 7]; return the rows written.

    A row: client hi, lo, server hi, lo, port | proto << 16 | app << 24, bytes to the server, to the client. Flows beyond
    n wait for the next call, which goes on behind the last (st[ST_TOLD]) so that all have their turn. It looks at no more
    records than are in use (st[ST_LIVE]): an emptier table is not searched to its end.
    """
    rows = 0
    found = 0
    room = out.size // 7
    size = rec.size // REC
    live = get(st, t.ST_LIVE)
    record = get(st, t.ST_TOLD)
    for _ in range(size):
        if found >= live or rows >= room:
            break
        base, chill = record * REC, record * t.COLD
        record = record + 1 if record + 1 < size else 0
        if get(rec, base + t.NUMBER) == 0:
            continue
        found += 1
        to_server, to_client = get(rec, base + t.BYTES), get(rec, base + t.BYTES_C)
        new_s, new_c = to_server - get(cold, chill + t.C_SEEN_S), to_client - get(cold, chill + t.C_SEEN_C)
        if new_s == 0 and new_c == 0:
            continue
        put(cold, chill + t.C_SEEN_S, to_server)
        put(cold, chill + t.C_SEEN_C, to_client)
        _tell(rec, cold, base, chill, out, rows * 7)
        put(out, rows * 7 + 5, new_s)
        put(out, rows * 7 + 6, new_c)
        rows += 1
    put(st, t.ST_TOLD, np.int64(record if rows >= room else 0))
    return rows


@inline
def _tell(rec, cold, base, chill, out, place):
    """Whose bytes they are."""
    key = get(rec, base + t.KEY)
    b_began = (get(rec, base + t.STATE) >> np.uint64(8)) & U1
    client, server = (base + t.B_HI, base + t.A_HI) if b_began else (base + t.A_HI, base + t.B_HI)
    put(out, place, get(rec, client))
    put(out, place + 1, get(rec, client + 1))
    put(out, place + 2, get(rec, server))
    put(out, place + 3, get(rec, server + 1))
    port = (key >> np.uint64(16)) & t.LOW16 if b_began else key & t.LOW16
    looks = get(cold, chill + t.C_BAD) >> np.uint64(32)
    app = looks & t.LOW8 or (looks >> np.uint64(8)) & t.LOW8
    proto = (key >> np.uint64(32)) & t.LOW8
    put(out, place + 4, port | proto << np.uint64(16) | app << np.uint64(24))
