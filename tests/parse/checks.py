"""What every parser keeps: the same however the bytes are cut, and no other error whatever the bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nsm.model.protocol import ProtocolSpec, Side
from tests.parse.drive import Piece, Talk, Told, byte_by_byte, talk


def same_however_cut(spec: ProtocolSpec, pieces: Sequence[Piece], told: Callable[[], Told] | None = None) -> Told:
    """Both ways of handing over the bytes say the same; returns what was said. Probes say yes to the whole or ask for more."""
    make = told or (lambda: Told("tcp"))
    whole = talk(spec, pieces, make())
    assert talk(spec, byte_by_byte(pieces), make()).said == whole.said
    return whole


def survives(spec: ProtocolSpec, pieces: Sequence[Piece], transport: str, **about: Any) -> None:
    """Any bytes, with a gap in their midst: nothing but what the contract allows is raised."""
    told = Told(transport)
    for name, value in about.items():
        setattr(told, name, value)
    session = Talk(spec, told)
    for number, (side, data) in enumerate(pieces):
        for port in (True, False):
            spec.probe(data, side, port)
        if data:
            session.send(side, data)
        if number == 2 and transport == "tcp":
            session.gap(side, 100)
    session.finish()


def mutated(golden: bytes, at: int, byte: int, cut: int) -> bytes:
    """A message with one byte changed and its end cut off."""
    at %= len(golden)
    return (golden[:at] + bytes([byte]) + golden[at + 1 :])[: len(golden) - cut % len(golden)]


CLIENT, SERVER = Side.CLIENT, Side.SERVER
