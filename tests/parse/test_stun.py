"""STUN: messages built by hand after RFC 8489."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.stun import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, Told, talk


def message(kind: int, *attributes: tuple[int, bytes], cookie: int = 0x2112A442) -> bytes:
    body = b"".join(struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4) for name, value in attributes)
    return struct.pack("!HHI", kind, len(body), cookie) + bytes(12) + body


ASK = message(1)


def test_a_realm_is_a_name_and_an_attribute_a_maker() -> None:
    assert talk(SPEC, [(C, ASK), (S, message(0x113, (0x14, b"turn.example.com")))], Told("udp")).names == [
        "turn.example.com"
    ]
    assert talk(SPEC, [(C, message(1, (0x8070, bytes(4))))], Told("udp")).labels == ["teams-call"]
    assert talk(SPEC, [(C, message(0x0800))], Told("udp")).labels == ["whatsapp-call"]
    assert talk(SPEC, [(C, message(0x113, (0x14, b"signal.org")))], Told("udp")).labels == ["signal-voip"]
    assert talk(SPEC, [(C, ASK), (C, b"\x16\xfe\xff" + bytes(20))], Told("udp")).switched == "dtls"


def test_over_tcp_behind_a_length_or_not_the_same_however_cut() -> None:
    wire = message(0x113, (0x14, b"turn.example.com"))
    for data in (ASK + wire, len(ASK).to_bytes(2, "big") + ASK + len(wire).to_bytes(2, "big") + wire):
        told = same_however_cut(SPEC, [(C, data), (C, b"\x40\0\0\x20" + bytes(32))])
        assert (told.names, told.over) == (["turn.example.com"], True)


def test_probe() -> None:
    old = message(1, (3, bytes(4)), cookie=5)
    asked = [SPEC.probe(data, C, False) for data in (ASK, old, old[:-1], b"\0\x14" + ASK, b"\x80" + ASK[1:], ASK[:19])]
    assert asked == [Match.YES, Match.YES, Match.NO, Match.YES, Match.NO, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    for transport in ("udp", "tcp"):
        survives(SPEC, pieces, transport)
        survives(SPEC, [(side, ASK[:2] + data[:2] + ASK[4:] + data) for side, data in pieces], transport)
