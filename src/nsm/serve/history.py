"""The last quarter of an hour, second by second: what a page needs to draw its charts at once, or to fill a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nsm.serve.backend import SERIES

SECONDS_MAX: Final = 900  # ux.md 4.3: the chart's 15 minutes, and the largest gap that is filled

Number = float | int | None


class Tick(msgspec.Struct, frozen=True):
    """One second as it was sent."""

    seq: int
    ts: int
    values: tuple[Number, ...]


class History:
    """The newest ticks, at most ``SECONDS_MAX``; the oldest leave."""

    def __init__(self) -> None:
        self._ticks: deque[Tick] = deque(maxlen=SECONDS_MAX)

    def add(self, tick: Tick) -> None:
        """Append the tick of a later second."""
        self._ticks.append(tick)

    def prefill(self, start_s: int, seconds: Mapping[str, list[Number]]) -> None:
        """Seconds from before this process began, by name, with sequence numbers up to 0; not after ticks came."""
        if self._ticks or not seconds:
            return
        length = max(len(values) for values in seconds.values())
        columns = [list(seconds.get(name, ())) for name in SERIES]
        for index in range(max(0, length - SECONDS_MAX), length):
            values = tuple(column[index] if index < len(column) else None for column in columns)
            self.add(Tick(index - length + 1, start_s + index, values))

    def since(self, seq: int) -> dict[str, Any] | None:
        """Ticks after ``seq`` as {from, to, ts, cols}; None when the oldest of them has left already."""
        if not self._ticks or seq < self._ticks[0].seq - 1 or seq > self._ticks[-1].seq:
            return None
        return self._columns([tick for tick in self._ticks if tick.seq > seq])

    def all(self) -> dict[str, Any]:
        """All ticks as {from, to, ts, cols, names}."""
        return {"names": SERIES, **self._columns(list(self._ticks))}

    def _columns(self, ticks: list[Tick]) -> dict[str, Any]:
        return {
            "from": ticks[0].seq if ticks else 0,
            "to": ticks[-1].seq if ticks else 0,
            "ts": [tick.ts for tick in ticks],
            "cols": [[tick.values[i] for tick in ticks] for i in range(len(SERIES))],
        }


def values_of(numbers: Mapping[str, Any]) -> tuple[Number, ...]:
    """The numbers of a second in the order of ``SERIES``; None where one is missing or no number."""
    return tuple(
        value if isinstance(value := numbers.get(name), int | float) and not isinstance(value, bool) else None
        for name in SERIES
    )
