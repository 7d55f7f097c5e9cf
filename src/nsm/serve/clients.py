"""One open page as the server sees it: how much it may be sent, and what it asked for.

Socket.IO keeps what a client does not read, without a limit. So a page acknowledges every tick, and has at most
``UNACKED_MAX`` unacknowledged ones; what does not fit is skipped and counted, never queued (ux.md 4.3).
"""

from __future__ import annotations

from typing import Final

from nsm.serve.sample import Sample

UNACKED_MAX: Final = 2
SLOW_S: Final = 15.0  # without an acknowledgement for so long: no rows, ticks every HIDDEN_S
GONE_S: Final = 60.0  # so long: disconnected
HIDDEN_S: Final = 5.0
ALERTS_PER_SECOND_MAX: Final = 5
SEED_ROWS_PER_SECOND_MAX: Final = 20
BACKLOG_MAX: Final = 64  # ours: messages waiting for a client that has no acknowledgements, 3 s of a seed client


class Client:
    """State of one connection. ``proto2``: it is our page and acknowledges; else a seed client."""

    def __init__(self, sid: str, token: str, name: str, role: str, now: float, *, proto2: bool) -> None:
        self.sid, self.token, self.name, self.role, self.proto2 = sid, token, name, role, proto2
        self.sample: Sample | None = None
        self.hidden = False
        self.skipped = 0
        self.capture_due = False
        self._unacked: list[tuple[int, float]] = []
        self._slow_until = 0.0
        self._tick_at = now - HIDDEN_S
        self._second = 0
        self._spent = 0

    def ack(self, seq: int, now: float) -> None:
        """The page has applied everything up to that tick."""
        if self._unacked and now - self._unacked[0][1] > SLOW_S:
            self._slow_until = now + 2 * SLOW_S
        self._unacked = [item for item in self._unacked if item[0] > seq]

    def is_slow(self, now: float) -> bool:
        """True for a page that lately took more than ``SLOW_S`` to acknowledge: it gets no rows."""
        return now < self._slow_until or bool(self._unacked and now - self._unacked[0][1] > SLOW_S)

    def is_gone(self, now: float) -> bool:
        """True for a page that has not acknowledged for ``GONE_S``."""
        return bool(self._unacked) and now - self._unacked[0][1] > GONE_S

    def wants_rows(self, now: float) -> bool:
        """True when live rows belong into its next frame."""
        return self.sample is not None and not self.hidden and not self.is_slow(now)

    def may_send(self) -> bool:
        """True when it has acknowledged enough for one more frame."""
        return len(self._unacked) < UNACKED_MAX

    def take_tick(self, seq: int, now: float) -> bool:
        """True when the tick is to be sent: it then counts as unacknowledged; else it is counted as skipped."""
        if (self.hidden or self.is_slow(now)) and now - self._tick_at < HIDDEN_S - 0.5:
            return False  # asked for fewer: not skipped
        if not self.may_send():
            self.skipped += 1
            return False
        self._unacked.append((seq, now))
        self._tick_at = now
        return True

    def take_one(self, most: int, now: float) -> bool:
        """True for the first ``most`` of a second: alerts of a page, rows of a seed client."""
        if int(now) != self._second:
            self._second, self._spent = int(now), 0
        self._spent += 1
        return self._spent <= most
