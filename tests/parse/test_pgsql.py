"""PostgreSQL: log-ins, queries, copies and errors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.pgsql import SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


SSL = b"\0\0\0\x08" + number(80877103)
PARAMETERS = b"user\0bob\0database\0db\0application_name\0psql\0\0"
STARTUP = number(len(PARAMETERS) + 8) + number(196608) + PARAMETERS
READY = message(b"Z", b"I")
WELCOME = (
    message(b"R", number(0)) + message(b"S", b"TimeZone\0UTC\0") + message(b"S", b"unheard\0x\0")
    + message(b"K", number(7) + number(9)) + READY
)  # fmt: skip
LOGIN: list[Piece] = [
    (C, SSL), (S, b"N"), (C, STARTUP), (S, message(b"R", number(3))), (C, message(b"p", b"secret\0")), (S, WELCOME),
]  # fmt: skip
ROW = message(b"D", number(1, 2) + number(3) + b"abc")
QUERY: list[Piece] = [
    (C, message(b"Q", b"select 1\0")),
    (S, message(b"T", number(1, 2) + b"x\0" + bytes(18)) + ROW + ROW + message(b"C", b"SELECT 2\0") + READY),
]
FAILED: list[Piece] = [
    (C, message(b"Q", b"select 1/0\0")), (S, message(b"E", b"SERROR\0C22012\0Mdivision\0\0") + READY), (C, message(b"X", b"")),
]  # fmt: skip


def pgsqls(told: Told) -> list[Any]:
    return [objects["pgsql"] for _, objects, _, _ in told.events]


def test_session() -> None:
    told = talk(SPEC, [*LOGIN, *QUERY, *FAILED])
    ssl, startup, password, query, failed, end = pgsqls(told)
    assert ssl == {"tx_id": 1, "request": {"message": "SSL Request"}, "response": {"ssl_accepted": False}}
    assert startup["request"]["startup_parameters"] == {
        "user": "bob", "optional_parameters": [{"database": "db"}, {"application_name": "psql"}],
    }  # fmt: skip
    assert startup["response"] == {"message": "authentication_cleartext_password"}
    assert password["request"] == {"password_redacted": True}
    assert password["response"] == {
        "message": "authentication_ok", "parameter_status": [{"time_zone": "UTC"}], "process_id": 7, "secret_key": 9,
    }  # fmt: skip
    assert query["response"] == {"field_count": 1, "data_rows": 2, "data_size": 6, "command_completed": "SELECT 2"}
    assert failed["response"] == {"severity_localizable": "ERROR", "code": "22012", "message": "division"}
    assert end["request"] == {"message": "termination_message"}
    assert [(row["frontend"], row["backend"], row["success"], row["rows"]) for _, row in told.zeek] == [
        ("ssl_request", "ssl_reply", False, None), ("startup", "auth_ok", True, None), ("simple_query", None, True, 2),
        ("simple_query", "error", False, None), ("terminate", None, None, None),
    ]  # fmt: skip
    assert "secret" not in repr(told.said).replace("secret_key", "")
    assert talk(SPEC, byte_by_byte([*LOGIN, *QUERY, *FAILED])).said == told.said


def test_password_where_the_setting_asks() -> None:
    assert pgsqls(talk(SPEC, LOGIN, Told("tcp", {"passwords": True})))[2]["request"] == {"password": "secret"}


def test_sasl() -> None:
    told = talk(SPEC, [
        *LOGIN[:3], (S, message(b"R", number(10) + b"SCRAM-SHA-256\0\0")), (C, message(b"p", b"SCRAM-SHA-256\0\0\0\0\3n,,")),
        (S, message(b"R", number(11) + b"r=x")), (C, message(b"p", b"c=biws")),
        (S, message(b"R", number(12) + b"v=y") + message(b"R", number(0)) + READY),
    ])  # fmt: skip
    assert pgsqls(told)[2]["request"] == {"sasl_authentication_mechanism": "scram_SHA256", "sasl_param": "n,,"}
    assert pgsqls(told)[3]["request"] == {"sasl_response": "c=biws"}
    assert pgsqls(told)[3]["response"] == {"authentication_sasl_final": "v=y", "message": "authentication_ok"}


def test_copies_are_counted() -> None:
    told = talk(SPEC, [
        *LOGIN, (C, message(b"Q", b"COPY t FROM STDIN\0")), (S, message(b"G", b"\0\0\3" + bytes(6))),
        (C, message(b"d", b"a\tb\n") + message(b"c", b"")), (S, message(b"C", b"COPY 1\0") + READY),
        (C, message(b"Q", b"COPY t TO STDOUT\0")),
        (S, message(b"H", b"\0\0\3" + bytes(6)) + message(b"d", b"xyz") + message(b"c", b"") + message(b"C", b"COPY 1\0") + READY),
    ])  # fmt: skip
    assert pgsqls(told)[3]["response"] == {"copy_in_response": {"columns": 3}}
    assert pgsqls(told)[4]["request"] == {"copy_data_in": {"msg_count": 1, "data_size": 4}, "message": "copy_done"}
    assert pgsqls(told)[5]["response"]["copy_data_out"] == {"row_count": 1, "data_size": 3}


def test_tls() -> None:
    assert talk(SPEC, [(C, SSL), (S, b"S"), (C, b"\x16\x03")]).switched == "tls"


@pytest.mark.parametrize(
    ("data", "side", "match"),
    [
        (SSL, C, Match.YES), (STARTUP, C, Match.YES), (STARTUP[:6], C, Match.MORE), (b"GET / HTTP/1.1", C, Match.NO),
        (message(b"R", number(5) + b"salt"), S, Match.YES), (b"HTTP/1.1 200", S, Match.NO), (bytes(20), C, Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, match: Match) -> None:
    assert SPEC.probe(data, side, True) is match


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([C, S]),
            st.one_of(st.binary(max_size=30), st.sampled_from([d for _, d in [*LOGIN, *QUERY]])),
        ),
        max_size=8,
    )
)
def test_any_bytes(pieces: list[Piece]) -> None:
    session = Talk(SPEC, Told("tcp"))
    for side, data in pieces:
        session.send(side, data)
    session.gap(S, 3)
    session.finish()
