"""What Zeek's conn.log says of a connection beyond a flow: history, endpoint states, bytes by sequence numbers, gaps.

Kept only when it is asked for. Facts from Zeek's src/packet_analysis/protocol/tcp and scripts/base/protocols/conn.
Originator is side 0, responder side 1. HIST words a record:

0-3 letters, 4 a byte each of: letters, seen bits of both sides, states of both sides, previous states of both sides;
5 flags; 6, 7 IP bytes; 8 first, 9 last sequence number and 10 highest acknowledged one (32 bits a side); 11 SYN, 12 FIN, 13 RST
numbers noted; 14 retransmissions and zero windows, 15 bad checksums and gaps (16 bits each); 16 last time; 17 bytes missed,
18 bytes in open holes (32 bits a side).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.jit import get, inline, put

HIST: Final = 20
H_TEXT, H_STATES, H_FLAGS, H_IP, H_FIRST, H_LAST, H_ACKED = 0, 4, 5, 6, 8, 9, 10
H_SYN, H_FIN, H_RST, H_OFTEN, H_RARE, H_TIME, H_MISSED, H_HOLES = 11, 12, 13, 14, 15, 16, 17, 18
LETTERS_MAX: Final = 32
ATTEMPT_NS: Final = 5_000_000_000  # tcp_attempt_delay, scripts/base/init-bare.zeek

INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = range(7)
# Seen bits of a side.
SEEN_ACK, SEEN_DATA, SEEN_MULTI, SEEN_INCONSISTENT, SEEN_SYN, SEEN_SYNACK, SEEN_FIN, SEEN_RST = (
    1 << n for n in range(8)
)
FLAG_CLOSED: Final = 1  # bits 0 and 1: a side has closed or reset
FLAG_FIN: Final = 4  # bits 2 and 3: a side has sent FIN
FIN_, SYN_, RST_, ACK_ = 0x01, 0x02, 0x04, 0x10
LOW8, LOW16, LOW32 = np.uint64(0xFF), np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)


@inline
def _half(hist, at, side):
    """One 32-bit half of a word."""
    return (get(hist, at) >> np.uint64(32 * side)) & LOW32


@inline
def _put_half(hist, at, side, value):
    shift = np.uint64(32 * side)
    put(hist, at, (get(hist, at) & ~(LOW32 << shift)) | (np.uint64(value) & LOW32) << shift)


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
def _noted(hist, base, side, bit, word, seq, code):
    """S, H, F, R: again when the sequence number differs from the last of that kind."""
    seen = _byte(hist, base + H_STATES, 1 + side)
    if not seen & bit or _half(hist, base + word, side) != np.uint64(seq):
        _put_byte(hist, base + H_STATES, 1 + side, seen | bit)
        _put_half(hist, base + word, side, seq)
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
def _set_state(hist, base, side, state):
    _put_byte(hist, base + H_STATES, 5 + side, _state(hist, base, side))
    _put_byte(hist, base + H_STATES, 3 + side, state)
    if state == CLOSED or state == RESET:
        put(hist, base + H_FLAGS, get(hist, base + H_FLAGS) | np.uint64(FLAG_CLOSED << side))


@inline
def _next(hist, base, side, flags, length):
    """The endpoint states after a segment."""
    mine, peer = _state(hist, base, side), _state(hist, base, 1 - side)
    if flags & RST_:
        if mine != CLOSED or peer != CLOSED:
            _set_state(hist, base, side, np.int64(RESET))
    elif mine == RESET:
        return
    elif flags & FIN_ and not flags & SYN_:
        _set_state(hist, base, side, np.int64(CLOSED))
    elif mine == INACTIVE:
        if flags & SYN_:
            if flags & ACK_:
                if peer == SYN_SENT:
                    _set_state(hist, base, 1 - side, np.int64(ESTABLISHED))
                    _set_state(hist, base, side, np.int64(ESTABLISHED))
                else:
                    _set_state(hist, base, side, np.int64(SYN_ACK_SENT))
            else:
                _set_state(hist, base, side, np.int64(SYN_SENT))
        elif peer == SYN_ACK_SENT:
            _set_state(hist, base, 1 - side, np.int64(ESTABLISHED))
            _set_state(hist, base, side, np.int64(ESTABLISHED))
        else:
            _set_state(hist, base, side, np.int64(PARTIAL))
    elif mine == SYN_SENT and flags & (SYN_ | ACK_) == SYN_ | ACK_ and peer != INACTIVE:
        _set_state(hist, base, side, np.int64(ESTABLISHED))
        if peer == SYN_SENT:
            _set_state(hist, base, 1 - side, np.int64(ESTABLISHED))


@inline
def _sequence(hist, base, side, flags, seq, length):
    """Follow a side's sequence space; True when the segment brings nothing new."""
    mine = _state(hist, base, side)
    span = length + (1 if flags & SYN_ else 0) + (1 if flags & FIN_ else 0)
    end = (np.uint64(seq) + np.uint64(span)) & LOW32
    first = _half(hist, base + H_FIRST, side)
    if mine == INACTIVE or (flags & SYN_ and first != np.uint64(seq)):
        start = np.uint64(seq) if flags & SYN_ else (np.uint64(seq) - np.uint64(1)) & LOW32
        if not flags & SYN_ and length == 0:
            end = np.uint64(seq)
        _put_half(hist, base + H_FIRST, side, start)
        _put_half(hist, base + H_ACKED, side, start)
        _put_half(hist, base + H_LAST, side, end)
        return False
    last = _half(hist, base + H_LAST, side)
    ahead = np.int64((end - last) & LOW32)
    if ahead >= 0x80000000:
        ahead -= 0x100000000
    if (flags & (SYN_ | RST_)) and (ahead > 1_048_576 or ahead < -1_048_576):
        return False
    if mine == RESET:
        return False
    if ahead > 0:
        gap = np.int64((np.uint64(seq) - last) & LOW32)
        if 0 < gap < 0x80000000 and length > 0 and not flags & SYN_:
            holes = np.int64(_half(hist, base + H_HOLES, side))
            _put_half(hist, base + H_HOLES, side, holes + gap)
        _put_half(hist, base + H_LAST, side, end)
        return False
    if length > 0:
        holes = np.int64(_half(hist, base + H_HOLES, side))
        if holes > 0:
            _put_half(hist, base + H_HOLES, side, max(holes - length, 0))
        return True
    return False


