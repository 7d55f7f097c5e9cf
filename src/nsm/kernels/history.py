"""What Zeek's conn.log says of a connection beyond a flow: history, endpoint states, bytes by sequence numbers, gaps.

Kept only when it is asked for. Facts from Zeek's src/packet_analysis/protocol/tcp, src/analyzer/protocol/tcp and
scripts/base/protocols/conn. Originator is side 0, responder side 1. A place is a sequence number counted from the side's
SYN; it does not wrap. HIST words a record:

0-3 letters, 4 a byte each of: letters, seen bits of both sides, states of both sides, previous states of both sides;
5 flags; 6, 7 IP bytes; 8 sequence number of the SYN (32 bits a side); 9, 10 place behind the last byte; 11, 12 highest place
acknowledged; 13 SYN, 14 FIN, 15 RST places noted (32 bits a side); 16 retransmissions and zero windows, 17 bad checksums and
gaps (16 bits each); 18 last time; 19 bytes missed; 20-23, 24-27 holes of a side: first place (32 bits), length; 28, 29 from
where to where there are more of them, 30 their bytes (32 bits a side).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.holes import (
    H_HOLES,
    H_LAST,
    H_LUMP,
    H_LUMPED,
    HOLES,
    fill,
    forget,
    half,
    hole,
    open_hole,
    put_half,
    sent,
)
from nsm.kernels.jit import get, inline, put

HIST: Final = 31
H_TEXT, H_STATES, H_FLAGS, H_IP, H_FIRST, H_ACKED = 0, 4, 5, 6, 8, 11  # the others are in holes.py
H_SYN, H_FIN, H_RST, H_OFTEN, H_RARE, H_TIME, H_MISSED = 13, 14, 15, 16, 17, 18, 19
LETTERS_MAX: Final = 32
ATTEMPT_NS: Final = 5_000_000_000  # tcp_attempt_delay, scripts/base/init-bare.zeek
NEAR: Final = 1_048_576  # TOO_LARGE_SEQ_DELTA: a SYN or RST farther away is of another connection, or forged

INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = range(7)
# Seen bits of a side.
SEEN_ACK, SEEN_DATA, SEEN_MULTI, SEEN_INCONSISTENT, SEEN_SYN, SEEN_FIN, SEEN_RST = (1 << n for n in range(7))
FLAG_CLOSED: Final = 1  # bits 0 and 1: a side has closed or reset
FLAG_FIN: Final = 4  # bits 2 and 3: a side has sent FIN
FIN_, SYN_, RST_, ACK_ = 0x01, 0x02, 0x04, 0x10
LOW8, LOW16 = np.uint64(0xFF), np.uint64(0xFFFF)


@inline
def _byte(hist, at, place):
    return np.int64((get(hist, at) >> np.uint64(8 * place)) & LOW8)


@inline
def _put_byte(hist, at, place, value):
    shift = np.uint64(8 * place)
    put(hist, at, (get(hist, at) & ~(LOW8 << shift)) | np.uint64(value) << shift)


@inline
def letter(hist, base, side, code):
    """Append a letter: upper case for the originator."""
    count = _byte(hist, base + H_STATES, np.int64(0))
    if count < LETTERS_MAX:
        _put_byte(hist, base + H_TEXT + count // 8, count % 8, np.int64(code + 32 if side and code != 94 else code))
        _put_byte(hist, base + H_STATES, np.int64(0), count + 1)


@inline
def _once(hist, base, side, bit, code):
    seen = _byte(hist, base + H_STATES, 1 + side)
    if not seen & bit:
        _put_byte(hist, base + H_STATES, 1 + side, seen | bit)
        letter(hist, base, side, code)


@inline
def _noted(hist, base, side, bit, word, place, code):
    """S and H, F, R: again when the place differs from the last of that kind."""
    seen = _byte(hist, base + H_STATES, 1 + side)
    number = np.uint64(place & 0xFFFFFFFF)
    if not seen & bit or half(hist, base + word, side) != number:
        _put_byte(hist, base + H_STATES, 1 + side, seen | bit)
        put_half(hist, base + word, side, number)
        letter(hist, base, side, code)


@inline
def scaled(hist, base, word, place, side, code):
    """C, G, T, W: at the first, tenth, hundredth, ... time."""
    shift = np.uint64(16 * place)
    count = np.int64((get(hist, base + word) >> shift) & LOW16) + 1
    if count < 65_535:
        put(hist, base + word, (get(hist, base + word) & ~(LOW16 << shift)) | np.uint64(count) << shift)
    if count in (1, 10, 100, 1_000, 10_000):
        letter(hist, base, side, code)


@inline
def begin(hist, base, flipped, ts):
    """A fresh connection."""
    for word in range(HIST):
        put(hist, base + word, np.uint64(0))
    put(hist, base + H_TIME, np.uint64(ts))
    if flipped:
        letter(hist, base, np.int64(0), np.int64(94))


@inline
def hopeless(hist, base, age_ns):
    """A SYN that nobody answered for five seconds: Zeek's tcp_attempt_delay ends it whatever else the client sends."""
    return (
        age_ns > ATTEMPT_NS
        and _state(hist, base, np.int64(0)) == SYN_SENT
        and _state(hist, base, np.int64(1)) == INACTIVE
    )


