"""What tables of signatures are made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.wire.signature import TCP, UDP, be16, be32, le16, le32, signature, starts, starts_on_port
from tests.parse.drive import C, Told, talk


def test_too_few_bytes_may_become_it() -> None:
    spec = signature("one", TCP, starts(b"ONE"), 7, least=4, weight=2)
    assert [spec.probe(data, C, False) for data in (b"", b"ONE", b"ONE!", b"TWO!")] == [
        Match.NO, Match.MORE, Match.YES, Match.NO,
    ]  # fmt: skip
    assert (spec.name, spec.transports, spec.ports, spec.weight, spec.parser) == ("one", ("tcp",), (7,), 2, None)


def test_on_its_port_alone() -> None:
    spec = signature("one", UDP, starts_on_port(b"O"), 7)
    assert (spec.probe(b"ONE!", C, False), spec.probe(b"ONE!", C, True)) == (Match.NO, Match.YES)


def test_a_label_is_said_at_once() -> None:
    told = talk(signature("one", UDP, starts(b"ONE"), 7, label="one-app"), [(C, b"ONE!")], Told("udp"))
    assert (told.labels, told.over) == (["one-app"], True)


@pytest.mark.parametrize(
    ("read", "size", "value"), [(be16, 2, 0x0102), (le16, 2, 0x0201), (be32, 4, 0x01020304), (le32, 4, 0x04030201)]
)
def test_numbers(read: type[int], size: int, value: int) -> None:
    assert read(b"\0\1\2\3\4", 1) == value
    assert read(b"\0\1\2\3\4"[:size], 1) == -1


@given(st.binary(max_size=8), st.integers(0, 12))
def test_numbers_of_any_bytes(data: bytes, at: int) -> None:
    for read in (be16, le16, be32, le32):
        assert read(data, at) >= -1
