"""MySQL: log-ins, commands and their answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.mysql import SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk


def packet(sequence: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((sequence,)) + body


def flags(value: int) -> bytes:
    return value.to_bytes(4, "little")


GREETING = packet(0, b"\x0a8.0.1\0" + bytes(8) + b"saltsalt\0" + b"\xff\xff\x08\2\0\xff\xff" + bytes(30))
LOGIN = packet(1, flags(0x0200 | 0x8000000) + bytes(28) + b"root\0\4hash")
OK, ERROR = packet(2, b"\0\0\0\2\0\0\0"), packet(1, b"\xff\x15\x04#28000Access denied")
START: list[Piece] = [(S, GREETING), (C, LOGIN), (S, OK)]
QUERY = packet(0, b"\x03\0\1select 1")
PARAMETERS = packet(0, b"\x03\2\1\0\1\x0f\0\1a\x08\0\1b\2xy" + bytes(8) + b"select 2")
RESULT = packet(1, b"\1") + packet(2, bytes(30)) + packet(3, b"\1a") + packet(4, b"\xfe\0\0\2\0")


def rows(told: Told) -> list[Any]:
    return [tuple(row.values()) for _, row in told.zeek]


def test_session() -> None:
    pieces: list[Piece] = [
        *START, (C, QUERY), (S, RESULT), (C, PARAMETERS), (S, packet(1, b"\0\7\0\2\0\0\0")), (C, packet(0, b"\x0e")), (S, OK),
        (C, packet(0, b"\x11root2\0\4pass")), (S, ERROR), (C, packet(0, b"\1")),
    ]  # fmt: skip
    told = talk(SPEC, pieces)
    assert rows(told) == [
        ("login", "root", True, 0, None), ("query", "select 1", True, 0, None), ("query", "select 2", True, 7, None),
        ("ping", "", True, 0, None), ("change_user", "root2", False, None, "Access denied"), ("quit", "", None, None, None),
    ]  # fmt: skip
    assert talk(SPEC, byte_by_byte(pieces)).said == told.said
    assert "pass" not in repr(told.said)
    assert "hash" not in repr(told.said)


def test_log_in_in_steps_and_refused() -> None:
    pieces: list[Piece] = [
        *START[:2], (S, packet(2, b"\xfecaching_sha2_password\0salt")), (C, packet(3, b"secret")), (S, packet(4, b"\1\4")),
        (C, packet(5, b"secret\0")), (S, ERROR),
    ]  # fmt: skip
    told = talk(SPEC, pieces)
    assert rows(told) == [("login", "root", False, None, "Access denied")]
    assert "secret" not in repr(told.said)


def test_tls() -> None:
    request = packet(1, flags(0x0A00) + bytes(28))
    assert talk(SPEC, [(S, GREETING), (C, request + b"\x16\x03")]).switched == "tls"


@pytest.mark.parametrize(
    ("data", "side", "match"),
    [
        (GREETING, S, Match.YES), (GREETING[:6], S, Match.MORE), (LOGIN, C, Match.YES), (LOGIN[:20], C, Match.MORE),
        (b"HTTP/1.1 200 OK", S, Match.NO), (b"GET / HTTP/1.1\r\n", C, Match.NO), (b"\x16\x03\x01\0\xa5\1", C, Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, match: Match) -> None:
    assert SPEC.probe(data, side, True) is match


PARTS = st.sampled_from([GREETING, LOGIN, OK, ERROR, QUERY, PARAMETERS, RESULT])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([C, S]), st.one_of(st.binary(max_size=30), PARTS)), max_size=8))
def test_any_bytes(pieces: list[Piece]) -> None:
    session = Talk(SPEC, Told("tcp"))
    for side, data in pieces:
        session.send(side, data)
    session.gap(S, 3)
    session.finish()
