"""Signatures: protocols that are recognised and not parsed, as rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side

TCP: Final = ("tcp",)
UDP: Final = ("udp",)
BOTH: Final = ("tcp", "udp")
Test = Callable[[bytes, bool], bool]
"""(first bytes of a side, does a port belong to the protocol) -> is it that?"""


class Probe:
    """A test of a few bytes as the probe of a protocol."""

    def __init__(self, test: Test, least: int) -> None:
        self._test, self._least = test, least

    def __call__(self, data: bytes, side: Side, port: bool) -> Match:
        """YES or NO; MORE while there are too few bytes to say."""
        if len(data) < self._least:
            return Match.MORE if data else Match.NO
        return Match.YES if self._test(data, port) else Match.NO


class Labeller:
    """Says the application and reads nothing."""

    def __init__(self, conv: Conversation, app: str) -> None:
        conv.label(app)
        conv.done()

    def feed(self, side: Side, data: bytes) -> int:
        """Nothing of it concerns anybody."""
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Nor what was lost."""
        return False

    def finish(self) -> None:
        """Nothing is open."""


def signature(
    name: str, transports: tuple[str, ...], test: Test, *ports: int, least: int = 4, weight: int = 0, label: str = "",
    first: bytes = b"", on_port: bool = False,
) -> ProtocolSpec:  # fmt: skip
    """A protocol that is recognised by ``test`` once a side sent ``least`` bytes; ``label`` is the application behind it."""
    if isinstance(test, Starts):
        first, on_port = bytes({mark[0] for mark in test.marks}), test.on_port
    return ProtocolSpec(
        name=name, transports=transports, ports=ports, probe=Probe(test, least), weight=weight,
        parser=partial(Labeller, app=label) if label else None, first=first, on_port=on_port,
    )  # fmt: skip


class Starts:
    """Does it begin with one of the marks?"""

    def __init__(self, marks: tuple[bytes, ...], on_port: bool) -> None:
        self.marks, self.on_port = marks, on_port

    def __call__(self, data: bytes, port: bool) -> bool:
        """Test the first bytes."""
        return (port or not self.on_port) and data.startswith(self.marks)


def starts(*marks: bytes) -> Test:
    """Does it begin with one of these?"""
    return Starts(marks, False)


def starts_on_port(*marks: bytes) -> Test:
    """The same, on the protocol's port alone: the mark is too short to stand for itself."""
    return Starts(marks, True)


def be16(data: bytes, at: int) -> int:
    """Two bytes, the higher first; -1 beyond the end."""
    return data[at] << 8 | data[at + 1] if at + 2 <= len(data) else -1


def be32(data: bytes, at: int) -> int:
    """Four bytes, the highest first; -1 beyond the end."""
    return int.from_bytes(data[at : at + 4], "big") if at + 4 <= len(data) else -1


def part(data: bytes, at: int, size: int) -> bytes:
    """Up to ``size`` bytes, nothing beyond the end: ``at`` may come from the wire."""
    return data[at : at + size] if 0 <= at <= len(data) else b""


def le32(data: bytes, at: int) -> int:
    """Four bytes, the lowest first; -1 beyond the end."""
    return int.from_bytes(data[at : at + 4], "little") if at + 4 <= len(data) else -1


def le16(data: bytes, at: int) -> int:
    """Two bytes, the lower first; -1 beyond the end."""
    return data[at] | data[at + 1] << 8 if at + 2 <= len(data) else -1
