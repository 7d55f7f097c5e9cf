"""IRC: lines built by hand after RFC 2812."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.irc import SPEC
from tests.parse.checks import same_however_cut, survives
from tests.parse.drive import C, Piece, S, talk

LOGIN = b"PASS secret\r\nNICK bob\r\nUSER bob 0 * :Bob B\r\nJOIN #a,#b key\r\n"


def test_names_and_channels_the_same_however_cut() -> None:
    told = same_however_cut(SPEC, [(C, LOGIN), (S, b":srv 001 bob :hi\r\n")])
    rows = [(row["nick"], row["user"], row["command"], row["value"], row["addl"]) for _, row in told.zeek]
    assert rows == [
        (None, None, "NICK", "bob", ""), ("bob", None, "USER", "bob", "0 * Bob B"), ("bob", "bob", "JOIN", "#a", ""),
        ("bob", "bob", "JOIN", "#b", ""),
    ]  # fmt: skip
    assert "secret" not in str(told.zeek)
    assert "key" not in str(told.zeek)


def test_an_offered_file_announces_its_flow() -> None:
    offer = b"PRIVMSG x :\x01DCC SEND a b.bin 167772161 5000 99\x01\r\n"
    told = talk(SPEC, [(C, offer), (S, offer.replace(b"99", b"no"))])
    assert told.expectations == [("10.0.0.1", 5000, "irc-dcc-data", None)]
    assert (told.zeek[0][1]["dcc_file_name"], told.zeek[0][1]["dcc_file_size"]) == ("a b.bin", 99)


def test_starttls_switches() -> None:
    assert talk(SPEC, [(C, b"STARTTLS\r\n"), (S, b":srv 670 * :go\r\n")]).switched == "tls"


def test_probe() -> None:
    yes = (b"NICK bob\r\n", b"CAP LS 302\r\n", b"USER a 0 * :b\r\n", LOGIN)
    assert [SPEC.probe(data, C, False) for data in yes] == [Match.YES] * 4
    assert [SPEC.probe(data, S, False) for data in (b":srv NOTICE AUTH :x\r\n", b":srv 001 a :b\r\n")] == [
        Match.YES
    ] * 2
    assert [SPEC.probe(data, C, False) for data in (b"NI", b"USER anonymous\r\n", b"GET / HTTP/1.1\r\n")] == [
        Match.MORE, Match.NO, Match.NO,
    ]  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, [(side, data + b"\r\n") for side, data in pieces], "tcp")
