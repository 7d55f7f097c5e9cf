"""TLS: handshakes of 1.2 and 1.3 made by hand, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.tls import MESSAGE_BYTES_MAX, SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk
from tests.wire.tls_made import (
    alpn,
    certificate,
    client_hello,
    extension,
    message,
    record,
    server_hello,
    sni,
    u24,
    versions,
)  # fmt: skip

HELLO = record(22, message(1, client_hello(sni("a.example") + alpn("h2") + versions(0x0304), session=b"id")))
OLD_HELLO = record(22, message(1, client_hello(sni("www.a.example"), session=b"id")))
CHAIN = u24(len(certificate()) + 3) + u24(len(certificate())) + certificate()
CHANGE, SECRET, DATA = record(20, b"\1"), record(22, bytes(40)), record(23, bytes(99))
FULL_12: list[Piece] = [
    (C, OLD_HELLO),
    (S, record(22, message(2, server_hello(extension(16, b"\0\3\2h2"), 0xC02F)) + message(11, CHAIN)[:50])),
    (S, record(22, message(11, CHAIN)[50:] + message(12, b"\3\0\x17" + bytes(9)) + message(14, b""))),
    (C, record(22, message(16, bytes(33))) + CHANGE + SECRET),
    (S, CHANGE + SECRET + DATA),
]
FULL_13: list[Piece] = [
    (C, HELLO),
    (
        S,
        record(22, message(2, server_hello(extension(43, b"\3\4") + extension(51, b"\0\x1d\0\0"), session=b"id")))
        + CHANGE
        + DATA,
    ),
    (C, CHANGE + DATA),
]
RESUMED: list[Piece] = [
    (C, OLD_HELLO),
    (S, record(22, message(2, server_hello(b"", 0xC02F, b"id"))) + CHANGE + SECRET),
    (C, CHANGE + SECRET),
]


def test_a_full_handshake_tells_the_certificate() -> None:
    told = talk(SPEC, FULL_12)
    (_, event, _, _), *_ = told.events
    tls = event["tls"]
    assert (tls["subject"], tls["issuerdn"], tls["serial"]) == ("C=DE, CN=a.example", "C=DE, CN=CA, Inc.", "00:8A:07")
    assert (tls["sni"], tls["version"], tls["server_alpns"]) == ("www.a.example", "TLS 1.2", ["h2"])
    assert tls["notbefore"] == "1969-12-31T00:00:00"
    (x509, host), (ssl, row) = told.zeek
    assert (x509, ssl, host["host_cert"]) == ("x509", "ssl", True)
    assert (row["ssl_history"], row["established"], row["curve"]) == ("CsxknGIi", True, "secp256r1")
    assert (row["cipher"], row["sni_matches_cert"]) == ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", True)
    assert told.over
    assert told.names == ["www.a.example"]


def test_tls_13_ends_with_the_clients_first_secret() -> None:
    told = talk(SPEC, FULL_13)
    assert told.events[0][1]["tls"]["version"] == "TLS 1.3"
    assert told.events[0][1]["tls"]["ja4"].startswith("t13d0203h2_")
    row = told.zeek[0][1]
    assert (row["version"], row["ssl_history"], row["established"], row["resumed"]) == ("TLSv13", "CsiI", True, False)
    assert told.over


def test_a_repeated_session_id_is_a_resumed_session() -> None:
    told = talk(SPEC, RESUMED)
    assert told.events[0][1]["tls"]["session_resumed"] is True
    assert told.zeek[0][1]["resumed"] is True


def test_custom_fields_replace_the_usual_ones() -> None:
    told = talk(SPEC, FULL_12, Told(options={"custom": ["client_handshake", "not_after", "certificate"]}))
    tls = told.events[0][1]["tls"]
    assert set(tls) == {"client_handshake", "notafter", "certificate"}
    assert tls["client_handshake"]["ciphers"] == [0x1301, 0xC02F]


@pytest.mark.parametrize("pieces", [FULL_12, FULL_13, RESUMED])
def test_same_said_whole_and_byte_by_byte(pieces: list[Piece]) -> None:
    assert talk(SPEC, byte_by_byte(pieces)).said == talk(SPEC, pieces).said


def test_a_client_alone_is_told_at_the_end() -> None:
    told = talk(SPEC, [(C, OLD_HELLO), (S, record(21, b"\2\x28"))])
    assert told.events[0][1]["tls"]["version"] == "TLS 1.2"
    assert (told.zeek[0][1]["version"], told.zeek[0][1]["last_alert"]) == (None, "handshake_failure")


def test_the_old_hello_of_ssl_2() -> None:
    body = b"\1\0\2\0\3\0\0\0\x10\1\0\x80" + bytes(16)
    told = talk(SPEC, [(C, b"\x80" + bytes([len(body)]) + body)])
    assert told.events[0][1]["tls"]["version"] == "SSLv2"
    assert SPEC.probe(b"\x80" + bytes([len(body)]) + body, C, False) is Match.YES


@pytest.mark.parametrize(
    ("bad", "event"),
    [
        (b"HTTP/1.1 400", "INVALID_RECORD_TYPE"),
        (b"\x16\4\3\0\1\0", "INVALID_RECORD_VERSION"),
        (b"\x16\3\3\xff\xff\0", "INVALID_TLS_HEADER"),
        (record(22, b"\1" + u24(MESSAGE_BYTES_MAX + 1)), "HANDSHAKE_INVALID_LENGTH"),
        (record(22, message(1, b"x")), "INVALID_HANDSHAKE_MESSAGE"),
        (record(24, b"\1\xff\xff"), "OVERFLOW_HEARTBEAT_MESSAGE"),
    ],
)
def test_what_breaks_the_protocol_has_a_name(bad: bytes, event: str) -> None:
    assert event in talk(SPEC, [(C, OLD_HELLO[:0] + bad)]).anomalies


def test_secret_records_are_skipped_and_gaps_end() -> None:
    session = Talk(SPEC, Told())
    session.send(C, b"\x17\3\3\x40\0" + bytes(10))
    assert session.told.skipped[C] == 0x4000 - 10
    session.gap(S, 10)
    session.finish()
    assert session.told.events == []


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (HELLO, Match.YES),
        (HELLO[:4], Match.MORE),
        (DATA, Match.YES),
        (b"GET / ", Match.NO),
        (b"\x16\3\1\0\x05\x99", Match.NO),
    ],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((C, S)), st.binary(max_size=60)), max_size=6), st.integers(0, 200))
def test_any_bytes(pieces: list[Piece], cut: int) -> None:
    talk(SPEC, pieces)
    talk(SPEC, [*FULL_12[:2], (S, FULL_12[2][1][:cut]), *pieces])
