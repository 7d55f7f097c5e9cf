"""When a figure becomes an alert and when it is over: slowly enough that a figure at the limit does not flap.

Raised when 3 of the last 5 minutes are above the limit; over after 5 minutes in a row below 60 % of it, and never
before 5 minutes have passed. Three raises within an hour are flapping: one alert that counts, and that it is over is
told only when it has stayed away for so long that fewer than three are left within the hour.
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


class Over(msgspec.Struct, frozen=True):
    """It is an alert no more."""


class Raises:
    """When something was raised, and whether a person who was told so was told that it is over."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=64)
        self.open = False

    def add(self, now_s: float) -> Raised:
        """It is raised now."""
        self._at.append(now_s)
        self.open = True
        count = self._within(now_s)
        return Raised(count, count >= FLAPPING)

    def calm(self, now_s: float) -> Over | None:
        """It is not raised now: is it over?"""
        if not self.open or self._within(now_s) >= FLAPPING:
            return None
        self.open = False
        return Over()

    def _within(self, now_s: float) -> int:
        return sum(at > now_s - FLAPPING_S for at in self._at)


class Hysteresis:
    """One figure, a value a minute."""

    def __init__(self) -> None:
        self._over: deque[bool] = deque(maxlen=LOOKED_AT)
        self._calm = 0
        self._raised_s: float | None = None
        self._raises = Raises()

    @property
    def raised(self) -> bool:
        """Is it an alert that is not over?"""
        return self._raises.open

    def resume(self, now_s: float) -> None:
        """It was an alert when an earlier process ended: it is over as any other."""
        self._raised_s, self._raises.open = now_s, True

    def minute(self, now_s: float, value: float | None, limit: float) -> Raised | Over | None:
        """Take the value of a minute (None: not known, it says nothing); what became of it, if anything did."""
        if value is None:
            return None
        self._over.append(value > limit)
        self._calm = self._calm + 1 if value < limit * CLEAR_SHARE else 0
        if self._raised_s is not None:
            if self._calm < LOOKED_AT or now_s - self._raised_s < HOLD_S:
                return None
            self._raised_s = None
            self._over.clear()
        if sum(self._over) < OVER_MIN:
            return self._raises.calm(now_s)
        self._raised_s = now_s
        return self._raises.add(now_s)


class Down:
    """Something that is up or not: down is told at once, and over after 30 s up."""

    def __init__(self) -> None:
        self._up_since_s: float | None = None
        self._raises = Raises()
        self._seen_up = self._down = False

    @property
    def raised(self) -> bool:
        """Is it an alert that is not over?"""
        return self._raises.open

    def resume(self) -> None:
        """It was an alert when an earlier process ended: it is over as any other."""
        self._seen_up = self._down = self._raises.open = True

    def look(self, now_s: float, up: bool) -> Raised | Over | None:
        """Take the state now; an interface that never was up is not told."""
        if up:
            self._seen_up = True
            self._up_since_s = now_s if self._up_since_s is None else self._up_since_s
            self._down = self._down and now_s - self._up_since_s < UP_AGAIN_S
            return None if self._down else self._raises.calm(now_s)
        self._up_since_s = None
        if self._down or not self._seen_up:
            return None
        self._down = True
        return self._raises.add(now_s)


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
