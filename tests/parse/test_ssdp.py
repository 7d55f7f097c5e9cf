"""SSDP is recognised by its first line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.ssdp import SPEC
from tests.parse.drive import C


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"M-SEARCH * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n", Match.YES),
        (b"NOTIFY * HTTP/1.1\r\n\r\n", Match.YES),
        (b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n", Match.YES),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", Match.NO),
        (b"GET / HTTP/1.1\r\n\r\n", Match.NO),
    ],
)
def test_probe(data: bytes, answer: Match) -> None:
    assert SPEC.probe(data, C, True) is answer


@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    assert SPEC.probe(data, C, True) in Match
