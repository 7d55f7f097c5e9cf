"""DHCPv6 is recognised by options that fill the message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.dhcpv6 import SPEC
from tests.parse.drive import C

SOLICIT = b"\1\0\0\7" + b"\0\1\0\4abcd" + b"\0\x06\0\2\0\x17"


@pytest.mark.parametrize(
    ("data", "port", "answer"),
    [
        (SOLICIT, True, Match.YES),
        (SOLICIT, False, Match.NO),
        (SOLICIT[:-1], True, Match.NO),
        (b"\x0c" + bytes(33) + b"\0\x09\0\0", True, Match.YES),
        (b"\x7f" + SOLICIT[1:], True, Match.NO),
    ],
)
def test_probe(data: bytes, port: bool, answer: Match) -> None:
    assert SPEC.probe(data, C, port) is answer


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    assert SPEC.probe(data, C, True) in Match