@inline
def _state(hist, base, side):
    return _byte(hist, base + H_STATES, 3 + side)


@inline
def _previous(hist, base, side):
    return _byte(hist, base + H_STATES, 5 + side)


@inline
def _set_state(hist, base, side, state):
    before = _state(hist, base, side)
    if before != state:
        _put_byte(hist, base + H_STATES, 5 + side, before)
        _put_byte(hist, base + H_STATES, 3 + side, state)
    if state == CLOSED or state == RESET:
        put(hist, base + H_FLAGS, get(hist, base + H_FLAGS) | np.uint64(FLAG_CLOSED << side))


@inline
def _first_state(hist, base, side, flags, length):
    """The states after the first segment of a side, or after a bare ACK of a SYN, which leaves the responder inactive."""
    peer = _state(hist, base, 1 - side)
    if flags & SYN_:
        if side == 0:
            _set_state(hist, base, side, np.int64(SYN_ACK_SENT if flags & ACK_ else SYN_SENT))
        else:
            if peer == SYN_SENT:
                _set_state(hist, base, 1 - side, np.int64(ESTABLISHED))
            _set_state(hist, base, side, np.int64(ESTABLISHED))
    if flags & FIN_:
        _set_state(hist, base, side, np.int64(CLOSED))
    if flags & RST_:
        _set_state(hist, base, side, np.int64(RESET))
    if flags & (SYN_ | FIN_ | RST_) or (side == 1 and length == 0 and peer == SYN_SENT):
        return
    _set_state(hist, base, side, np.int64(ESTABLISHED if flags & ACK_ and peer == ESTABLISHED else PARTIAL))


@inline
def _next(hist, base, side, flags, length):
    """The endpoint states after a segment."""
    mine, peer = _state(hist, base, side), _state(hist, base, 1 - side)
    if mine == INACTIVE:
        _first_state(hist, base, side, flags, length)
    elif mine == CLOSED:
        if flags & RST_ and peer != CLOSED:
            _set_state(hist, base, side, np.int64(RESET))
    elif mine != RESET:
        shaking = mine == SYN_SENT or mine == SYN_ACK_SENT
        if mine == PARTIAL and peer == INACTIVE and flags & (SYN_ | ACK_) == SYN_:
            _set_state(hist, base, side, np.int64(SYN_SENT))
        if flags & FIN_ and (shaking or not flags & RST_):
            _set_state(hist, base, side, np.int64(CLOSED))
            if not shaking and peer == RESET and _previous(hist, base, 1 - side) == CLOSED:
                _set_state(hist, base, 1 - side, np.int64(CLOSED))  # its RST came after its FIN: an ordinary end
        if flags & RST_:
            _set_state(hist, base, side, np.int64(RESET))


@inline
def _signed(difference):
    """The nearest way from one sequence number to another."""
    low = difference & 0xFFFFFFFF
    return low - 0x100000000 if low >= 0x80000000 else low


@inline
def _number_from(hist, base, side, first, last):
    """Count the sequence numbers of a side from ``first``."""
    put_half(hist, base + H_FIRST, side, first & 0xFFFFFFFF)
    put(hist, base + H_LAST + side, np.uint64(last))
    put(hist, base + H_ACKED + side, np.uint64(0))
    forget(hist, base, side)


@inline
def _begin_side(hist, base, side, flags, seq, span):
    """The first segment of a side, or a SYN that begins its numbers anew."""
    mine = _state(hist, base, side)
    if mine == INACTIVE and not flags & SYN_:
        _number_from(hist, base, side, seq - 1, np.int64(1))  # as if there had been a SYN
    elif mine == INACTIVE:
        _number_from(hist, base, side, seq, span)
    elif not flags & SYN_ or np.int64(half(hist, base + H_FIRST, side)) == seq:
        return
    elif mine != CLOSED and (mine != RESET or _previous(hist, base, side) == INACTIVE):
        _number_from(hist, base, side, seq, span)


@inline
def _letters(hist, base, side, flags, place, length):
    """The letter of the flags, or of payload and acknowledgement when there are none."""
    kinds = flags & (SYN_ | FIN_ | RST_)
    if kinds == 0:
        if length > 0:
            _once(hist, base, side, np.int64(SEEN_DATA), np.int64(68))
        elif flags & ACK_:
            _once(hist, base, side, np.int64(SEEN_ACK), np.int64(65))
    elif kinds == SYN_:
        _noted(hist, base, side, np.int64(SEEN_SYN), np.int64(H_SYN), place, np.int64(72 if flags & ACK_ else 83))
    elif kinds == FIN_:
        _noted(hist, base, side, np.int64(SEEN_FIN), np.int64(H_FIN), place + length, np.int64(70))
    elif kinds == RST_:
        _noted(hist, base, side, np.int64(SEEN_RST), np.int64(H_RST), place, np.int64(82))
    elif flags & FIN_ and flags & RST_:
        _once(hist, base, side, np.int64(SEEN_INCONSISTENT), np.int64(73))
    else:
        _once(hist, base, side, np.int64(SEEN_MULTI), np.int64(81))
    if flags & FIN_:
        put(hist, base + H_FLAGS, get(hist, base + H_FLAGS) | np.uint64(FLAG_FIN << side))


