"""QUIC: Initial packets sealed here with the keys that anyone can make, and hellos of tags."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.quic import SPEC
from nsm.wire.quic_initial import V2, _expand, keys_of, long_header
from tests.parse.drive import C, Piece, S, Told, talk
from tests.wire.tls_made import alpn, client_hello, extension, message, server_hello, sni, u16, versions

DCID, SCID = bytes.fromhex("8394c8f03e515708"), b"\1\2\3\4"
CLIENT = message(1, client_hello(sni("q.example") + alpn("h3") + versions(0x0304)))
SERVER = message(2, server_hello(extension(43, b"\3\4") + extension(51, b"\0\x1d\0\0")))


def crypto(offset: int, piece: bytes) -> bytes:
    return b"\6" + (0x4000 | offset).to_bytes(2, "big") + (0x4000 | len(piece)).to_bytes(2, "big") + piece


def initial(
    side: int,
    frames: bytes,
    dcid: bytes = DCID,
    scid: bytes = b"",
    version: int = 1,
    number: int = 0,
    key: bytes = DCID,
) -> bytes:
    keys = keys_of(version, key)
    assert keys is not None
    frames += bytes(max(0, 40 - len(frames)))
    first = 0xD3 if version == V2 else 0xC3
    head = bytes([first]) + version.to_bytes(4, "big") + bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid + b"\0"
    head += (0x4000 | len(frames) + 20).to_bytes(2, "big")
    at = len(head)
    head += number.to_bytes(4, "big")
    sealed = keys[side]._seal.encrypt((keys[side]._iv ^ number).to_bytes(12, "big"), frames, head)
    mask = keys[side]._mask.update(sealed[:16])
    hidden = bytes(one ^ two for one, two in zip(head[at:], mask[1:5], strict=True))
    return bytes([first ^ mask[0] & 0x0F]) + head[1:at] + hidden + sealed


WHOLE: list[Piece] = [
    (C, initial(C, crypto(20, CLIENT[20:]) + b"\0\0\1", number=0)),
    (C, initial(C, b"\2\0\0\0\0" + crypto(0, CLIENT[:20]), number=1)),
    (S, initial(S, crypto(0, SERVER), dcid=b"", scid=SCID) + b"\xe3\0\0\0\1\0\4" + SCID + b"\4" + bytes(4)),
    (C, b"\x41" + bytes(30)),
    (S, b"\x41" + bytes(30)),
    (C, b"\x41" + bytes(30)),
    (C, b"\x41" + bytes(30)),
]


def test_keys_are_those_of_rfc_9001() -> None:
    """RFC 9001, section A.1."""
    secret = bytes.fromhex("c00cf151ca5be075ed0ebfb5c80323c42d6b7db67881289af4008f1f6c357aea")
    assert _expand(secret, b"quic key", 16).hex() == "1f369613dd76d5467730efcbe3b1a22d"
    assert _expand(secret, b"quic iv", 12).hex() == "fa044b2f42a3fd3b46fb255c"
    assert _expand(secret, b"quic hp", 16).hex() == "9f50449e04a0e810283a1e9933adedd2"


def test_hellos_in_pieces_out_of_order() -> None:
    told = talk(SPEC, WHOLE)
    (_, client, first, _), (_, server, second, _) = told.events
    assert (client["quic"]["sni"], client["quic"]["version"], client["quic"]["ja4"][:10]) == (
        "q.example",
        "1",
        "q13d0203h3",
    )
    assert [one["name"] for one in client["quic"]["extensions"]] == ["server_name", "alpn", "supported_versions"]
    assert server["quic"]["ja3s"]["string"] == "771,4865,43-51"
    assert (first, second) == (C, S)
    (quic, row), (ssl, tls) = told.zeek
    assert (quic, row["history"], row["server_scid"], row["client_scid"]) == ("quic", "IISishOoO", "01020304", "")
    assert (row["client_initial_dcid"], row["client_protocol"]) == (DCID.hex(), "h3")
    assert (ssl, tls["version"], tls["curve"], tls["ssl_history"]) == ("ssl", "TLSv13", "x25519", "Cs")


def test_without_rows_two_hellos_are_enough() -> None:
    told = talk(SPEC, WHOLE, Told("udp", rows=False))
    assert told.over
    assert told.zeek == []


@pytest.mark.parametrize(("version", "name"), [(V2, "quicv2"), (0xFF00001D, "draft-29"), (0xFF000016, "draft-22")])
def test_versions(version: int, name: str) -> None:
    told = talk(SPEC, [(C, initial(C, crypto(0, CLIENT), version=version))])
    assert told.zeek[0][1]["version"] == name
    assert told.events[0][1]["quic"]["version"] == f"{version:x}"


def test_a_retry_ends_the_row_and_changes_the_keys() -> None:
    retry = b"\xf0\0\0\0\1\0\4" + SCID + b"token" + bytes(16)
    again = initial(C, crypto(0, CLIENT), dcid=SCID, key=SCID)
    told = talk(SPEC, [(C, initial(C, crypto(0, CLIENT))), (S, retry), (C, again)])
    assert [row["history"] for log, row in told.zeek if log == "quic"] == ["ISr", "IS"]
    assert told.zeek[-1][1]["ssl_history"] == "CC"
    assert len(told.events) == 2


def test_a_hello_of_tags() -> None:
    values = b"a.example" + b"Chrome"
    tags = b"CHLO" + u16(0x0200) + b"\0\0" + b"SNI\0" + (9).to_bytes(4, "little") + b"UAID" + (15).to_bytes(4, "little")
    told = talk(SPEC, [(C, b"\x09" + DCID + b"Q043" + bytes(13) + b"\xa0\1" + tags + values)])
    quic = told.events[0][1]["quic"]
    assert (quic["version"], quic["sni"], quic["ua"], quic["cyu"][0]["string"]) == (
        "Q043",
        "a.example",
        "Chrome",
        "43,SNI-UAID",
    )
    assert told.over


def test_what_cannot_be_opened_is_said_once() -> None:
    broken = bytearray(WHOLE[0][1])
    broken[-1] ^= 1
    assert talk(SPEC, [(C, bytes(broken))] * 3).anomalies == ["failed_decrypt"]


def test_too_much_crypto_is_refused() -> None:
    pieces: list[Piece] = [(C, initial(C, b"\6\x80\1\0\0\1x"))]
    assert talk(SPEC, pieces).anomalies == ["crypto_frag_too_long"]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (WHOLE[0][1], Match.YES),
        (b"\x09" + DCID + b"Q039" + bytes(9), Match.YES),
        (b"\x41" + bytes(40), Match.NO),
        (b"\xc0" * 30, Match.NO),
    ],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60), st.lists(st.binary(max_size=40), max_size=4), st.integers(0, 300))
def test_any_bytes(frames: bytes, datagrams: list[bytes], cut: int) -> None:
    talk(SPEC, [(C, initial(C, frames)), (C, WHOLE[0][1][:cut]), *((S, b"\xc0\0\0\0\1" + data) for data in datagrams)])
    talk(SPEC, [(C, data) for data in datagrams])


def test_header_of_a_known_packet() -> None:
    header = long_header(WHOLE[0][1], 0, len(WHOLE[0][1]))
    assert (header.dcid, header.scid, header.kind) == (DCID, b"", 0)
