"""What could not be written for a while: told as a gap that goes on, and kept as one when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

AGAIN_S: Final = 1.0  # a gap that goes on is told at most so often

Gap = Callable[[float, float, str, str], None]
"""Called with start and end (seconds UTC), the part that failed, and what a person should know."""


class Outages:
    """Those that go on, by part. ``tell`` is for who looks on, ``keep`` for the store."""

    def __init__(self, tell: Gap, keep: Gap) -> None:
        self._tell, self._keep = tell, keep
        self._open: dict[str, tuple[float, float]] = {}  # since when, when it was told last

    def goes_on(self, part: str, what: str) -> None:
        """It began, or is not over yet."""
        now = time.time()
        since, told = self._open.get(part, (now, 0.0))
        if not told:
            log.warning("outage part=%s what=%s", part, what)
        if now - told >= AGAIN_S:
            told = now
            self._tell(since, now, part, what)
        self._open[part] = (since, told)

    def over(self, part: str, what: str) -> None:
        """It works (again)."""
        if part in self._open:
            since, _ = self._open.pop(part)
            now = time.time()
            log.warning("outage over part=%s seconds=%.1f", part, now - since)
            self._tell(since, now, part, what)
            self._keep(since, now, part, what)

    def channel(self, name: str, fails: str) -> None:
        """The notifier says again and again whether messages reach a channel; ``fails``: why not, "" when they do."""
        if fails:
            self.goes_on(f"notify {name}", fails)
        else:
            self.over(f"notify {name}", f"Messages did not reach {name}")
