"""POP3 and IMAP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, ProtocolSpec, Side
from nsm.parse import imap
from nsm.parse.pop3 import SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk

SESSION: list[Piece] = [
    (S, b"+OK POP3 ready\r\n"), (C, b"USER a\r\n"), (S, b"+OK\r\n"), (C, b"PASS secret\r\n"), (S, b"-ERR no\r\n"), (C, b"LIST\r\n"),
    (S, b"+OK 2\r\n1 10\r\n2 20\r\n.\r\n"), (C, b"RETR 1\r\n"), (S, b"+OK\r\nSubject: private\r\n\r\n..\r\n.x\r\n.\r\n"),
    (C, b"QUIT\r\n"), (S, b"+OK bye\r\n"),
]  # fmt: skip


def pops(told: Told) -> list[Any]:
    return [objects["pop3"] for kind, objects, _, _ in told.events]


def test_session() -> None:
    told = talk(SPEC, SESSION)
    assert pops(told)[0] == {"response": {"success": True, "status": "OK", "header": "POP3 ready"}}
    assert [event["request"]["command"] for event in pops(told)[1:]] == ["USER", "PASS", "LIST", "RETR", "QUIT"]
    assert pops(told)[2] == {
        "request": {"command": "PASS", "args": ["<hidden>"]}, "response": {"success": False, "status": "ERR", "header": "no"},
    }  # fmt: skip
    assert pops(told)[3]["response"]["data"] == ["1 10", "2 20"]
    assert "secret" not in repr(told.said)
    assert "private" not in repr(told.said)
    assert talk(SPEC, byte_by_byte(SESSION)).said == told.said


def test_tls() -> None:
    assert talk(SPEC, [SESSION[0], (C, b"STLS\r\n"), (S, b"+OK go\r\n"), (C, b"\x16\x03")]).switched == "tls"
    pieces: list[Piece] = [(S, b"* OK IMAP4\r\n"), (C, b"a1 STARTTLS\r\n"), (S, b"a1 OK go\r\n"), (C, b"\x16\x03")]
    assert talk(imap.SPEC, pieces).switched == "tls"
    assert talk(imap.SPEC, byte_by_byte(pieces)).switched == "tls"
    assert talk(imap.SPEC, [*pieces[:1], (C, b"a1 LOGIN a b\r\n")]).over


def test_secrets_of_sasl_are_no_commands() -> None:
    told = talk(
        SPEC, [SESSION[0], (C, b"AUTH PLAIN\r\n"), (S, b"+ \r\n"), (C, b"AHNlY3JldA==\r\n"), (S, b"+OK in\r\n")]
    )
    assert not told.anomalies
    assert [event.get("request", {}).get("command") for event in pops(told)] == [None, "AUTH"]


@pytest.mark.parametrize(
    ("spec", "data", "side", "port", "match"),
    [
        (SPEC, b"+OK POP3\r\n", S, False, Match.YES), (SPEC, b"+OK hi\r\n", S, False, Match.NO),
        (SPEC, b"+OK hi\r\n", S, True, Match.YES),
        (SPEC, b"CAPA\r\n", C, True, Match.YES), (SPEC, b"USER a\r\n", C, False, Match.NO),
        (imap.SPEC, b"* OK [CAPABILITY IMAP4rev1]", S, False, Match.YES), (imap.SPEC, b"a1 CAPABILITY\r\n", C, False, Match.YES),
        (imap.SPEC, b"GET / HTTP/1.1\r\n", C, True, Match.NO), (imap.SPEC, b"+OK", S, True, Match.NO),
    ],
)  # fmt: skip
def test_probe(spec: ProtocolSpec, data: bytes, side: Side, port: bool, match: Match) -> None:
    assert spec.probe(data, side, port) is match


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([SPEC, imap.SPEC]),
    st.lists(
        st.tuples(st.sampled_from([C, S]), st.one_of(st.binary(max_size=30), st.sampled_from([b for _, b in SESSION]))),
        max_size=9,
    ),
)
def test_any_bytes(spec: ProtocolSpec, pieces: list[Piece]) -> None:
    session = Talk(spec, Told("tcp"))
    for at, (side, data) in enumerate(pieces):
        session.send(side, data)
        if at == 4:
            session.gap(side, 9)
    session.finish()
