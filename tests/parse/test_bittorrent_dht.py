"""BitTorrent's hash table: messages built by hand after BEP 5."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.bittorrent_dht import SPEC
from tests.parse.checks import mutated, survives
from tests.parse.drive import C, Piece, Told, talk

ID = b"20:" + b"i" * 20
ASK = b"d1:ad2:id" + ID + b"9:info_hash" + ID + b"4:porti6881ee1:q13:announce_peer1:t2:aa1:v4:UT011:y1:qe"
TELL = b"d1:rd2:id" + ID + b"5:nodes26:" + b"n" * 20 + b"\1\2\3\4\0\x50" + b"6:valuesl6:\5\6\7\x08\0\7ee1:t2:aa1:y1:re"
FAIL = b"d1:eli203e4:oopse1:t2:aa1:y1:ee"


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (
            ASK,
            {"transaction_id": "6161", "client_version": "55543031", "request_type": "announce_peer",
             "request": {"id": "69" * 20, "info_hash": "69" * 20, "port": 6881}},
        ),
        (
            TELL,
            {"transaction_id": "6161",
             "response": {"id": "69" * 20, "nodes": [{"id": "6e" * 20, "ip": "1.2.3.4", "port": 80}],
                          "values": [{"ip": "5.6.7.8", "port": 7}]}},
        ),
        (FAIL, {"transaction_id": "6161", "error": {"num": 203, "msg": "oops"}}),
    ],
)  # fmt: skip
def test_a_message_is_an_event(data: bytes, event: dict[str, object]) -> None:
    told = talk(SPEC, [(C, data)], Told("udp"))
    assert (told.events[0][1], told.anomalies) == ({"bittorrent_dht": event}, [])


def test_without_a_transaction_it_is_malformed() -> None:
    told = talk(SPEC, [(C, FAIL.replace(b"1:t2:aa", b"")), (C, b"d1:ad"), (C, b"d1:y1:qe")], Told("udp"))
    assert (told.events[0][1]["bittorrent_dht"]["transaction_id"], told.anomalies) == ("", ["malformed_packet"] * 3)


def test_probe() -> None:
    asked = [SPEC.probe(data, C, False) for data in (ASK, TELL, FAIL, b"d4:name")]
    assert asked == [Match.YES, Match.YES, Match.YES, Match.NO]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=60)), max_size=5))
def test_any_bytes(pieces: list[Piece]) -> None:
    survives(SPEC, pieces, "udp")
    survives(SPEC, [(side, b"d1:ad" + data) for side, data in pieces], "udp")


@settings(max_examples=50)
@given(st.sampled_from([ASK, TELL, FAIL]), st.integers(0, 99), st.integers(0, 255), st.integers(0, 30))
def test_any_change(golden: bytes, at: int, byte: int, cut: int) -> None:
    survives(SPEC, [(C, mutated(golden, at, byte, cut))], "udp")
