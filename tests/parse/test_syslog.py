"""Syslog: messages built by hand after RFC 3164, RFC 5424 and RFC 6587."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.syslog import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, Told, talk


@pytest.mark.parametrize(
    ("data", "facility", "severity", "message"),
    [
        (b"<34>su failed", "AUTH", "CRIT", "su failed"),
        (b"<191>1 - x", "LOCAL7", "DEBUG", "1 - x"),
        (b"<192>x", "UNSPECIFIED", "UNSPECIFIED", "<192>x"),
        (b"x", "UNSPECIFIED", "UNSPECIFIED", "x"),
    ],
)
def test_a_message(data: bytes, facility: str, severity: str, message: str) -> None:
    ((_, row),) = talk(SPEC, [(C, data)], Told("udp")).zeek
    assert row == {"proto": "udp", "facility": facility, "severity": severity, "message": message}


def test_over_tcp_lengths_and_lines_the_same_however_cut() -> None:
    told = same_however_cut(SPEC, [(C, b"5 <6>hi<13>there\n<14>\n8 <15>last")])
    assert [row["message"] for _, row in told.zeek] == ["hi", "there", "", "last"]


def test_a_line_without_end_is_given_up() -> None:
    assert talk(SPEC, [(C, b"<6>" + b"x" * 40_000)], Told("tcp")).over


@pytest.mark.parametrize(
    ("data", "port", "answer"),
    [
        (b"<6>hi", False, Match.YES),
        (b"12 <6>hi", False, Match.YES),
        (b"12", False, Match.MORE),
        (b"<1", False, Match.MORE),
        (b"<html>", False, Match.NO),
        (b"text", True, Match.YES),
        (b"text", False, Match.NO),
        (b"", True, Match.NO),
    ],
)
def test_probe(data: bytes, port: bool, answer: Match) -> None:
    assert SPEC.probe(data, C, port) is answer


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, pieces, "tcp")
