"""TDS: first messages made by hand, and look-alikes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.tds import SPEC
from tests.parse.drive import C, S

PRELOGIN = b"\x12\1\0\x14\0\0\0\0" + b"\0\0\6\0\6\xff" + bytes(6)
LOGIN = b"\x10\1\0\x10\0\0\1\0" + b"\x08\0\0\0" + bytes(4)
BATCH = b"\1\1\0\x10\0\0\1\0" + b"S\0E\0L\0E\0"


@pytest.mark.parametrize(
    ("data", "port", "match"),
    [
        (PRELOGIN, False, Match.YES),
        (LOGIN, False, Match.YES),
        (BATCH, False, Match.NO),
        (BATCH, True, Match.YES),
        (PRELOGIN[:6], False, Match.MORE),
        (b"\x16\3\1\0\x40\1\0\0" + bytes(9), True, Match.NO),
        (b"", False, Match.MORE),
    ],
)
def test_probe(data: bytes, port: bool, match: Match) -> None:
    assert SPEC.probe(data, C, port) is match


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40), st.booleans())
def test_any_bytes(data: bytes, port: bool) -> None:
    SPEC.probe(data, S, port)
