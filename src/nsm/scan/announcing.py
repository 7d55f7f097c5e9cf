"""Tells a monitor on the same machine that a scan runs, and where it sends: its own packets are no attack."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any, Final

from nsm.scan.targets import Resolver

EVERY_S: Final = 1.0

Say = Callable[[dict[str, Any]], None]
"""Takes {id, targets}: a list of networks and addresses."""


class Announcer:
    """``resolve`` looks names up as the one given does, and remembers what it found; ``tell`` is called all the time."""

    def __init__(
        self, number: str, targets: Sequence[str], resolver: Resolver, say: Say, clock: Callable[[], float]
    ) -> None:
        self._number, self._resolver, self._say, self._clock = number, resolver, say, clock
        self._targets = [text for text in (one.partition("%")[0] for one in targets) if _is_network(text)]
        self._said = -EVERY_S

    def resolve(self, name: str) -> Sequence[str]:
        """The addresses of a name."""
        found = self._resolver(name)
        self._targets += [address.partition("%")[0] for address in found]
        return found

    def tell(self) -> None:
        """Say it, at most once a second."""
        now = self._clock()
        if now - self._said >= EVERY_S:
            self._said = now
            self._say({"id": self._number, "targets": self._targets})


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
