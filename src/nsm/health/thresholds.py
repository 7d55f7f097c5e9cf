"""When a figure becomes an alert and when it is over: slowly enough that a figure at the limit does not flap.

Raised when 3 of the last 5 minutes are above the limit; over after 5 minutes in a row below 60 % of it, and never
before 5 minutes have passed. Three raises within an hour are flapping: one alert that counts.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final

import msgspec

MINUTE_S: Final = 60.0
LOOKED_AT: Final = 5  # minutes
OVER_MIN: Final = 3
CLEAR_SHARE: Final = 0.6
HOLD_S: Final = 300.0
FLAPPING: Final = 3
FLAPPING_S: Final = 3_600.0
UP_AGAIN_S: Final = 30.0
MEDIAN_MINUTES: Final = 1_440
MEDIAN_MIN: Final = 10  # ours: with fewer minutes a target has no usual time yet


class Raised(msgspec.Struct, frozen=True):
    """It became an alert. ``count``: raises within the hour; ``flapping``: it comes and goes."""

    count: int
    flapping: bool


class Hysteresis:
    """One figure, a value a minute."""

    def __init__(self) -> None:
        self._over: deque[bool] = deque(maxlen=LOOKED_AT)
        self._calm = 0
        self._raised_s: float | None = None
        self._raises: deque[float] = deque(maxlen=64)

    @property
    def raised(self) -> bool:
        """Is it an alert now?"""
        return self._raised_s is not None

    def minute(self, now_s: float, value: float | None, limit: float) -> Raised | None:
        """Take the value of a minute (None: not known, it says nothing); what became of it if it became an alert."""
        if value is None:
            return None
        self._over.append(value > limit)
        self._calm = self._calm + 1 if value < limit * CLEAR_SHARE else 0
        if self._raised_s is not None:
            if self._calm >= LOOKED_AT and now_s - self._raised_s >= HOLD_S:
                self._raised_s = None
                self._over.clear()
            return None
        if sum(self._over) < OVER_MIN:
            return None
        self._raised_s = now_s
        return _raise(self._raises, now_s)


class Down:
    """Something that is up or not: down is told at once, and over after 30 s up."""

    def __init__(self) -> None:
        self._up_since_s: float | None = None
        self._raises: deque[float] = deque(maxlen=64)
        self._seen_up = False
        self.raised = False

    def look(self, now_s: float, up: bool) -> Raised | None:
        """Take the state now; an interface that never was up is not told."""
        if up:
            self._seen_up = True
            self._up_since_s = now_s if self._up_since_s is None else self._up_since_s
            if self.raised and now_s - self._up_since_s >= UP_AGAIN_S:
                self.raised = False
            return None
        self._up_since_s = None
        if self.raised or not self._seen_up:
            return None
        self.raised = True
        return _raise(self._raises, now_s)


class Usual:
    """What a target usually takes: the median of its minutes over a day."""

    def __init__(self) -> None:
        self._minutes: deque[float] = deque(maxlen=MEDIAN_MINUTES)

    def limit(self, value: float | None, least: float, factor: float) -> float:
        """The limit for this minute, from those before it; then remember it."""
        usual = median(self._minutes) if len(self._minutes) >= MEDIAN_MIN else 0.0
        if value is not None:
            self._minutes.append(value)
        return max(least, factor * usual)


def _raise(raises: deque[float], now_s: float) -> Raised:
    raises.append(now_s)
    count = sum(at > now_s - FLAPPING_S for at in raises)
    return Raised(count, count >= FLAPPING)
