"""NetBIOS name service: messages built by hand after RFC 1002."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.netbios import SPEC, decoded
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, Told, talk

LETTERS = "".join(chr(65 + (byte >> 4)) + chr(65 + (byte & 15)) for byte in b"SERVER         \x20")


def ask(rrtype: int) -> bytes:
    return (
        struct.pack("!6H", 5, 0x0110, 1, 0, 0, 0) + b"\x20" + LETTERS.encode() + b"\0" + struct.pack("!2H", rrtype, 1)
    )


def names() -> Told:
    told = Told("udp")
    told.server_port = 137
    return told


def test_names_are_decoded_and_types_are_its_own() -> None:
    told = talk(SPEC, [(C, ask(32)), (C, ask(33))], names())
    assert [(row["query"], row["qtype_name"]) for _, row in told.zeek] == [("server", "NB"), ("server", "NBSTAT")]
    assert decoded("www.example.com") == "www.example.com"


def test_a_broken_message_says_nothing() -> None:
    assert talk(SPEC, [(S, ask(32)[:20])], names()).zeek == []


def test_probe() -> None:
    assert SPEC.probe(ask(32), C, False) is Match.YES
    assert SPEC.probe(b"\x11\x02" + bytes(8) + b"\0\xbb\0\0\x20" + bytes(80), C, True) is Match.YES
    assert SPEC.probe(ask(32)[:12] + b"\x03www\0\0\1\0\1", C, True) is Match.NO


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp", server_port=137)
    survives(SPEC, pieces, "tcp")


def test_behind_the_answer_to_a_session_s_request_is_another_protocol() -> None:
    request = b"\x81\0\0\x44\x20" + LETTERS.encode() + b"\0\x20" + LETTERS.encode() + b"\0"
    told = same_however_cut(SPEC, [(C, request), (S, b"\x82\0\0\0")])
    assert (told.switched, SPEC.probe(request, C, True)) == ("", Match.YES)
    assert talk(SPEC, [(C, request), (S, b"\x83\0\0\1\x82")], Told("tcp")).over
