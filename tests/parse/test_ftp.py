"""FTP and its data channels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse import ftp_data
from nsm.parse.ftp import SPEC
from nsm.wire.ftp_note import FtpNote
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk

LOGIN: list[Piece] = [
    (S, b"220-Welcome\r\n220 FTP\r\n"), (C, b"USER anonymous\r\n"), (S, b"331 password\r\n"), (C, b"PASS me@x\r\n"),
    (S, b"230 in\r\n"),
]  # fmt: skip
PASSIVE: list[Piece] = [
    (C, b"CWD pub\r\n"), (S, b"250 ok\r\n"), (C, b"PASV\r\n"), (S, b"227 Entering (192,0,2,1,4,1)\r\n"), (C, b"RETR a.txt\r\n"),
    (S, b"150 Opening (77 bytes)\r\n"), (S, b"226 Done\r\n"), (C, b"QUIT\r\n"), (S, b"221 Bye\r\n"),
]  # fmt: skip


def ftps(told: Told) -> list[Any]:
    return [objects["ftp"] for kind, objects, _, _ in told.events if kind == "ftp"]


def test_session() -> None:
    told = talk(SPEC, [*LOGIN, *PASSIVE])
    assert [event.get("command") for event in ftps(told)] == [None, "USER", "PASS", "CWD", "PASV", "RETR", "QUIT"]
    assert ftps(told)[5] == {
        "command": "RETR", "command_data": "a.txt", "reply": ["Opening (77 bytes)", "Done"], "completion_code": ["150", "226"],
        "command_truncated": False, "reply_truncated": False, "reply_received": "yes",
    }  # fmt: skip
    assert (ftps(told)[4]["dynamic_port"], ftps(told)[4]["mode"]) == (1025, "passive")
    rows = [row for _, row in told.zeek]
    assert [(row["command"], row["arg"], row["file_size"], row["password"]) for row in rows] == [
        ("PASV", None, None, "me@x"), ("RETR", "ftp://192.0.2.1/./pub/a.txt", 77, "me@x"),
    ]  # fmt: skip
    assert told.expectations[0][:3] == ("192.0.2.1", 1025, "ftp-data")
    assert (told.expectations[0][3].command, told.expectations[0][3].filename) == ("RETR", "a.txt")
    assert talk(SPEC, byte_by_byte([*LOGIN, *PASSIVE])).said == told.said


@pytest.mark.parametrize(
    ("pieces", "host", "port"),
    [
        ([(C, b"PORT 10,0,0,1,234,22\r\n")], "10.0.0.1", 59926),
        ([(C, b"EPRT |2|::1|6446|\r\n")], "::1", 6446),
        ([(C, b"EPSV\r\n"), (S, b"229 Entering Extended Passive Mode (|||6446|)\r\n")], "192.0.2.1", 6446),
    ],
)
def test_channels(pieces: list[Piece], host: str, port: int) -> None:
    assert (host, port, "ftp-data") in [item[:3] for item in talk(SPEC, [*LOGIN, *pieces]).expectations]


def test_passwords_of_users_are_hidden() -> None:
    pieces = [(C, b"USER bob\r\nPASS secret\r\n"), (S, b"331 a\r\n530 no\r\n")]
    told = talk(SPEC, pieces)
    assert "secret" not in repr(told.said)
    assert [(row["user"], row["password"], row["command"]) for _, row in told.zeek] == [("bob", "<hidden>", "PASS")]


def test_tls() -> None:
    assert talk(SPEC, [*LOGIN[:1], (C, b"AUTH TLS\r\n"), (S, b"234 go\r\n"), (C, b"\x16\x03")]).switched == "tls"


def test_overlong_lines_are_cut() -> None:
    told = talk(SPEC, [*LOGIN, (C, b"RETR " + b"x" * 5000 + b"\r\nNOOP\r\n"), (S, b"550 no\r\n200 ok\r\n")])
    assert [event["command_truncated"] for event in ftps(told)][-2:] == [True, False]
    assert len(ftps(told)[-2]["command_data"]) == 4091
    assert told.anomalies == ["request_command_too_long"]


@pytest.mark.parametrize(
    ("data", "side", "port", "match"),
    [
        (b"220 FTP ready\r\n", S, False, Match.YES), (b"220 mx ESMTP\r\n", S, True, Match.NO), (b"USER a\r\n", C, True, Match.YES),
        (b"USER a\r\n", C, False, Match.NO), (b"GET / HTTP", C, True, Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, port: bool, match: Match) -> None:
    assert SPEC.probe(data, side, port) is match


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([C, S]), st.one_of(st.binary(max_size=30), st.sampled_from([b for _, b in PASSIVE]))),
        max_size=9,
    )
)
def test_any_bytes(pieces: list[Piece]) -> None:
    session = Talk(SPEC, Told("tcp"))
    for at, (side, data) in enumerate(pieces):
        session.send(side, data)
        if at == 4:
            session.gap(side, 9)
    session.finish()


def test_data_channel() -> None:
    told = Told("tcp")
    told.note = FtpNote()
    session = Talk(ftp_data.SPEC, told)
    told.note.command, told.note.filename = "RETR", "a.txt"
    session.send(S, b"some ")
    session.gap(S, 2)
    session.send(S, b"text")
    session.finish()
    assert told.events == [("ftp_data", {"ftp_data": {"command": "RETR", "filename": "a.txt"}}, None, None)]
    assert (told.files[0].body, told.files[0].gaps, told.files[0].about["filename"]) == (b"some text", 2, "a.txt")
    told = Told("tcp")
    told.note, told.file_wanted = FtpNote(), 0
    Talk(ftp_data.SPEC, told).send(S, b"listing")
    assert told.skipped[S]
