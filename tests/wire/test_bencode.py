"""Bencoding, BEP 3."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.wire.bencode import BencodeError, decode


def test_all_four_kinds() -> None:
    assert decode(b"d1:ai-7e1:bl2:xy0:e1:cd1:di0eee!") == {b"a": -7, b"b": [b"xy", b""], b"c": {b"d": 0}}


@pytest.mark.parametrize(
    "data", [b"", b"i1e", b"d", b"d1:a", b"d1:ae", b"di1e1:ae", b"d1:aixe", b"d1:a9:x", b"d1:a" + b"l" * 20, b"d1:a:"]
)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(BencodeError):
        decode(data)


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    with contextlib.suppress(BencodeError):
        decode(b"d" + data)
