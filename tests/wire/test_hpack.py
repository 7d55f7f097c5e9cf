"""HPACK: the examples of RFC 7541 appendix C, and bytes that are none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.errors import MalformedError
from nsm.wire.hpack import _LENGTHS, STATIC, Hpack, unhuffed


def test_the_code_is_complete() -> None:
    assert len(_LENGTHS) == 257
    assert sum(1 << (30 - length) for length in _LENGTHS) == 1 << 30
    assert len(STATIC) == 61
    assert STATIC[60][0] == b"www-authenticate"


@pytest.mark.parametrize(
    ("coded", "plain"),
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", b"www.example.com"), ("25a849e95bb8e8b4bf", b"custom-value"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", b"Mon, 21 Oct 2013 20:13:21 GMT"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", b"https://www.example.com"),
    ],
)  # fmt: skip
def test_huffman(coded: str, plain: bytes) -> None:
    assert unhuffed(bytes.fromhex(coded)) == plain


def test_requests_of_appendix_c4() -> None:
    table = Hpack()
    first = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
    assert table.decode(bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")) == first
    assert table.decode(bytes.fromhex("828684be5886a8eb10649cbf")) == [*first, (b"cache-control", b"no-cache")]
    third = table.decode(bytes.fromhex("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"))
    assert third[-1] == (b"custom-key", b"custom-value")
    assert third[3] == first[3]


def test_table_sizes_are_told_and_bounded() -> None:
    table = Hpack()
    assert table.decode(b"\x3f\xe1\x1f\x82") == [(b":method", b"GET")]
    assert table.updates == [4096]
    with pytest.raises(MalformedError, match="overflow"):
        table.decode(b"\x3f\xff\xff\xff\x7f")
    with pytest.raises(MalformedError, match="bomb"):
        table.decode(b"\x82" * 2000)


@given(st.binary(max_size=60))
@settings(max_examples=50, deadline=None)
def test_any_bytes(block: bytes) -> None:
    with contextlib.suppress(MalformedError):
        Hpack().decode(block)
