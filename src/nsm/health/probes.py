"""What probes of one target say: loss, late answers, latency, jitter. Pure: times come with the calls.

Definitions. A probe is *answered* when its answer comes within the time-out, *late* when it comes afterwards, *lost*
when it has not come although the time-out is over; before, it counts nowhere. Loss is lost by (answered + late + lost).
Latency is of the answered ones; percentiles are values that occurred (nearest rank). Jitter is RFC 3550, section 6.4.1,
``J += (|D| - J) / 16`` with D the difference of successive round trips, over answers in the order in which they came.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

WINDOW_S: Final = 60.0
LONG_S: Final = 900.0
BURST: Final = 4  # probes in a second after loss, 250 ms apart, so that a short loss is measured well
PROBES_MAX: Final = int(LONG_S) * BURST  # in the longest window
NUMBERS: Final = 0x10000  # of the ICMP field: probes of the window have numbers of their own


class Window(msgspec.Struct, frozen=True):
    """One window of time. ``sent`` counts what is decided; times in ms are None without an answer in time."""

    sent: int
    lost: int
    late: int
    p50_ms: float | None
    p95_ms: float | None
    max_ms: float | None

    @property
    def loss(self) -> float | None:
        """0 to 1; None before anything is decided."""
        return self.lost / self.sent if self.sent else None


class Probe:
    """One question. ``rtt_s`` None: no answer yet."""

    __slots__ = ("number", "rtt_s", "sent_s")

    def __init__(self, number: int, sent_s: float) -> None:
        self.number, self.sent_s = number, sent_s
        self.rtt_s: float | None = None


class Probes:
    """The probes of one target over the last 15 minutes; bounded by PROBES_MAX, the oldest leave."""

    def __init__(self, timeout_s: float = 1.0) -> None:
        self._timeout_s = timeout_s
        self._probes: deque[Probe] = deque()
        self._open: dict[int, Probe] = {}
        self._before_s: float | None = None
        self.jitter_s: float | None = None
        self.duplicates = 0
        self._next = 0

    def ask(self, now_s: float) -> int:
        """The number of a probe that is sent now."""
        number = self._next
        self._next = (number + 1) % NUMBERS
        probe = Probe(number, now_s)
        self._probes.append(probe)
        self._open[number] = probe
        while len(self._probes) > PROBES_MAX or self._probes[0].sent_s < now_s - LONG_S - self._timeout_s:
            gone = self._probes.popleft()
            if self._open.get(gone.number) is gone:
                del self._open[gone.number]
        return number

    def answer(self, number: int, now_s: float) -> bool:
        """Note an answer; False for one to no known probe, or a second one."""
        probe = self._open.pop(number, None)
        if probe is None:
            self.duplicates += 1
            return False
        rtt = max(0.0, now_s - probe.sent_s)
        probe.rtt_s = rtt
        if self._before_s is not None:
            self.jitter_s = jittered(self.jitter_s or 0.0, self._before_s, rtt)
        self._before_s = rtt
        return True

    def window(self, now_s: float, span_s: float = WINDOW_S) -> Window:
        """The figures of the probes that were sent in the last ``span_s``."""
        times: list[float] = []
        lost = late = 0
        for probe in reversed(self._probes):
            if probe.sent_s < now_s - span_s:
                break
            if probe.rtt_s is None:
                lost += now_s - probe.sent_s >= self._timeout_s
            elif probe.rtt_s >= self._timeout_s:
                late += 1
            else:
                times.append(probe.rtt_s * 1_000)
        times.sort()
        top = times[-1] if times else None
        return Window(len(times) + late + lost, lost, late, percentile(times, 0.5), percentile(times, 0.95), top)

    def spacing_s(self, now_s: float) -> float:
        """Seconds between probes now: shorter while the last minute had loss."""
        return 1.0 / BURST if self.window(now_s).lost else 1.0


def jittered(jitter_s: float, before_s: float, rtt_s: float) -> float:
    """The next value of the jitter (RFC 3550, section 6.4.1)."""
    return jitter_s + (abs(rtt_s - before_s) - jitter_s) / 16


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of values in order; None when there are none."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
