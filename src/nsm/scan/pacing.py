"""How fast probes may go: a timer, a window, a rate. Pure: time is passed in, in seconds of any one clock.

The timer is RFC 6298 (smoothed round trip plus four deviations). The window is that of TCP (RFC 5681: slow start,
then one more a window, halved on loss), with two differences. Only *proven* loss counts: a probe whose later try
was answered. An answer that never comes at all says nothing about the path, since firewalls do the same. And the
window never falls below what a home router carries, since the probes are 60 bytes each.
"""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_START: Final = 64  # ours, measured: a LAN is full at once, and a slow line loses nothing that matters
WINDOW_MIN: Final = 50  # ours: with less, 5 % loss alone decides the speed
WINDOW_MAX: Final = 2_000  # ours: answers to more overrun the default socket buffers of hosts
TRIES_MAX: Final = 10  # ours: at 50 % loss one port in a thousand is still missed
TRIES_BEYOND: Final = 2  # ours: tries beyond the highest that ever helped
FIRST_WAVE: Final = 6  # what Linux tells of at once, whatever its limit
CLOSED_START: Final = 10.0  # ours: probes a second after the first message about a closed port
CLOSED_MAX: Final = 500.0  # half of what Linux sends of all ICMP together (icmp_msgs_per_sec)
CLOSED_MEMORY: Final = 32  # ours: messages after which older ones count half
PATH_LOSS_MAX: Final = 0.25  # ours: what is lost beyond that was never sent
BURST_S: Final = 0.01  # ours: a rate is kept over any 10 ms


class Timer:
    """The retransmission time-out of one path (RFC 6298, section 2)."""

    __slots__ = ("_max", "_min", "_spread", "_variance", "rto", "srtt")

    def __init__(self, first: float, least: float, most: float, spread: float = 1.0) -> None:
        """Bounds in seconds; ``spread``: the time-out is at least so many round trips."""
        self._min, self._max, self._spread = least, most, spread
        self.srtt = self._variance = 0.0
        self.rto = first

    def sample(self, rtt: float) -> None:
        """Take one measured round trip (s)."""
        if self.srtt == 0.0:
            self.srtt, self._variance = rtt, rtt / 2
        else:
            self._variance += (abs(self.srtt - rtt) - self._variance) / 4
            self.srtt += (rtt - self.srtt) / 8
        wanted = max(self.srtt + 4 * self._variance, self._spread * self.srtt)
        self.rto = min(max(wanted, self._min), self._max)


class Window:
    """How many probes may be under way (RFC 5681, section 3.1, counted in probes)."""

    __slots__ = ("_halved", "_threshold", "size")

    def __init__(self, start: float = WINDOW_START) -> None:
        self.size = float(start)
        self._threshold = float(WINDOW_MAX)
        self._halved = float("-inf")

    def on_answer(self) -> None:
        """One probe was answered."""
        size = self.size
        if size < self._threshold:
            self.size = size + 1
        elif size < WINDOW_MAX:
            self.size = size + 1 / size

    def on_loss(self, now: float, rtt: float) -> None:
        """A probe was lost for certain: half the window, once a round trip (s)."""
        if now - self._halved < rtt:
            return
        self._halved = now
        self.size = self._threshold = max(self.size / 2, WINDOW_MIN)


class Bucket:
    """A rate in probes a second; 0 is no limit. Tokens come with time and are kept for ``BURST_S`` at most."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._tokens = 1.0
        self._at = float("-inf")

    def room(self, now: float) -> int:
        """Probes that may go now."""
        if not self.rate:
            return WINDOW_MAX
        most = max(1.0, self.rate * BURST_S)
        self._tokens = most if self._at == float("-inf") else min(most, self._tokens + (now - self._at) * self.rate)
        self._at = now
        return int(self._tokens + 1e-9)  # a sum of floats may stop just short of the whole probe

    def take(self, probes: int) -> None:
        """So many were sent."""
        if self.rate:
            self._tokens -= probes

    def wait(self) -> float:
        """Seconds from the last ``room`` until one more may go."""
        return max(0.0, (1.0 - self._tokens) / self.rate) if self.rate else 0.0


class Tries:
    """How often a silent port is asked: two more than the highest try that was ever answered."""

    __slots__ = ("limit",)

    def __init__(self, least: int = 3) -> None:
        self.limit = min(least, TRIES_MAX)

    def on_answer(self, attempt: int) -> None:
        """The try of that number (from 1) was answered."""
        if attempt > 1 and attempt + TRIES_BEYOND > self.limit:
            self.limit = min(attempt + TRIES_BEYOND, TRIES_MAX)


class Thinning:
    """The rate of one host that limits its ICMP (RFC 1812, section 4.3.2.8; Linux: 6 at once, then 1 a second).

    Closed UDP ports are known by these messages alone, so the probes must not come faster than they do. The first
    wave is what every host answers. Then each answer to a first try doubles the rate, until more is lost than a bad
    path loses; from there on it grows a little with each. When what was sent since it last fell is lost, it falls to
    half, or to what came in the last second.
    """

    __slots__ = ("_answered", "_cut_at", "_lost", "_starting", "_told", "fresh", "rate")

    def __init__(self) -> None:
        self.rate = 0.0  # no limit until the host has told of a closed port
        self.fresh = True  # nothing is known yet: FIRST_WAVE probes may be under way
        self._starting = True
        self._answered = self._lost = 0.0
        self._cut_at = float("-inf")
        self._told: deque[float] = deque(maxlen=int(CLOSED_MAX))  # when, in the last second

    def on_answer(self, attempt: int, lost_at: float, now: float) -> None:
        """A closed port was told of, at that try (from 1); the try before it was sent at ``lost_at``."""
        if self._answered + self._lost > CLOSED_MEMORY:
            self._answered, self._lost = self._answered / 2, self._lost / 2
        self._answered += 1
        self._lost += attempt - 1
        told = self._told
        told.append(now)
        while told[0] < now - 1.0:
            told.popleft()
        if not self.rate:
            self.rate = CLOSED_START
        elif attempt == 1:
            self.rate = min(self.rate * (2 if self._starting else 1.25), CLOSED_MAX)
        elif lost_at > self._cut_at and self._lost > PATH_LOSS_MAX * (self._answered + self._lost):
            self.rate = max(min(self.rate / 2, len(self._told)), 1.0)
            self._starting, self._cut_at = False, now
