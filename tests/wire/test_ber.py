"""ASN.1 basic encoding."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.wire.ber import BerError, head, integer, oid_text


@pytest.mark.parametrize(
    ("data", "element"), [(b"\x04\x01a", (4, 2, 3)), (b"\x04\x81\x01a", (4, 3, 4)), (b"\x30\x00", (0x30, 2, 2))]
)
def test_heads(data: bytes, element: tuple[int, int, int]) -> None:
    assert head(data, 0, len(data)) == element


@pytest.mark.parametrize("data", [b"", b"\x04", b"\x04\x02a", b"\x04\x80", b"\x04\x85\0\0\0\0\1a"])
def test_what_does_not_fit_is_refused(data: bytes) -> None:
    with pytest.raises(BerError):
        head(data, 0, len(data))


def test_numbers_and_identifiers() -> None:
    assert integer(b"\x02\x01\xff", 0, 3) == (-1, 3)
    assert [oid_text(raw) for raw in (b"\x2b\x06\x01", b"\x01", b"\x88\x37", b"", b"\x80")] == [
        "1.3.6.1",
        "0.1",
        "2.999",
        "",
        "",
    ]


@given(st.binary(max_size=20))
def test_any_bytes(data: bytes) -> None:
    oid_text(data)
    with contextlib.suppress(BerError):
        head(data, 0, len(data))
    with contextlib.suppress(BerError):
        integer(data, 0, len(data))
