"""Bytes of a TCP stream that were not seen yet: what history.py remembers of them, where its words say.

A few holes of a side are remembered one by one. When there are more, the rest is a number of bytes between two places.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.jit import get, inline, put

H_LAST, H_HOLES, H_LUMP, H_LUMPED = 9, 20, 28, 30
HOLES: Final = 4  # of a side, remembered one by one
LOW32 = np.uint64(0xFFFFFFFF)


@inline
def half(hist, at, side):
    """One 32-bit half of a word."""
    return (get(hist, at) >> np.uint64(32 * side)) & LOW32


@inline
def put_half(hist, at, side, value):
    """Write one 32-bit half of a word."""
    shift = np.uint64(32 * side)
    put(hist, at, (get(hist, at) & ~(LOW32 << shift)) | (np.uint64(value) & LOW32) << shift)


@inline
def sent(hist, base, side):
    """The place behind the last byte of a side."""
    return np.int64(get(hist, base + H_LAST + side))


@inline
def hole(hist, base, side, at):
    """(first place, place behind) of the hole in a word; all of them lie below the last byte."""
    word, last = get(hist, at), sent(hist, base, side)
    first = last - ((last - np.int64(word & LOW32)) & 0xFFFFFFFF)
    return first, first + np.int64(word >> np.uint64(32))


@inline
def put_hole(hist, at, first, behind):
    """Write a hole to a word."""
    put(hist, at, np.uint64(first & 0xFFFFFFFF) | np.uint64(behind - first) << np.uint64(32))


@inline
def open_hole(hist, base, side, first, behind):
    """Remember bytes that were not seen; those that find no room of their own as a number of bytes between two places."""
    at = base + H_HOLES + side * HOLES
    for n in range(HOLES):
        if get(hist, at + n) == 0:
            put_hole(hist, at + n, first, behind)
            return
    lumped = np.int64(half(hist, base + H_LUMPED, side))
    put_half(hist, base + H_LUMPED, side, min(lumped + behind - first, np.int64(0xFFFFFFFF)))
    if lumped > 0:
        low, high = hole(hist, base, side, base + H_LUMP + side)
        first, behind = min(low, first), max(high, behind)
    put_hole(hist, base + H_LUMP + side, first, behind)


@inline
def fill(hist, base, side, start, stop):
    """Payload came: what it brings of the holes is seen."""
    for n in range(HOLES):
        at = base + H_HOLES + side * HOLES + n
        if get(hist, at) == 0:
            continue
        first, behind = hole(hist, base, side, at)
        if stop <= first or behind <= start:
            continue
        put(hist, at, np.uint64(0))
        if first < start:
            open_hole(hist, base, side, first, start)
        if stop < behind:
            open_hole(hist, base, side, stop, behind)
    lumped = np.int64(half(hist, base + H_LUMPED, side))
    if lumped > 0:
        first, behind = hole(hist, base, side, base + H_LUMP + side)
        shared = min(stop, behind) - max(start, first)
        if shared > 0:
            put_half(hist, base + H_LUMPED, side, max(lumped - shared, np.int64(0)))


@inline
def forget(hist, base, side):
    """A side without holes."""
    put_half(hist, base + H_LUMPED, side, np.int64(0))
    for n in range(HOLES):
        put(hist, base + H_HOLES + side * HOLES + n, np.uint64(0))
