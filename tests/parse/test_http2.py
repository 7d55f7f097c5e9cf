"""HTTP/2: streams, their heads and bodies, settings, and what an upgrade hands over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.http2 import PREFACE, SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    return b"\x40" + bytes((len(name),)) + name + bytes((len(value),)) + value


SETTINGS = frame(4, 0, 0, b"\0\3\0\0\0\x64")
GET = frame(1, 0x25, 1, bytes(4) + b"\x0f" + b"\x82\x84\x86" + literal(b":authority", b"example.org:81"))
POST = frame(1, 0x4, 3, b"\x83\x84" + literal(b":authority", b"example.org")) + frame(0, 0x9, 3, b"\x02abc\0\0")
OK = (
    frame(1, 0x4, 1, b"\x88" + literal(b"content-type", b"text/html; x"))
    + frame(0, 0, 1, b"hel")
    + frame(0, 1, 1, b"lo")
)
SPLIT = frame(1, 0, 3, b"\x88") + frame(9, 0x4, 3, literal(b"a", b"b")) + frame(0, 1, 3, b"x")

TALK: list[Piece] = [(C, PREFACE + SETTINGS + GET), (S, SETTINGS + OK), (C, POST), (S, SPLIT)]


def https(told: Told) -> list[Any]:
    return [objects["http"] for kind, objects, _, _ in told.events if kind == "http"]


def test_streams_are_events_and_files() -> None:
    told = talk(SPEC, TALK)
    first, server, get, post = https(told)
    assert first["http2"]["request"]["settings"] == [
        {"settings_id": "SETTINGSMAXCONCURRENTSTREAMS", "settings_value": 100}
    ]
    assert server["http2"]["response"]["settings"]
    assert (get["http_method"], get["url"], get["hostname"], get["http_port"], get["status"], get["length"]) == (
        "GET", "/", "example.org", 81, 200, 5,
    )  # fmt: skip
    assert get["http2"] == {"stream_id": 1, "request": {"priority": 15}}
    assert get["request_headers"][0] == {"name": ":method", "value": "GET"}
    assert get["http_content_type"] == "text/html"
    assert (post["http_method"], post["http2"]["stream_id"]) == ("POST", 3)
    assert [(file.about["sender"], file.body, file.truncated) for file in told.files] == [
        (S, b"hello", False), (C, b"abc", False), (S, b"x", False),
    ]  # fmt: skip
    assert told.names == ["example.org", "example.org"]
    assert talk(SPEC, byte_by_byte(TALK)).said == told.said


def test_upgrade_gives_stream_one() -> None:
    told = Told("tcp")
    told.note = {
        "http": (b"GET", b"/x", "example.org", {b"host": b"example.org", b"http2-settings": b"AAMAAABk", b"a": b"b"})
    }
    talk(SPEC, [(S, SETTINGS + OK), (C, PREFACE + SETTINGS)], told)
    events = {event["http2"]["stream_id"]: event for event in https(told)}
    assert (events[1]["url"], events[1]["status"], events[1]["request_headers"][2]["value"]) == (
        "/x",
        200,
        "example.org",
    )
    assert len(https(told)) == 4


def test_reset_and_goaway_have_names() -> None:
    told = talk(SPEC, [(C, PREFACE + GET), (S, frame(3, 0, 1, b"\0\0\0\x08") + frame(7, 0, 0, bytes(8)))])
    assert https(told)[0]["http2"]["response"]["error_code"] == "CANCEL"
    assert https(told)[1]["http2"]["response"]["error_code"] == "NOERROR"


def test_doh_is_named() -> None:
    post = frame(1, 0x4, 1, b"\x83\x84" + literal(b"content-type", b"application/dns-message"))
    assert talk(SPEC, [(C, PREFACE + post)]).app == "doh2"


def test_gap_in_a_body() -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, PREFACE + GET)
    session.send(S, frame(1, 0x4, 1, b"\x88") + b"\0\0\x09\0\1\0\0\0\1abc")
    session.gap(S, 6)
    session.finish()
    assert session.told.files[0].gaps == 6
    assert https(session.told)[0]["length"] == 9


@pytest.mark.parametrize(
    ("pieces", "anomaly"),
    [
        ([(C, b"PRI * HTTP/3")], "invalid_client_magic"),
        ([(C, PREFACE + frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff"))], "header_integer_overflow"),
        ([(C, PREFACE + frame(1, 4, 1, b"\xc0"))], "invalid_header"),
        ([(C, PREFACE + frame(0, 0, 0, b"a"))], "data_stream_zero"),
        ([(C, PREFACE + frame(1, 4, 1, b"\x82" + literal(b":authority", b"u@h")))], "userinfo_in_uri"),
    ],
)
def test_anomalies(pieces: list[Piece], anomaly: str) -> None:
    assert anomaly in talk(SPEC, pieces).anomalies


@pytest.mark.parametrize(
    ("data", "side", "match"),
    [
        (PREFACE, C, Match.YES), (PREFACE[:5], C, Match.MORE), (b"GET / HTTP/1.1\r\n", C, Match.NO), (SETTINGS, S, Match.YES),
        (b"\0\0\6", S, Match.MORE), (b"HTTP/1.1 200", S, Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, match: Match) -> None:
    assert SPEC.probe(data, side, False) is match


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([C, S]), st.one_of(st.binary(max_size=40), st.sampled_from([GET, POST, OK, SPLIT]))),
        max_size=8,
    )
)
def test_any_bytes(pieces: list[Piece]) -> None:
    session = Talk(SPEC, Told("tcp"))
    session.send(C, PREFACE)
    for at, (side, data) in enumerate(pieces):
        session.send(side, data)
        if at == 5:
            session.gap(side, 1)
    session.finish()
    assert all(file.closed for file in session.told.files)
