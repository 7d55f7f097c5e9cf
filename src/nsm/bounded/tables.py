"""Dictionaries with a bound: one forgets the least recently used key, one refuses new keys."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LruDict(Generic[K, V]):
    """``table[key]`` makes missing values; beyond ``size`` the least recently used key leaves, counted in ``evicted``."""

    def __init__(self, size: int, make: Callable[[], V]) -> None:
        self._size, self._make = size, make
        self._values: OrderedDict[K, V] = OrderedDict()
        self.evicted = 0

    def __getitem__(self, key: K) -> V:
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = self._make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
                self.evicted += 1
        else:
            self._values.move_to_end(key)
        return value

    def get(self, key: K) -> V | None:
        """The value if the key is there; that is no use of it."""
        return self._values.get(key)

    def forget(self, key: K) -> None:
        """Take a key out, if it is there."""
        self._values.pop(key, None)

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class RefusingDict(Generic[K, V]):
    """``table.get(key)`` makes missing values until ``size``; then new keys get None, counted in ``refused``.

    For what an attacker can flood: a flood of new keys cannot push out what is being watched. Keys that were
    not touched for ``idle`` units of time make room, looked for at most once in ``idle / 8``.
    """

    def __init__(self, size: int, make: Callable[[], V], idle: int) -> None:
        self._size, self._make, self._idle = size, make, idle
        self._values: dict[K, V] = {}
        self._touched: dict[K, int] = {}
        self._swept = 0
        self.refused = 0

    def get(self, key: K, now: int) -> V | None:
        """The value of ``key``, made when missing; None when there is no room."""
        value = self._values.get(key)
        if value is None:
            if len(self._values) >= self._size:
                self._sweep(now)
            if len(self._values) >= self._size:
                self.refused += 1
                return None
            value = self._values[key] = self._make()
        self._touched[key] = now
        return value

    def peek(self, key: K) -> V | None:
        """The value if there is one."""
        return self._values.get(key)

    def _sweep(self, now: int) -> None:
        if now - self._swept < self._idle // 8 and self._swept:
            return
        self._swept = now
        for key in [key for key, touched in self._touched.items() if now - touched > self._idle]:
            del self._values[key], self._touched[key]

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)


class Tally(Generic[K]):
    """How often each key was counted lately: a count that begins anew after ``quiet`` units of time without one.

    Beyond ``size`` the least recently counted key leaves: it is a memory of good behaviour, and forgetting is safe.
    """

    def __init__(self, size: int, quiet: int) -> None:
        self._counts: LruDict[K, list[int]] = LruDict(size, lambda: [0, 0])
        self._quiet = quiet

    def add(self, key: K, now: int) -> None:
        """Count one."""
        entry = self._counts[key]
        entry[0] = entry[0] + 1 if now - entry[1] <= self._quiet else 1
        entry[1] = now

    def lately(self, key: K, now: int) -> int:
        """The count, 0 when the last was too long ago."""
        entry = self._counts.get(key)
        return entry[0] if entry is not None and now - entry[1] <= self._quiet else 0
