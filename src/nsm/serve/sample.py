"""A fair sample of the rows of one second, for one page: everything when there is little, else evenly drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from nsm.serve.backend import Message

COLUMNS: Final = (
    "ts", "event_type", "severity", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "details", "flow_id",
    "alert_id",
)  # fmt: skip
TEXT_CHARS_MAX: Final = 512  # ours: longer texts are cut in live rows; the store has the whole
LOUD: Final = ("medium", "high", "critical")

Keep = Callable[[Message], bool]


class Sample:
    """Rows of the current second that one page asked for; a reservoir (algorithm R) of ``most``.

    Rows of medium severity or worse are kept beside it, up to ``loud_most``; above that they take their
    chance in the reservoir like all others.
    """

    def __init__(self, keep: Keep, most: int, loud_most: int, chance: random.Random) -> None:
        self._keep, self._most, self._loud_most, self._chance = keep, most, loud_most, chance
        self._clear()

    def _clear(self) -> None:
        self._quiet: list[Message] = []
        self._loud: list[Message] = []
        self._matched = self._drawn = 0
        self._weight = 1.0

    def add(self, rows: list[Message], seen: int) -> None:
        """Take in rows; ``seen`` counts also those that were not sent to us."""
        if rows:
            self._weight = max(self._weight, seen / len(rows))
        for row in rows:
            if not self._keep(row):
                continue
            self._matched += 1
            if row.get("severity") in LOUD and len(self._loud) < self._loud_most:
                self._loud.append(row)
                continue
            self._drawn += 1
            if len(self._quiet) < self._most:
                self._quiet.append(row)
            elif (place := self._chance.randrange(self._drawn)) < self._most:
                self._quiet[place] = row

    def take(self, seq: int) -> dict[str, Any] | None:
        """The frame ``new_log`` of this second, oldest row first, and begin the next; None when nothing matched."""
        rows = sorted(self._loud + self._quiet, key=lambda row: row.get("ts") or 0)
        seen, weight = self._matched, self._weight
        self._clear()
        if not rows:
            return None
        seen = round(seen * weight)
        rule = "all" if seen <= len(rows) else "sample"
        return {"seq": seq, "seen": seen, "shown": len(rows), "rule": rule, "cols": COLUMNS,
                "rows": [row_array(row) for row in rows]}  # fmt: skip


def row_array(row: Message) -> list[Any]:
    """A row in the order of ``COLUMNS``, long texts cut with an ellipsis."""
    return [_cut(row.get(name)) for name in COLUMNS]


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return value[: TEXT_CHARS_MAX - 1] + "…"
    return value