@inline
def _advance(hist, base, side, flags, end, span, length):
    """Follow a side to the place behind its segment; True when the segment brings nothing new."""
    last = sent(hist, base, side)
    ahead = end - last
    if flags & (SYN_ | RST_) and (ahead > NEAR or ahead < -NEAR):
        return False
    if flags & FIN_ and last == 1:
        if ahead < 0:  # nothing between SYN and FIN was seen: there may be more than half of all numbers
            end += 0x100000000
    elif _state(hist, base, side) == RESET:
        return False
    elif ahead <= 0:
        return length > 0
    put(hist, base + H_LAST + side, np.uint64(end))
    known = max(last, np.int64(get(hist, base + H_ACKED + side)))
    if end - span > known:
        open_hole(hist, base, side, known, end - span)
    return False


@inline
def _clean(hist, base, side):
    state = _state(hist, base, side)
    return state == ESTABLISHED or (state == CLOSED and _previous(hist, base, side) == ESTABLISHED)


@inline
def _missed(hist, base, side, amount, clean):
    """Bytes of a side that were received and never seen; Zeek says so only of connections that go as they should."""
    if clean and amount > 0:
        put(hist, base + H_MISSED, get(hist, base + H_MISSED) + np.uint64(amount))
        scaled(hist, base, np.int64(H_RARE), np.int64(2 + side), side, np.int64(71))


@inline
def _acknowledge(hist, base, side, flags, ack):
    """An acknowledgement by ``side``: what of the other side's bytes it covers, seen or not. Those of a RST are not believed."""
    other = 1 - side
    if not flags & ACK_ or flags & RST_ or _state(hist, base, other) == INACTIVE:
        return
    before = np.int64(get(hist, base + H_ACKED + other))
    ahead = _signed(ack - np.int64(half(hist, base + H_FIRST, other)) - before)
    if ahead <= 0 or (ack == 0 and ahead > NEAR):
        return
    now = before + ahead
    put(hist, base + H_ACKED + other, np.uint64(now))
    clean = _clean(hist, base, side) and _clean(hist, base, other)
    if not get(hist, base + H_FLAGS) & np.uint64(FLAG_FIN << other):  # nothing comes behind a FIN
        _missed(hist, base, other, now - max(before, sent(hist, base, other)), clean)
    for n in range(HOLES):
        at = base + H_HOLES + other * HOLES + n
        if get(hist, at) == 0:
            continue
        first, behind = hole(hist, base, other, at)
        if first < now:
            put(hist, at, np.uint64(0))
            _missed(hist, base, other, min(behind, now) - first, clean)
            if now < behind:
                open_hole(hist, base, other, now, behind)
    lumped = np.int64(half(hist, base + H_LUMPED, other))
    if lumped > 0 and hole(hist, base, other, base + H_LUMP + other)[1] <= now:
        put_half(hist, base + H_LUMPED, other, np.int64(0))
        _missed(hist, base, other, lumped, clean)


@inline
def segment(hist, base, side, flags, seq, ack, window, length, ts):
    """One TCP segment of a connection, in Zeek's order: the letters come of it."""
    over = get(hist, base + H_FLAGS) & np.uint64(3) == np.uint64(3)
    # Payload of a RST is not of the stream.
    span = np.int64((0 if flags & RST_ else length) + (1 if flags & SYN_ else 0) + (1 if flags & FIN_ else 0))
    _begin_side(hist, base, side, flags, seq, span)
    last = sent(hist, base, side)
    end = last + _signed(seq + span - np.int64(half(hist, base + H_FIRST, side)) - last)
    place = end - span
    _letters(hist, base, side, flags, place, length)
    # Nobody waits for room after a RST, or when the peer has no more to send.
    if (
        window == 0
        and not flags & RST_
        and _state(hist, base, side) != RESET
        and _state(hist, base, 1 - side) != CLOSED
    ):
        scaled(hist, base, np.int64(H_OFTEN), np.int64(2 + side), side, np.int64(87))
    repeated = _advance(hist, base, side, flags, end, span, length)
    if repeated:
        scaled(hist, base, np.int64(H_OFTEN), np.int64(side), side, np.int64(84))
    _next(hist, base, side, flags, length)
    _acknowledge(hist, base, side, flags, ack)
    if length > 0 and not flags & RST_ and place >= 0:
        start = place + (1 if flags & SYN_ else 0)
        fill(hist, base, side, start, start + length)
    if (not over or (length > 0 and not repeated)) and np.uint64(ts) > get(hist, base + H_TIME):
        put(hist, base + H_TIME, np.uint64(ts))


@inline
def datagram(hist, base, side, proto, ts):
    """One packet of a connection that is not TCP."""
    if proto == 17:
        _once(hist, base, side, np.int64(SEEN_DATA), np.int64(68))
    if np.uint64(ts) > get(hist, base + H_TIME):
        put(hist, base + H_TIME, np.uint64(ts))
