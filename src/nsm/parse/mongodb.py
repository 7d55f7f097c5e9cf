"""MongoDB: recognised by the head of its messages. MongoDB manual, "Wire Protocol"."""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

HEAD_BYTES: Final = 16
MESSAGE_BYTES_MAX: Final = 48_000_000  # the manual's limit of a message
REQUESTS: Final = frozenset((2001, 2002, 2004, 2005, 2006, 2007, 2010, 2012, 2013))  # "Opcodes"
ANSWERS: Final = frozenset((1, 2011, 2012, 2013))


def probe(data: bytes, side: Side, port: bool) -> Match:
    """Length, numbers of the message and of the one it answers, an opcode; a client's first answers none."""
    if len(data) < HEAD_BYTES:
        return Match.MORE if port or len(data) < 4 else Match.NO
    size = int.from_bytes(data[:4], "little")
    answered = int.from_bytes(data[8:12], "little")
    code = int.from_bytes(data[12:16], "little")
    if not HEAD_BYTES < size <= MESSAGE_BYTES_MAX:
        return Match.NO
    if side is Side.CLIENT:
        return Match.YES if code in REQUESTS and answered in {0, 0xFFFFFFFF} else Match.NO
    return Match.YES if code in ANSWERS and (code != 1 or port) else Match.NO


SPEC: Final = ProtocolSpec(name="mongodb", transports=("tcp",), ports=(27017, 27018, 27019), probe=probe, weight=5)
