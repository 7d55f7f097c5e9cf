"""Kerberos: messages made by hand, over both transports, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.krb5 import SPEC
from nsm.wire.krb5 import find_ap_req
from tests.parse.drive import C, Piece, S, Told, byte_by_byte, talk
from tests.wire.tls_made import der


def number(value: int) -> bytes:
    return der(2, bytes([value]))


def name(*parts: str) -> bytes:
    return der(0x30, der(0xA0, number(1)), der(0xA1, der(0x30, *(der(0x1B, part.encode()) for part in parts))))


def text(value: str) -> bytes:
    return der(0x1B, value.encode())


def sealed(etype: int) -> bytes:
    return der(0x30, der(0xA0, number(etype)), der(0xA2, der(4, b"secret")))


TICKET = der(
    0x61, der(0x30, der(0xA0, number(5)), der(0xA1, text("R")), der(0xA2, name("krbtgt", "R")), der(0xA3, sealed(18)))
)
BODY = der(
    0x30, der(0xA0, der(3, b"\0\x40\x80\0\0")), der(0xA1, name("alice")), der(0xA2, text("R")), der(0xA3, name("krbtgt", "R")),
    der(0xA5, der(0x18, b"20370913024805Z")),
)  # fmt: skip
AS_REQ = der(0x6A, der(0x30, der(0xA1, number(5)), der(0xA2, number(10)), der(0xA4, BODY)))
AS_REP = der(
    0x6B, der(0x30, der(0xA0, number(5)), der(0xA1, number(11)), der(0xA3, text("R")), der(0xA4, name("alice")),
              der(0xA5, TICKET), der(0xA6, sealed(23))),
)  # fmt: skip
REFUSED = der(
    0x7E, der(0x30, der(0xA0, number(5)), der(0xA1, number(30)), der(0xA6, number(25)), der(0xAA, name("krbtgt", "R")))
)
AP_REQ = der(0x6E, der(0x30, der(0xA0, number(5)), der(0xA1, number(14)), der(0xA3, TICKET)))


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


WHOLE: list[Piece] = [(C, framed(AS_REQ)), (S, framed(REFUSED)), (C, framed(AS_REQ)), (S, framed(AS_REP))]


def test_messages_and_exchanges() -> None:
    told = talk(SPEC, WHOLE)
    first, second, _, fourth = (event["krb5"] for _, event, _, _ in told.events)
    assert (first["msg_type"], first["cname"], first["realm"], first["sname"]) == (
        "KRB_AS_REQ",
        "alice",
        "R",
        "krbtgt/R",
    )
    assert (first["encryption"], first["weak_encryption"]) == ("<none>", False)
    assert (second["error_code"], second["failed_request"], second["cname"]) == (
        "KDC_ERR_PREAUTH_REQUIRED",
        "KRB_AS_REQ",
        "<empty>",
    )
    assert (fourth["encryption"], fourth["weak_encryption"]) == ("rc4-hmac", True)
    assert (fourth["ticket_encryption"], fourth["ticket_weak_encryption"]) == ("aes256-cts-hmac-sha1-96", False)
    assert told.anomalies == ["weak_encryption"]
    (_, refused), (_, given_) = told.zeek
    assert (refused["success"], refused["error_msg"], refused["till"]) == (
        False,
        "KDC_ERR_PREAUTH_REQUIRED",
        2136422885.0,
    )
    assert (given_["request_type"], given_["client"], given_["cipher"]) == ("AS", "alice/R", "aes256-cts-hmac-sha1-96")
    assert (given_["forwardable"], given_["renewable"]) == (True, True)


def test_datagrams_say_the_same() -> None:
    told = talk(SPEC, [(side, data[4:]) for side, data in WHOLE], Told("udp"))
    assert (told.events, told.zeek) == (talk(SPEC, WHOLE).events, talk(SPEC, WHOLE).zeek)
    assert (told.services, talk(SPEC, WHOLE).services) == (["krb"], ["krb_tcp"])


def test_same_said_whole_and_byte_by_byte() -> None:
    assert talk(SPEC, byte_by_byte(WHOLE)).said == talk(SPEC, WHOLE).said


def test_a_ticket_in_a_login_is_found() -> None:
    found = find_ap_req(b"spnego\x01\x00" + AP_REQ)
    assert found is not None
    assert (found.realm, found.sname, found.ticket_etype) == ("R", "krbtgt/R", 18)
    assert find_ap_req(b"\x01\x00\x6e\x82") is None


@pytest.mark.parametrize("message", [AS_REQ[:40], der(0x6A, b"\2\1\5"), der(0x62, b"")])
def test_what_is_none_is_malformed(message: bytes) -> None:
    assert talk(SPEC, [(C, framed(message))]).anomalies == ["malformed_data"]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (AS_REQ, Match.YES),
        (framed(AS_REP), Match.YES),
        (framed(AS_REQ)[:6], Match.MORE),
        (b"\x30\x0c" + bytes(20), Match.NO),
    ],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 90), st.binary(max_size=9))
def test_any_bytes(datagrams: list[bytes], at: int, piece: bytes) -> None:
    talk(SPEC, [(C, data) for data in datagrams], Told("udp"))
    talk(SPEC, [(C, data) for data in datagrams])
    for whole in (AS_REQ, AS_REP, REFUSED, AP_REQ):
        talk(SPEC, [(C, whole[:at] + piece + whole[at + len(piece) :])], Told("udp"))