@inline
def _acknowledge(hist, base, side, flags, ack):
    """An acknowledgement by ``side``: what of the other side's bytes it covers, seen or not."""
    other = 1 - side
    if not flags & ACK_:
        return
    if _state(hist, base, other) == INACTIVE:
        if not flags & (SYN_ | FIN_ | RST_):
            start = (np.uint64(ack) - np.uint64(1)) & LOW32
            _put_half(hist, base + H_FIRST, other, start)
            _put_half(hist, base + H_ACKED, other, start)
            _put_half(hist, base + H_LAST, other, start)
        return
    known = _half(hist, base + H_ACKED, other)
    ahead = np.int64((np.uint64(ack) - known) & LOW32)
    if not 0 < ahead < 0x80000000:
        return
    _put_half(hist, base + H_ACKED, other, ack)
    last = _half(hist, base + H_LAST, other)
    unseen = np.int64((np.uint64(ack) - last) & LOW32)
    missed = np.int64(_half(hist, base + H_HOLES, other))
    if 1 < unseen < 0x40000000:
        missed += unseen
        _put_half(hist, base + H_LAST, other, ack)
    if missed > 0:
        _put_half(hist, base + H_HOLES, other, np.int64(0))
        _put_half(hist, base + H_MISSED, other, np.int64(_half(hist, base + H_MISSED, other)) + missed)
        scaled(hist, base, np.int64(H_RARE), np.int64(2 + other), other, np.int64(71))


@inline
def segment(hist, base, side, flags, seq, ack, window, length, ts):
    """One TCP segment of a connection."""
    both = get(hist, base + H_FLAGS) & np.uint64(3) == np.uint64(3)
    if flags & SYN_ and flags & (FIN_ | RST_):
        _once(hist, base, side, np.int64(SEEN_MULTI), np.int64(81))
    elif flags & FIN_ and flags & RST_:
        _once(hist, base, side, np.int64(SEEN_INCONSISTENT), np.int64(73))
    elif flags & SYN_:
        if flags & ACK_:
            _noted(hist, base, side, np.int64(SEEN_SYNACK), np.int64(H_SYN), seq, np.int64(72))
        else:
            _noted(hist, base, side, np.int64(SEEN_SYN), np.int64(H_SYN), seq, np.int64(83))
    known = _sequence(hist, base, side, flags, seq, length)
    _acknowledge(hist, base, side, flags, ack)
    if length > 0 and known:
        scaled(hist, base, np.int64(H_OFTEN), np.int64(side), side, np.int64(84))
    elif length > 0 and not flags & SYN_:
        _once(hist, base, side, np.int64(SEEN_DATA), np.int64(68))
    elif flags & ACK_ and not flags & (SYN_ | FIN_ | RST_):
        _once(hist, base, side, np.int64(SEEN_ACK), np.int64(65))
    if flags & FIN_ and not flags & (SYN_ | RST_):
        _noted(hist, base, side, np.int64(SEEN_FIN), np.int64(H_FIN), (seq + length) & 0xFFFFFFFF, np.int64(70))
        put(hist, base + H_FLAGS, get(hist, base + H_FLAGS) | np.uint64(FLAG_FIN << side))
    if flags & RST_ and not flags & (SYN_ | FIN_):
        _noted(hist, base, side, np.int64(SEEN_RST), np.int64(H_RST), seq, np.int64(82))
    if window == 0 and not flags & (RST_ | SYN_):
        scaled(hist, base, np.int64(H_OFTEN), np.int64(2 + side), side, np.int64(87))
    _next(hist, base, side, flags, length)
    if (not both or (length > 0 and not known)) and np.uint64(ts) > get(hist, base + H_TIME):
        put(hist, base + H_TIME, np.uint64(ts))


@inline
def datagram(hist, base, side, proto, ts):
    """One packet of a connection that is not TCP."""
    if proto == 17:
        _once(hist, base, side, np.int64(SEEN_DATA), np.int64(68))
    if np.uint64(ts) > get(hist, base + H_TIME):
        put(hist, base + H_TIME, np.uint64(ts))
