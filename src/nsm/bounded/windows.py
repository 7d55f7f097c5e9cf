"""How many distinct things were seen in the last so many seconds, for several spans at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

SECOND_US: Final = 1_000_000


class DistinctWindows:
    """Distinct items with the time each was last seen; counts for the spans it was made with.

    At most ``items_max`` items are kept, the longest unseen leaves. ``seen`` costs one dictionary operation and, when
    an item is new, one comparison for each span; counts are exact while items are fewer than ``items_max``.
    """

    __slots__ = ("_items", "_items_max", "first_us", "last_us", "total")

    def __init__(self, items_max: int) -> None:
        self._items: dict[Hashable, int] = {}
        self._items_max = items_max
        self.first_us = 0
        self.last_us = 0
        self.total = 0

    def add(self, item: Hashable, now_us: int) -> bool:
        """Note an item; True when it was not there."""
        if not self._items:
            self.first_us = now_us
        self.last_us = max(self.last_us, now_us)
        known = self._items.pop(item, None)
        self._items[item] = max(now_us, known or 0)
        if known is None:
            self.total += 1
            if len(self._items) > self._items_max:
                del self._items[next(iter(self._items))]
        return known is None

    def __len__(self) -> int:
        return len(self._items)

    def within(self, span_us: int, enough: int) -> int:
        """Items seen in the last ``span_us``, counted from the newest until ``enough`` are found."""
        since = self.last_us - span_us
        count = 0
        for seen in reversed(self._items.values()):
            if seen < since:
                break
            count += 1
            if count >= enough:
                break
        return count

    def discard(self, item: Hashable) -> None:
        """Take an item back."""
        if self._items.pop(item, None) is not None:
            self.total -= 1

    def items(self) -> Sequence[Hashable]:
        """The items, longest unseen first."""
        return list(self._items)


class Ladder:
    """Thresholds for several spans, raised to the double each time one is reached: one alert at N, then at 2N, 4N, ..."""

    def __init__(self, steps: Sequence[tuple[float, int]]) -> None:
        self._steps = tuple((int(span_s * SECOND_US), threshold) for span_s, threshold in steps)
        self.lowest = min(threshold for _, threshold in self._steps)

    def reached(self, windows: DistinctWindows, level: int) -> tuple[float, int, int] | None:
        """(span in seconds, threshold, measured) of the first step whose threshold times ``level`` is reached."""
        have = len(windows)
        for span_us, threshold in self._steps:
            need = threshold * level
            if have >= need and windows.within(span_us, need) >= need:
                return span_us / SECOND_US, threshold, windows.within(span_us, have)
        return None

    def near(self, windows: DistinctWindows) -> tuple[float, int, int] | None:
        """As ``reached``, for a quarter of a threshold: worth keeping, so that other thresholds can be tried later."""
        for span_us, threshold in self._steps:
            quarter = max(2, threshold // 4)
            if len(windows) >= quarter and windows.within(span_us, quarter) >= quarter:
                return span_us / SECOND_US, threshold, quarter
        return None
