"""LLMNR: messages built by hand after RFC 4795."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.llmnr import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, Talk, Told, talk

NAME = b"\x04host\0"
ASK = struct.pack("!6H", 9, 0, 1, 0, 0, 0) + NAME + b"\0\1\0\1"
TELL = (
    ASK[:2]
    + struct.pack("!5H", 0x8000, 1, 1, 0, 0)
    + ASK[12:]
    + b"\xc0\x0c"
    + struct.pack("!HHIH", 1, 1, 30, 4)
    + bytes(4)
)


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


def test_question_and_answer_over_udp() -> None:
    told = talk(SPEC, [(C, ASK), (S, TELL)], Told("udp"))
    assert told.events[0][1]["llmnr"] == {
        "type": "request", "id": 9, "opcode": 0, "queries": [{"rrname": "host", "rrtype": "a"}],
    }  # fmt: skip
    assert told.events[1][1]["llmnr"]["answers"] == [{"rrname": "host", "rrtype": "a", "ttl": 30, "a": "0.0.0.0"}]
    assert told.zeek[0][1]["answers"] == ["0.0.0.0"]


def test_over_tcp_the_same_however_it_is_cut() -> None:
    told = same_however_cut(SPEC, [(C, framed(ASK)), (S, framed(TELL))])
    assert [event[1]["llmnr"]["type"] for event in told.events] == ["request", "response"]


def test_a_gap_ends_it() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.gap(C, 10)
    session.send(C, framed(ASK))
    assert not session.told.events


def test_probe_wants_the_port_and_waits_for_a_length() -> None:
    assert (SPEC.probe(ASK, C, True), SPEC.probe(ASK, C, False)) == (Match.YES, Match.NO)
    assert SPEC.probe(framed(ASK)[:9], C, True) is Match.MORE


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, pieces, "tcp")
