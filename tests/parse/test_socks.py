"""SOCKS: handshakes built by hand after RFC 1928, RFC 1929 and the notes on version 4."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.socks import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, talk

ASK = b"\5\1\0\3\x0bexample.com\1\xbb"
TOLD = b"\5\0\0\1\x0a\0\0\1\x1f\x90"


@pytest.mark.parametrize(
    ("pieces", "row"),
    [
        (
            [(C, b"\5\1\0"), (S, b"\5\0"), (C, ASK), (S, TOLD)],
            {"version": 5, "status": "succeeded", "request__name": "example.com", "request_p": 443,
             "bound__host": "10.0.0.1", "bound_p": 8080, "user": None},
        ),
        (
            [(C, b"\5\1\2"), (S, b"\5\2"), (C, b"\1\3bob\6secret"), (S, b"\1\0"), (C, ASK), (S, b"\5\0\0\4" + bytes(18))],
            {"user": "bob", "password": None, "bound__host": "::"},
        ),
        (
            [(C, b"\4\1\0\x50\x0a\0\0\2me\0"), (S, b"\0\x5a\0\0\0\0\0\0")],
            {"version": 4, "user": "me", "request__host": "10.0.0.2", "request_p": 80, "status": "succeeded"},
        ),
        (
            [(C, b"\4\1\0\x50\0\0\0\1\0example.com\0"), (S, b"\0\x5a\0\0\0\0\0\0")],
            {"request__name": "example.com", "request__host": None, "user": None},
        ),
    ],
)  # fmt: skip
def test_a_granted_request_is_a_row_and_then_another_protocol(pieces: list[Piece], row: dict[str, Any]) -> None:
    told = same_however_cut(SPEC, pieces)
    assert {name: told.zeek[0][1][name] for name in row} == row
    assert told.switched == ""


def test_refused_and_unanswered() -> None:
    start: list[Piece] = [(C, b"\5\1\0"), (S, b"\5\0"), (C, ASK)]
    refused = talk(SPEC, [*start, (S, b"\5\5" + TOLD[2:])])
    assert (refused.zeek[0][1]["status"], refused.over, refused.switched) == ("Connection refused", True, None)
    assert talk(SPEC, start).zeek[0][1]["status"] is None
    assert talk(SPEC, [(C, b"\5\1\0"), (S, b"\5\xff")]).over


def test_probe() -> None:
    asked = [SPEC.probe(data, C, True) for data in (b"\5\1\0", b"\5\2", b"\4\1\0\x50\x0a\0\0\2\0", b"\5\1\0x", b"\6")]
    assert asked == [Match.YES, Match.MORE, Match.YES, Match.NO, Match.NO]
    assert SPEC.probe(b"\5\0", S, True) is Match.NO


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5), st.binary(max_size=30))
def test_any_bytes(pieces: list[Piece], rest: bytes) -> None:
    survives(SPEC, pieces, "tcp")
    survives(SPEC, [(C, b"\5\1\0"), (S, b"\5\2"), (C, rest), (S, rest), (C, rest), (S, rest)], "tcp")
    survives(SPEC, [(C, b"\4\1" + rest), (S, rest)], "tcp")
