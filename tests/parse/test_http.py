"""HTTP/1: what requests and answers become, however they are cut, and what is odd about them."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.http import SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk

GET = b"GET /a/b?c=1 HTTP/1.1\r\nHost: Example.org:8080\r\nUser-Agent: test\r\nReferer: http://x/\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nA: b\r\n\r\n"
FORM = (
    b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="f"; filename="t.txt"\r\nContent-Type: text/plain\r\n\r\n'
    b"line\r\n--XY\r\n\r\n--XX--\r\n"
)
POST = (
    b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: %d\r\n\r\n"
    % len(FORM)
)
ZIPPED = gzip.compress(b"plain text " * 50, mtime=0)
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(ZIPPED)

PLAIN = {
    "hostname": "example.org", "http_port": 8080, "url": "/a/b?c=1", "http_user_agent": "test",
    "http_content_type": "text/html", "http_refer": "http://x/", "http_method": "GET", "protocol": "HTTP/1.1",
    "status": 200, "length": 5,
}  # fmt: skip

TALKS: dict[str, list[Piece]] = {
    "request and answer": [(C, GET), (S, OK)],
    "pipelined": [(C, GET + GET), (S, OK + CHUNKS)],
    "chunks": [(C, GET), (S, CHUNKS)],
    "form": [(C, POST + FORM), (S, b"HTTP/1.1 204 No\r\n\r\n")],
    "gzip": [(C, GET), (S, GZIP + ZIPPED)],
    "continue": [(C, b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"), (S, b"HTTP/1.1 100 Continue\r\n\r\n"), (C, b"ab"),
                 (S, OK)],
    "bare line feeds": [(C, b"GET / HTTP/1.0\nHost: h\n\n"), (S, b"HTTP/1.0 200\nContent-Length: 2\n\nab\r\n")],
    "until the end": [(C, GET), (S, b"HTTP/1.1 200 OK\r\n\r\nsome"), (S, b" more")],
    "old": [(C, b"GET /old\r\n"), (S, b"<html>text</html>")],
    "head": [(C, GET.replace(b"GET", b"HEAD") + GET), (S, OK.removesuffix(b"hello") + OK)],
    "no request": [(S, OK)],
    "folded": [(C, b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"), (S, OK)],
    "no answer": [(C, GET + GET)],
    "cut short": [(C, GET), (S, OK[:-2])],
}  # fmt: skip


def https(told: Told) -> list[Any]:
    return [objects["http"] for kind, objects, _, _ in told.events if kind == "http"]


@pytest.mark.parametrize("name", TALKS)
def test_same_whole_and_byte_by_byte(name: str) -> None:
    whole = talk(SPEC, TALKS[name])
    assert whole.events
    assert talk(SPEC, byte_by_byte(TALKS[name])).said == whole.said


def test_plain_request_is_one_event_row_and_file() -> None:
    told = talk(SPEC, TALKS["request and answer"])
    assert https(told) == [PLAIN]
    assert told.files[0].body == b"hello"
    assert not told.files[0].truncated
    assert told.files[0].attached == {"http": PLAIN}
    assert told.files[0].about["fallback"] == "/a/b"
    row = told.zeek[0][1]
    assert (row["trans_depth"], row["host"], row["version"], row["response_body_len"]) == (
        1,
        "Example.org:8080",
        "1.1",
        5,
    )
    assert told.names == ["example.org"]


@pytest.mark.parametrize(
    ("name", "bodies"),
    [
        ("pipelined", [b"hello", b"hello world"]),
        ("chunks", [b"hello world"]),
        ("form", [b"1", b"line\r\n--XY\r\n"]),
        ("gzip", [b"plain text " * 50]),
        ("continue", [b"ab", b"hello"]),
        ("until the end", [b"some more"]),
        ("old", [b"<html>text</html>"]),
        ("head", [b"hello"]),
        ("cut short", [b"hel"]),
    ],
)
def test_bodies(name: str, bodies: list[bytes]) -> None:
    told = talk(SPEC, TALKS[name])
    assert [file.body for file in told.files] == bodies
    assert all(file.closed for file in told.files)
    assert [file.truncated for file in told.files] == [name == "cut short"] * len(bodies)


def test_names_of_forms_and_dispositions() -> None:
    told = talk(SPEC, TALKS["form"])
    assert [file.about["filename"] for file in told.files] == ["", "t.txt"]
    assert told.zeek[0][1]["orig_filenames"] == ["t.txt"]
    answer = b'HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename="a b.exe"\r\nContent-Length: 1\r\n\r\nM'
    assert talk(SPEC, [(C, GET), (S, answer)]).files[0].about["filename"] == "a b.exe"


def test_gzip_counts_both_sizes() -> None:
    told = talk(SPEC, TALKS["gzip"])
    assert https(told)[0]["length"] == len(ZIPPED)
    assert told.zeek[0][1]["response_body_len"] == 550


def test_range() -> None:
    answer = b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-6/90\r\nContent-Length: 2\r\n\r\nab"
    told = talk(SPEC, [(C, GET), (S, answer)])
    assert https(told)[0]["content_range"] == {"raw": "bytes 5-6/90", "start": 5, "end": 6, "size": 90}
    assert (told.files[0].about["start"], told.files[0].about["end"]) == (5, 6)


def test_gap_in_a_body_and_what_follows() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, GET + GET)
    session.send(S, OK[:-4])
    session.gap(S, 4)
    session.send(S, OK)
    session.finish()
    assert [file.gaps for file in session.told.files] == [4, 0]
    assert [event["length"] for event in https(session.told)] == [5, 5]


def test_gap_over_a_head_is_resynchronised() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, GET)
    session.gap(C, 30)
    session.send(C, b"rest of a head\r\n\r\n" + GET)
    session.gap(S, 100)
    session.send(S, b"tail of a body" + OK)
    session.finish()
    assert len(https(session.told)) == 2


def test_download_is_skipped_when_the_file_has_enough() -> None:
    told = Told("tcp")
    told.file_wanted = 0
    session = Talk(SPEC, told)
    session.send(C, GET)
    session.send(S, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc")
    assert told.skipped[S] == 1_000_000 - 4
    session.send(S, b"x" * 999_996)
    session.send(S, b"x" + OK)
    assert [event["length"] for event in https(told)] == [1_000_000, 5]
    assert told.files[0].size == 1_000_000
    session = Talk(SPEC, Told("tcp"))
    session.told.file_wanted = 0
    session.send(C, GET)
    session.send(S, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc")
    session.send(S, b"x" * 10)
    session.finish()
    assert https(session.told)[0]["length"] == 13
    assert session.told.files[0].truncated


@pytest.mark.parametrize(
    ("request_", "answer", "name"),
    [
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200 Yes\r\n\r\n", ""),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            b"HTTP/1.1 101 S\r\nUpgrade: WebSocket\r\n\r\n",
            "websocket",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n", "http2"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", None),
    ],
)
def test_ways_out(request_: bytes, answer: bytes, name: str | None) -> None:
    told = talk(SPEC, [(C, request_), (S, answer + b"\x16\x03")])
    assert told.switched == name
    assert len(https(told)) >= 1


def test_password_is_not_kept() -> None:
    told = talk(SPEC, [(C, b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n"), (S, OK)])
    assert told.zeek[0][1]["username"] == "user"
    assert "secret" not in repr(told.said)
    assert "dXNlcjpzZWNyZXQ" not in repr(told.said)


@pytest.mark.parametrize(
    ("pieces", "anomaly"),
    [
        ([(S, OK)], "UNABLE_TO_MATCH_RESPONSE_TO_REQUEST"),
        ([(C, b"GET / HTTP/1.1\r\n\r\n")], "MISSING_HOST_HEADER"),
        ([(C, b"GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n")], "REQUEST_FIELD_MISSING_COLON"),
        ([(C, b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")],
         "DUPLICATE_CONTENT_LENGTH_FIELD_IN_REQUEST"),
        ([(C, GET), (S, CHUNKS.replace(b"6;x", b"zz"))], "INVALID_RESPONSE_CHUNK_LEN"),
        ([(C, GET), (S, GZIP + b"x" * len(ZIPPED))], "GZIP_DECOMPRESSION_FAILED"),
    ],
)  # fmt: skip
def test_anomalies(pieces: list[Piece], anomaly: str) -> None:
    assert anomaly in talk(SPEC, pieces).anomalies
    assert not talk(SPEC, TALKS["request and answer"]).anomalies


def test_settings_choose_fields() -> None:
    told = Told("tcp", {"extended": False})
    assert "status" not in https(talk(SPEC, TALKS["request and answer"], told))[0]
    told = Told("tcp", {"dump_all_headers": "both", "custom": ["server", "accept"]})
    event = https(talk(SPEC, [(C, GET), (S, OK.replace(b"Content-Type", b"Server"))], told))[0]
    assert event["request_headers"][0] == {"name": "Host", "value": "Example.org:8080"}
    assert len(event["response_headers"]) == 2
    assert event["server"].startswith("text/html")


def test_a_bomb_is_bounded() -> None:
    body = gzip.compress(gzip.compress(bytes(40_000_000), mtime=0), mtime=0)
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    told = Told("tcp")
    told.file_wanted = 0
    talk(SPEC, [(C, GET), (S, answer + body)], told)
    assert told.files[0].size < 8_000_000
    assert "COMPRESSION_BOMB" in told.anomalies


@pytest.mark.parametrize(
    ("data", "side", "match"),
    [
        (b"GET / HTTP/1.1\r\n", C, Match.YES), (b"G", C, Match.MORE), (b"OPTIONS rtsp://a RTSP/1.0\r\n", C, Match.NO),
        (b"HTTP/1.1 200", S, Match.YES), (b"HT", S, Match.MORE), (b"220 smtp", S, Match.NO), (b"\x16\x03\x01", C, Match.NO),
        (b"FOO bar HTTP/1.0\r\n", C, Match.YES), (b"EHLO me\r\n", C, Match.NO), (b"SSH-2.0-x\r\n", C, Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, match: Match) -> None:
    assert SPEC.probe(data, side, False) is match


PARTS = st.sampled_from(
    [GET, OK, CHUNKS, POST, FORM, GZIP, ZIPPED, b"\r\n", b"0\r\n\r\n", b"GET /x\r\n", b"HTTP/1.1 1", b"ffff\r\n"]
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([C, S]), st.one_of(PARTS, st.binary(max_size=40)), st.booleans()), max_size=8)
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
