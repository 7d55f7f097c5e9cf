"""RFB: sessions of all versions made by hand, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.rfb import NAME_BYTES_MAX, SPEC
from tests.parse.drive import C, Piece, S, byte_by_byte, talk

OK, FAIL = bytes(4), b"\0\0\0\1"
SCREEN = b"\5\0\3\x20" + bytes((32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0)) + b"\0\0\0\4host"
NEW: list[Piece] = [
    (S, b"RFB 003.889\n"), (C, b"RFB 003.008\n"), (S, b"\2\1\2"), (C, b"\2"), (S, b"c" * 16), (C, b"r" * 16), (S, OK),
    (C, b"\1"), (S, SCREEN),
]  # fmt: skip
OLD: list[Piece] = [(S, b"RFB 003.003\n"), (C, b"RFB 003.003\n"), (S, b"\0\0\0\1"), (C, b"\0"), (S, SCREEN)]
REFUSED: list[Piece] = [*NEW[:6], (S, FAIL + b"\0\0\0\3no!")]


def test_a_session() -> None:
    told = talk(SPEC, NEW)
    rfb = told.events[0][1]["rfb"]
    assert (rfb["server_protocol_version"], rfb["client_protocol_version"]["minor"]) == (
        {"major": "003", "minor": "889"},
        "008",
    )
    assert rfb["authentication"] == {
        "security_type": 2,
        "vnc": {"challenge": "63" * 16, "response": "72" * 16},
        "security_result": "OK",
    }
    assert (rfb["framebuffer"]["width"], rfb["framebuffer"]["name"], rfb["screen_shared"]) == (1280, "host", True)
    assert rfb["framebuffer"]["pixel_format"]["red_shift"] == 16
    row = told.zeek[0][1]
    assert (row["authentication_method"], row["auth"], row["desktop_name"], row["height"]) == ("VNC", True, "host", 800)
    assert told.over


@pytest.mark.parametrize("pieces", [NEW, OLD, REFUSED])
def test_same_said_whole_and_byte_by_byte(pieces: list[Piece]) -> None:
    assert talk(SPEC, byte_by_byte(pieces)).said == talk(SPEC, pieces).said


def test_the_old_version_knows_no_result() -> None:
    told = talk(SPEC, OLD)
    assert (told.zeek[0][1]["authentication_method"], told.zeek[0][1]["auth"]) == ("None", None)


def test_a_refusal_has_a_reason() -> None:
    told = talk(SPEC, REFUSED)
    rfb = told.events[0][1]["rfb"]
    assert (rfb["authentication"]["security_result"], rfb["server_security_failure_reason"]) == ("FAIL", "no!")


def test_apples_login_is_stepped_over() -> None:
    told = talk(
        SPEC,
        [*NEW[:2], (S, b"\1\x1e"), (C, b"\x1e"), (S, b"\0\2\0\x08" + bytes(16)), (C, bytes(136)), (S, OK), (C, b"\0")],
    )
    assert told.anomalies == ["unimplemented_security_type"]
    assert (told.zeek[0][1]["authentication_method"], told.zeek[0][1]["auth"]) == ("Apple Remote Desktop", True)


@pytest.mark.parametrize(
    ("pieces", "event"),
    [
        ([*NEW[:2], (S, b"\1\x13"), (C, b"\x13")], "unimplemented_security_type"),
        ([*NEW[:6], (S, b"\0\0\0\7")], "unknown_security_result"),
        ([(S, b"RFB 00x.008\n")], "malformed_message"),
        ([*NEW[:8], (S, SCREEN[:20] + (NAME_BYTES_MAX + 1).to_bytes(4, "big"))], "malformed_message"),
    ],
)
def test_what_breaks_the_protocol_has_a_name(pieces: list[Piece], event: str) -> None:
    assert talk(SPEC, pieces).anomalies == [event]


@pytest.mark.parametrize(
    ("data", "match"),
    [(b"RFB 003.008\n", Match.YES), (b"RFB 0", Match.MORE), (b"RFB 003.008 ", Match.NO), (b"x", Match.NO)],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, S, False) is match


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((C, S)), st.binary(max_size=30)), max_size=6), st.integers(0, 9))
def test_any_bytes(pieces: list[Piece], cut: int) -> None:
    talk(SPEC, [*NEW[:cut], *pieces])
    talk(SPEC, [*OLD[:cut], *pieces])
