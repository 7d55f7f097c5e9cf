"""SMTP: mails, their parts, and what the two sides may do in between."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.smtp import SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk

HELLO: list[Piece] = [(S, b"220 mx ESMTP\r\n"), (C, b"EHLO me\r\n"), (S, b"250-mx\r\n250 SIZE\r\n")]
ENVELOPE: list[Piece] = [(C, b"MAIL FROM:<a@x> SIZE=9\r\nRCPT TO: <b@y>\r\n"), (S, b"250 ok\r\n250 ok\r\n")]
OPEN: list[Piece] = [(C, b"DATA\r\n"), (S, b"354 go\r\n")]
PLAIN = b'From: A <a@x>\r\nTo: b@y, "C, D" <c@z>\r\nSubject: hi\r\n there\r\n\r\nsee http://Example.org/x?y now\r\n..dot\r\n.\r\n'
MIXED = (
    b'From: a@x\r\nContent-Type: multipart/mixed; boundary="B"\r\n\r\npreamble\r\n--B\r\nContent-Type: text/plain\r\n\r\ntext\r\n'
    b"--B\r\nContent-Type: application/x; name=t.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + b"\r\n".join(b64encode(bytes(range(256)))[at : at + 76] for at in range(0, 344, 76))
    + b"\r\n--B\r\nContent-Disposition: attachment; filename=q.txt\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"a=3Db=\r\nc\r\n--B--\r\nepilogue\r\n.\r\n"
)  # fmt: skip
DONE: list[Piece] = [(S, b"250 queued\r\n"), (C, b"QUIT\r\n"), (S, b"221 bye\r\n")]
CHUNKED = PLAIN.removesuffix(b".\r\n").replace(b"..dot", b".dot")
BDAT: list[Piece] = [
    (C, b"BDAT 20\r\n" + CHUNKED[:20] + b"BDAT %d LAST\r\n" % (len(CHUNKED) - 20) + CHUNKED[20:]),
    (S, b"250 20 octets\r\n"),
]

TALKS: dict[str, list[Piece]] = {
    "plain": [*HELLO, *ENVELOPE, *OPEN, (C, PLAIN), *DONE],
    "parts": [*HELLO, *ENVELOPE, *OPEN, (C, MIXED), *DONE],
    "two mails": [*HELLO, *ENVELOPE, *OPEN, (C, PLAIN), (S, b"250 1\r\n"), *ENVELOPE, *OPEN, (C, PLAIN), *DONE],
    "bdat": [*HELLO, *ENVELOPE, *BDAT, *DONE],
    "one side": [(C, b"EHLO me\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n" + PLAIN + b"QUIT\r\n")],
    "refused": [*HELLO, *ENVELOPE, (C, b"DATA\r\n"), (S, b"554 no\r\n"), (C, b"RSET\r\nQUIT\r\n"), (S, b"250 ok\r\n221 bye\r\n")],
    "secrets": [
        *HELLO, (C, b"AUTH LOGIN\r\n"), (S, b"334 VXNlcm5hbWU6\r\n"), (C, b"TUFJTCBGUk9N\r\n"), (S, b"235 ok\r\n"), *ENVELOPE,
    ],
    "cut short": [*HELLO, *ENVELOPE, *OPEN, (C, PLAIN[:60])],
}  # fmt: skip


def mails(told: Told) -> list[Any]:
    return [objects for kind, objects, _, _ in told.events if kind == "smtp"]


@pytest.mark.parametrize("name", TALKS)
def test_same_whole_and_byte_by_byte(name: str) -> None:
    whole = talk(SPEC, TALKS[name])
    assert mails(whole)
    assert talk(SPEC, byte_by_byte(TALKS[name])).said == whole.said


@pytest.mark.parametrize("name", ["plain", "bdat", "one side"])
def test_mail(name: str) -> None:
    told = talk(SPEC, TALKS[name])
    (mail,) = mails(told)
    assert mail["smtp"] == {"helo": "me", "mail_from": "<a@x>", "rcpt_to": ["<b@y>"]}
    assert mail["email"]["status"] == "PARSE_DONE"
    assert mail["email"]["from"] == "A <a@x>"
    assert mail["email"]["to"] == ["b@y", '"C, D" <c@z>']
    assert mail["email"]["subject"] == "hi there"
    assert mail["email"]["url"] == ["example.org/x?y"]
    assert told.files[0].body == b"see http://Example.org/x?y now\r\n.dot\r\n"
    row = told.zeek[0][1]
    assert (row["mailfrom"], row["rcptto"], row["from_"], row["tls"]) == ("a@x", frozenset({"b@y"}), "A <a@x>", False)
    assert not told.anomalies


def test_parts_are_files() -> None:
    told = talk(SPEC, TALKS["parts"])
    assert [(file.about["filename"], file.body) for file in told.files] == [
        ("", b"text"), ("t.bin", bytes(range(256))), ("q.txt", b"a=bc"),
    ]  # fmt: skip
    assert mails(told)[0]["email"]["attachment"] == ["t.bin", "q.txt"]
    assert told.files[1].attached["smtp"]["helo"] == "me"
    assert all(file.closed for file in told.files)


def test_mails_are_numbered() -> None:
    told = talk(SPEC, TALKS["two mails"])
    assert [tx for _, _, _, tx in told.events] == [0, 1]
    assert [row["trans_depth"] for _, row in told.zeek] == [1, 2]


def test_secrets_are_not_kept_and_are_no_commands() -> None:
    told = talk(SPEC, TALKS["secrets"])
    assert "TUFJTCBGUk9N" not in repr(told.said)
    assert len(mails(told)) == 1


def test_starttls_ends_it() -> None:
    told = talk(SPEC, [*HELLO, (C, b"STARTTLS\r\n"), (S, b"220 go\r\n"), (C, b"\x16\x03\x01")])
    assert told.switched == "tls"
    assert "email" not in mails(told)[0]
    assert told.zeek[0][1]["tls"] is True


def test_gap_in_a_mail() -> None:
    session = Talk(SPEC, Told("tcp"))
    for side, data in [*HELLO, *ENVELOPE, *OPEN, (C, PLAIN[:80])]:
        session.send(side, data)
    session.gap(C, 500)
    session.send(C, b"more\r\n.\r\n")
    session.send(S, b"250 ok\r\n")
    session.finish()
    assert sum(file.gaps for file in session.told.files) == 500
    assert len(mails(session.told)) == 1


@pytest.mark.parametrize(
    ("pieces", "anomaly"),
    [
        (TALKS["refused"], "DATA_COMMAND_REJECTED"),
        ([*HELLO, (C, b"EHLO me\r\n")], "DUPLICATE_FIELDS"),
        ([*HELLO, (C, b"VRFY " + b"x" * 5000 + b"\r\nQUIT\r\n")], "TRUNCATED_LINE"),
        ([*HELLO, (C, b"NOOP\r\n"), (S, b"what?\r\n")], "INVALID_REPLY"),
        ([*HELLO, (S, b"250 ok\r\n")], "UNABLE_TO_MATCH_REPLY_WITH_REQUEST"),
        ([*HELLO, (C, b"STARTTLS\r\n"), (S, b"502 no\r\n")], "TLS_REJECTED"),
        ([*HELLO, *ENVELOPE, *OPEN, (C, b"A: b\r\n\r\n" + b"x" * 1200 + b"\r\n.\r\n"), *DONE], "MIME_LONG_LINE"),
        ([*HELLO, *ENVELOPE, *OPEN, (C, MIXED.replace(b"AAEC", b"A*EC")), *DONE], "MIME_INVALID_BASE64"),
    ],
)
def test_anomalies(pieces: list[Piece], anomaly: str) -> None:
    assert talk(SPEC, pieces).anomalies == [anomaly]


def test_sums_and_schemes_are_settings() -> None:
    told = Told("tcp", {"md5": ["subject"], "mime.body_md5": True, "mime.log_url_scheme": True})
    email = mails(talk(SPEC, TALKS["plain"], told))[0]["email"]
    assert email["url"] == ["http://example.org/x?y"]
    assert len(email["subject_md5"]) == len(email["body_md5"]) == 32


@pytest.mark.parametrize(
    ("data", "side", "port", "match"),
    [
        (b"220 mx ESMTP\r\n", S, False, Match.YES), (b"220 ftp ready\r\n", S, False, Match.NO), (b"22", S, False, Match.MORE),
        (b"EHLO me\r\n", C, False, Match.YES), (b"GET / HTTP/1.1", C, True, Match.NO), (b"EH", C, False, Match.MORE),
        (b"220 any\r\n", S, True, Match.YES),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, port: bool, match: Match) -> None:
    assert SPEC.probe(data, side, port) is match


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([C, S]),
            st.one_of(
                st.binary(max_size=40), st.sampled_from([piece for talked in TALKS.values() for _, piece in talked])
            ),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_any_bytes(pieces: list[tuple[Side, bytes, bool]]) -> None:
    session = Talk(SPEC, Told("tcp"))
    for side, data, lost in pieces:
        if lost:
            session.gap(side, len(data))
        else:
            session.send(side, data)
    session.finish()
    assert all(file.closed for file in session.told.files)
