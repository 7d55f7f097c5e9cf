"""TFTP: packets built by hand after RFC 1350."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.tftp import SPEC, Transfer
from tests.parse.checks import survives
from tests.parse.drive import C, Piece, S, Told, talk

READ = b"\0\1boot.bin\0octet\0"


def block(number: int, data: bytes) -> bytes:
    return b"\0\3" + number.to_bytes(2, "big") + data


def transfer() -> Told:
    told = Told("udp")
    told.note = Transfer("boot.bin", 512)
    return told


def test_a_request_is_an_event_and_announces_the_answer() -> None:
    told = talk(SPEC, [(C, READ)], Told("udp"))
    assert told.events[0][1]["tftp"] == {"packet": "read", "file": "boot.bin", "mode": "octet"}
    assert told.expectations == [("10.0.0.1", 40_000, "tftp", Transfer("boot.bin", 512))]


def test_blocks_are_the_file() -> None:
    (file,) = talk(
        SPEC, [(C, block(1, b"a" * 512)), (S, b"\0\4\0\1"), (C, block(1, b"again")), (C, block(2, b"end"))], transfer()
    ).files
    assert (file.body, file.closed, file.truncated, file.about["filename"]) == (
        b"a" * 512 + b"end",
        True,
        False,
        "boot.bin",
    )


def test_a_lost_block_is_a_gap_and_a_file_without_end_is_cut() -> None:
    (file,) = talk(SPEC, [(C, block(1, b"a" * 512)), (C, block(3, b"c" * 512))], transfer()).files
    assert (file.gaps, file.truncated) == (512, True)


def test_an_error_ends_the_file() -> None:
    (file,) = talk(SPEC, [(C, block(1, b"a" * 512)), (S, b"\0\5\0\0no\0")], transfer()).files
    assert file.truncated


def test_options_set_the_block_size() -> None:
    told = talk(SPEC, [(C, READ + b"blksize\0" + b"1024\0")], Told("udp"))
    assert told.expectations[0][3].block_bytes == 1024


def test_probe() -> None:
    assert SPEC.probe(READ, C, False) is Match.YES
    assert SPEC.probe(b"\0\1boot.bin\0other\0", C, True) is Match.NO


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, [(side, b"\0\3" + data) for side, data in pieces], "udp", note=Transfer("x", 8))
