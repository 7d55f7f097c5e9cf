"""Ranges of files that come in pieces (RFC 9110, section 14), over transactions and flows: when is one whole?

Only what is needed for that is kept: which bytes came, not the bytes. Over flows this knows those of one worker alone.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

FILES_MAX: Final = 1_024  # ours: files under way; the oldest is forgotten
RANGES_MAX: Final = 1_024  # ours: of one file that do not touch; a file in more pieces is forgotten

Key = tuple[str, str, int]


class Ranges:
    """The files that are under way."""

    def __init__(self) -> None:
        self._files: dict[Key, list[tuple[int, int]]] = {}

    def add(self, key: Key, start: int, size: int) -> bool:
        """So many bytes from ``start`` came of that file, whose size ends its key; True: with them it is whole."""
        total = key[2]
        if size <= 0 or start + size > total:
            return False
        held = self._files.get(key)
        if held is None:
            if len(self._files) >= FILES_MAX:
                del self._files[next(iter(self._files))]
            held = self._files[key] = []
        insort(held, (start, start + size))
        merged = [held[0]]
        for begin, end in held[1:]:
            if begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        if merged == [(0, total)] or len(merged) > RANGES_MAX:
            del self._files[key]
            return len(merged) == 1
        self._files[key] = merged
        return False
