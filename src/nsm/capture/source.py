"""What every source of packets offers. A file and a ring differ behind this interface alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from nsm.model.batch import PacketBatch

NAME_CHARACTERS_MAX: Final = 200


class SourceCounters(msgspec.Struct, frozen=True):
    """What a source has given and lost.

    ``drops``: packets that the kernel had no room for; ``freezes``: times it stopped the ring; ``cut``: frames over
    65,535 bytes, or longer than a block of the ring, of which the rest is not looked at.
    """

    packets: int = 0
    drops: int = 0
    freezes: int = 0
    cut: int = 0


class Source(Protocol):
    """Packets in batches. The same batch object is filled again for each."""

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Names, by the number in the column ``ifaces``; a file may have none."""

    def batches(self) -> Iterator[PacketBatch]:
        """Yield batches; an empty one only says that time passes. CaptureError when the source breaks, after what it gave."""

    def counters(self) -> SourceCounters:
        """Totals since the start."""

    def close(self) -> None:
        """Give everything back; may be called twice."""


def shown(name: object) -> str:
    """A file name as one line of bounded length for messages: control characters escaped."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(name))
    return text if len(text) <= NAME_CHARACTERS_MAX else text[: NAME_CHARACTERS_MAX - 3] + "..."
