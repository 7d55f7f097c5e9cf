"""MongoDB is told by the head of its messages."""

from __future__ import annotations

import pytest

from nsm.model.protocol import Match, Side
from nsm.parse.mongodb import SPEC
from tests.parse.drive import C, S

QUERY = b"\x0d\x01\0\0\x01\0\0\0\0\0\0\0\xd4\x07\0\0\0\0\0\0admin.$cmd\0"
ANSWER = b"\x0d\x01\0\0\x05\0\0\0\x01\0\0\0\xdd\x07\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("data", "side", "match"),
    [
        (QUERY, C, Match.YES), (ANSWER, S, Match.YES), (ANSWER, C, Match.NO), (QUERY[:10], C, Match.MORE),
        (b"GET / HTTP/1.1\r\nHost", C, Match.NO), (bytes(20), C, Match.NO), (b"\x16\x03\x01" + bytes(20), C, Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, side: Side, match: Match) -> None:
    assert SPEC.probe(data, side, True) is match
