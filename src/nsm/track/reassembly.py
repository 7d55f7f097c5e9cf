"""Reassembly: a direction of a TCP stream whose segments are not in order. RFC 9293, section 3.10.7.4.

Where segments overlap, the bytes that came first are kept (the policy that Suricata calls "windows" or "bsd" for most cases), and
different bytes at one place are said. A hole is given up when the receiver acknowledged what lies behind it (it has the bytes, we
do not), or when too much waits behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

HELD_BYTES_MAX: Final = 262_144  # of one direction; ours: a window of 64 KB scaled by four, more is a lost segment
HELD_SEGMENTS_MAX: Final = 256


def near(number: int) -> int:
    """A difference of sequence numbers as a signed distance."""
    low = number & 0xFFFFFFFF
    return low - 0x100000000 if low >= 0x80000000 else low


class Reassembly:
    """Positions count from where it began and do not wrap. ``held`` are (position, bytes) that do not overlap, in order.

    ``acked``: nothing is handed on before its receiver acknowledged it.
    """

    __slots__ = ("_acked", "_first", "_held", "_patient", "conflicts", "held_bytes", "place")

    def __init__(self, expected: int, acked: bool = False) -> None:
        self._first = expected
        self._patient = acked
        self.place = 0
        self._held: list[tuple[int, bytes]] = []
        self._acked = -1
        self.held_bytes = 0
        self.conflicts = 0

    @property
    def expected(self) -> int:
        """The sequence number that comes next."""
        return (self._first + self.place) & 0xFFFFFFFF

    @property
    def whole(self) -> bool:
        """Does nothing wait?"""
        return not self._held

    @property
    def over(self) -> bool:
        """Was one more acknowledged than there were bytes? That is the end of the stream (RFC 9293, section 3.6)."""
        return not self._held and self._acked == self.place + 1

    def _position(self, seq: int) -> int:
        return self.place + near(seq - self._first - self.place)

    def segment(self, seq: int, data: bytes, length: int) -> Iterator[bytes | int]:
        """Take a segment of ``length`` bytes, of which ``data`` was captured; what is in order now: bytes, or a gap's size."""
        at = self._position(seq)
        if data:
            self._keep(at, data)
        yield from self._ready()
        if length > len(data) and at + len(data) == self.place:  # cut by the snaplen
            self.place += length - len(data)
            yield length - len(data)

    def acknowledged(self, ack: int) -> Iterator[bytes | int]:
        """The receiver has everything below ``ack``."""
        self._acked = max(self._acked, self._position(ack))
        yield from self._ready()

    def flush(self) -> Iterator[bytes | int]:
        """Nothing more comes: what waits, with the gaps before it."""
        while self._held:
            yield from self._jump()

    def _keep(self, at: int, data: bytes) -> None:
        """Put a segment among the others: only what is new of it."""
        end = at + len(data)
        if at < self.place:
            data = data[self.place - at :]
            at = self.place
        kept: list[tuple[int, bytes]] = []
        for start, piece in self._held:
            if start >= end:
                break
            stop = start + len(piece)
            if stop <= at:
                continue
            if at < start:
                kept.append((at, data[: start - at]))
                data, at = data[start - at :], start
            shared = min(stop, end) - at
            if data[:shared] != piece[at - start : at - start + shared]:
                self.conflicts += 1
            data, at = data[shared:], at + shared
        if at < end:
            kept.append((at, data))
        if kept:
            self._held.extend(kept)
            self._held.sort()
            self.held_bytes += sum(len(piece) for _, piece in kept)

    def _ready(self) -> Iterator[bytes | int]:
        while self._held:
            start, piece = self._held[0]
            if self._patient and self._acked < start + len(piece) and self.held_bytes <= HELD_BYTES_MAX:
                seen = self._acked - start
                if seen <= 0:
                    return
                self._held[0:1] = [(start, piece[:seen]), (start + seen, piece[seen:])]
            elif start == self.place:
                del self._held[0]
                self.held_bytes -= len(piece)
                self.place += len(piece)
                yield piece
            elif self._acked >= start or self.held_bytes > HELD_BYTES_MAX or len(self._held) > HELD_SEGMENTS_MAX:
                yield from self._jump()
            else:
                return

    def _jump(self) -> Iterator[bytes | int]:
        start, piece = self._held.pop(0)
        self.held_bytes -= len(piece)
        if start > self.place:
            yield start - self.place
        self.place = start + len(piece)
        yield piece
