"""mDNS: messages built by hand after RFC 6762."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.mdns import SPEC
from tests.parse.checks import survives
from tests.parse.drive import C, Piece, Told, talk

NAME = b"\x05_http\x04_tcp\x05local\0"
ASK = struct.pack("!6H", 0, 0, 1, 0, 0, 0) + NAME + b"\0\x0c\0\1"
TELL = (
    struct.pack("!6H", 0, 0x8400, 0, 2, 0, 0)
    + NAME + struct.pack("!HHIH", 12, 1, 120, 4) + b"\1a\xc0\x0c"
    + b"\1a\xc0\x0c" + struct.pack("!HHIH", 16, 0x8001, 120, 4) + b"\3x=1"
)  # fmt: skip


def multicast() -> Told:
    told = Told("udp")
    told.server, told.server_port = "224.0.0.251", 5353
    return told


def test_question_and_answer_are_two_messages() -> None:
    told = talk(SPEC, [(C, ASK), (C, TELL)], multicast())
    assert told.events[0][1]["mdns"]["queries"] == [{"rrname": "_http._tcp.local", "rrtype": "ptr"}]
    assert told.events[1][1]["mdns"] == {
        "type": "response", "id": 0, "flags": ["aa"], "opcode": 0,
        "answers": [
            {"rrname": "_http._tcp.local", "ptr": "a._http._tcp.local"},
            {"rrname": "a._http._tcp.local", "txt": ["x=1"]},
        ],
    }  # fmt: skip
    assert [(row["query"], row["rcode"], row["answers"]) for _, row in told.zeek] == [
        ("_http._tcp.local", None, None),
        ("_http._tcp.local", 0, ["a._http._tcp.local", "TXT 3 x=1"]),
    ]


def test_what_is_odd_is_told() -> None:
    odd = talk(SPEC, [(C, ASK[:2] + b"\x40\x40" + ASK[4:]), (C, ASK[:-1])], multicast())
    assert odd.anomalies == ["z_flag_set", "invalid_opcode", "malformed_data"]


def test_probe_wants_the_port() -> None:
    assert (SPEC.probe(ASK, C, True), SPEC.probe(ASK, C, False)) == (Match.YES, Match.NO)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
