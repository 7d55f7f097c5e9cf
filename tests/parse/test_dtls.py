"""DTLS: a handshake in datagrams, fragments out of order, and what every parser keeps."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.dtls import SPEC
from tests.parse.drive import C, Piece, S, Told, talk
from tests.wire.tls_made import client_hello, server_hello, sni, u16, u24


def record(kind: int, body: bytes, epoch: int = 0) -> bytes:
    return bytes([kind]) + b"\xfe\xfd" + u16(epoch) + bytes(6) + u16(len(body)) + body


def fragment(kind: int, number: int, body: bytes, start: int = 0, end: int | None = None) -> bytes:
    part = body[start:end]
    return record(22, bytes([kind]) + u24(len(body)) + u16(number) + u24(start) + u24(len(part)) + part)


CLIENT = client_hello(sni("d.example"), (0xC02B,), cookie=True)
SERVER = server_hello(b"", 0xC02B, version=0xFEFD)
WHOLE: list[Piece] = [
    (C, fragment(1, 0, CLIENT, 0, 30)),
    (C, fragment(1, 0, CLIENT, 30)),
    (S, fragment(3, 0, b"\xfe\xfd\0")),
    (C, fragment(1, 1, CLIENT)),
    (S, fragment(14, 2, b"") + fragment(2, 1, SERVER)),
    (C, fragment(16, 2, bytes(9)) + record(20, b"\1") + record(22, bytes(30), 1)),
    (S, record(20, b"\1") + record(22, bytes(30), 1)),
]


def test_fragments_and_messages_out_of_order() -> None:
    told = talk(SPEC, WHOLE)
    tls = told.events[0][1]["tls"]
    assert (tls["version"], tls["sni"], tls["ja4"][:8]) == ("DTLS 1.2", "d.example", "dd2d0101")
    row = told.zeek[0][1]
    assert (row["version"], row["ssl_history"], row["established"]) == ("DTLSv12", "CvCsnGIi", True)
    assert told.over


def test_the_client_of_the_handshake_may_be_the_server_of_the_flow() -> None:
    told = talk(SPEC, [(side.other, data) for side, data in WHOLE])
    assert told.zeek[0][1]["ssl_history"] == "^CvCsnGIi"


def test_repeated_datagrams_say_nothing_new() -> None:
    assert talk(SPEC, [piece for piece in WHOLE for _ in range(2)]).events == talk(SPEC, WHOLE).events


def test_probe() -> None:
    assert SPEC.probe(WHOLE[0][1], C, False) is Match.YES
    assert SPEC.probe(b"\0\1\0\0" + bytes(20), C, True) is Match.NO


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6), st.integers(0, 80))
def test_any_bytes(datagrams: list[bytes], cut: int) -> None:
    talk(SPEC, [*WHOLE[:1], (C, WHOLE[1][1][:cut]), *((S, record(22, data)) for data in datagrams)], Told("udp"))
    talk(SPEC, [(C, data) for data in datagrams])
