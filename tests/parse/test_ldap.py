"""LDAP: requests and responses made by hand, signed buffers, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.ldap import REQUESTS_MAX, SPEC, STARTTLS
from tests.parse.drive import C, Piece, S, Told, byte_by_byte, talk
from tests.wire.dce_made import authenticate
from tests.wire.tls_made import der


def message(number: int, operation: bytes) -> bytes:
    return der(0x30, der(2, bytes([number])), operation)


def octets(text: str, tag: int = 4) -> bytes:
    return der(tag, text.encode())


def number(value: int, tag: int = 10) -> bytes:
    return der(tag, bytes([value]))


def result(tag: int, code: int = 0, text: str = "", *more: bytes) -> bytes:
    return der(tag, number(code), octets(""), octets(text), *more)


def attribute(name: str, *values: str) -> bytes:
    return der(0x30, octets(name), der(0x31, *(octets(value) for value in values)))


EQUAL = der(0xA3, octets("cn"), octets("x"))
FILTER = der(
    0xA0,
    EQUAL,
    der(0xA1, der(0x87, b"mail"), der(0xA2, EQUAL)),
    der(0xA4, octets("o"), der(0x30, octets("a", 0x80), octets("b", 0x82))),
)
SEARCH = der(
    0x63,
    octets("dc=x"),
    number(2),
    number(3),
    number(0, 2),
    number(9, 2),
    der(1, b"\0"),
    FILTER,
    der(0x30, octets("*")),
)
ENTRY = der(0x64, octets("cn=x,dc=x"), der(0x30, attribute("cn", "x", "y")))
WHOLE: list[Piece] = [
    (C, message(1, der(0x60, number(3, 2), octets("cn=admin"), der(0x80, b"password")))),
    (S, message(1, result(0x61))),
    (C, message(2, SEARCH)),
    (S, message(2, ENTRY) + message(2, ENTRY) + message(2, result(0x65, 32, "gone"))),
    (C, message(3, der(0x42))),
]


def test_requests_with_their_responses() -> None:
    told = talk(SPEC, WHOLE)
    bind, search, unbind = (event["ldap"] for _, event, _, _ in told.events)
    assert bind["request"]["bind_request"] == {"version": 3, "name": "cn=admin"}
    assert "password" not in str(told.said)
    asked = search["request"]["search_request"]
    assert (asked["base_object"], asked["scope"], asked["deref_alias"], asked["time_limit"]) == ("dc=x", 2, 3, 9)
    assert search["responses"][0]["search_result_entry"]["attributes"] == [{"type": "cn", "values": ["x", "y"]}]
    assert search["responses"][2]["search_result_done"]["result_code"] == "no_such_object"
    assert unbind["request"] == {"operation": "unbind_request", "message_id": 3}
    (_, first), (_, second), (_, third) = told.zeek
    assert (first["opcode"], first["object"], first["argument"], first["result"]) == (
        "bind simple",
        "cn=admin",
        "REDACTED",
        "success",
    )
    assert (second["scope"], second["deref_aliases"], second["result_count"], second["result"]) == (
        "tree",
        "always",
        2,
        "no such object",
    )
    assert second["filter"] == "(&(cn=x)(|(mail=*)(!(cn=x)))(o=a*b))"
    assert third["opcode"] == "unbind"


OTHERS = {
    "add": (der(0x68, octets("dc=x"), der(0x30, attribute("o", "1"))), "add_request",
            {"entry": "dc=x", "attributes": [{"name": "o", "values": ["1"]}]}),
    "delete": (octets("dc=x", 0x4A), "del_request", {"dn": "dc=x"}),
    "rename": (der(0x6C, octets("a"), octets("b"), der(1, b"\xff")), "mod_dn_request",
               {"entry": "a", "new_rdn": "b", "delete_old_rdn": True}),
    "compare": (
        der(0x6E, octets("a"), der(0x30, octets("b"), octets("c"))), "compare_request",
        {"entry": "a", "attribute_value_assertion": {"description": "b", "value": "c"}},
    ),
    "modify": (
        der(0x66, octets("a"), der(0x30, der(0x30, number(2), attribute("b", "c")))), "modify_request",
        {"object": "a", "changes": [{"operation": "replace", "modification": {"attribute_type": "b", "attribute_values": ["c"]}}]},
    ),
    "abandon": (der(0x50, b"\7"), "abandon_request", {"message_id": 7}),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_requests(name: str) -> None:
    operation, key, fields = OTHERS[name]
    told = talk(SPEC, [(C, message(9, operation))])
    assert told.events[0][1]["ldap"]["request"][key] == fields


def test_same_said_whole_and_byte_by_byte() -> None:
    assert talk(SPEC, byte_by_byte(WHOLE)).said == talk(SPEC, WHOLE).said


def test_starttls_hands_the_flow_on() -> None:
    told = talk(SPEC, [(C, message(1, der(0x77, octets(STARTTLS, 0x80)))), (S, message(1, result(0x78)) + b"\x16\3\1")])
    assert told.switched == "tls"
    assert told.zeek[0][1]["object"] == STARTTLS + " (StartTLS)"


def test_signed_buffers_are_read_and_sealed_ones_skipped() -> None:
    bind = der(0x60, number(3, 2), octets(""), der(0xA3, octets("GSS-SPNEGO"), der(4, authenticate())))
    unbind = message(5, der(0x42))
    signed = b"\5\4\1\xff\0\4\0\0" + bytes(8) + unbind + b"sum!"
    sealed = b"\5\4\2\xff\0\4\0\0" + bytes(8) + unbind + b"sum!"
    wrapped = [len(token).to_bytes(4, "big") + token for token in (sealed, signed)]
    told = talk(SPEC, [(C, message(1, bind)), (S, message(1, result(0x61))), *((C, token) for token in wrapped)])
    assert [log for log, _ in told.zeek] == ["ldap", "ntlm", "ldap"]
    assert (told.zeek[0][1]["argument"], told.zeek[1][1]["username"], told.services) == (
        "GSS-SPNEGO",
        "alice",
        ["ldap_tcp", "ntlm"],
    )


def test_a_response_nobody_asked_for() -> None:
    notice = result(0x78, 52, "down", octets("1.3.6.1.4.1.1466.20036", 0x8A))
    told = talk(SPEC, [(S, message(0, notice))])
    assert told.events[0][1]["ldap"]["responses"][0]["extended_response"]["name"] == "1.3.6.1.4.1.1466.20036"
    assert talk(SPEC, [(S, message(9, notice))]).anomalies == ["request_not_found"]


def test_open_requests_are_bounded() -> None:
    told = talk(
        SPEC, [(C, b"".join(der(0x30, der(2, at.to_bytes(2, "big")), SEARCH) for at in range(REQUESTS_MAX + 3)))]
    )
    assert told.anomalies == ["too_many_transactions"] * 3


def test_datagrams() -> None:
    assert len(talk(SPEC, WHOLE, Told("udp")).events) == 3


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (WHOLE[0][1], Match.YES),
        (WHOLE[4][1], Match.YES),
        (b"\x30\x84", Match.MORE),
        (b"\x30\x0c\2\1\1\x30" + bytes(9), Match.NO),
        (b"x", Match.NO),
    ],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((C, S)), st.binary(max_size=60)), max_size=4),
    st.integers(0, 90),
    st.binary(max_size=9),
)
def test_any_bytes(pieces: list[Piece], at: int, piece: bytes) -> None:
    talk(SPEC, pieces)
    for side, whole in WHOLE:
        talk(SPEC, [(side, whole[:at] + piece + whole[at + len(piece) :])])
    for operation, _, _ in OTHERS.values():
        talk(SPEC, [(C, message(1, operation[:at] + piece))])
