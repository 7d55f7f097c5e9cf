"""RDP: connections made by hand, in the clear and handed on to TLS, and what every parser keeps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.rdp import SPEC
from tests.parse.drive import C, Piece, S, byte_by_byte, talk
from tests.wire.tls_made import certificate


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def frame(kind: int, body: bytes) -> bytes:
    head = bytes([len(body) + 6 if kind != 0xF0 else 2, kind]) + (b"\x80" if kind == 0xF0 else bytes(5))
    return b"\3\0" + (4 + len(head) + len(body)).to_bytes(2, "big") + head + body


def block(kind: int, body: bytes) -> bytes:
    return u16(kind) + u16(len(body) + 4) + body


def padded(text: str, size: int) -> bytes:
    return text.encode("utf-16-le").ljust(size, b"\0")


def settings_of(build: int = 2600) -> bytes:
    core = u32(0x80004) + u16(1152) + u16(864) + u16(0xCA01) + u16(0) + u32(0x409) + u32(build) + padded("FROG", 32)
    core += (
        u32(4)
        + u32(0)
        + u32(12)
        + bytes(64)
        + u16(0xCA01)
        + u16(1)
        + u32(0)
        + u16(24)
        + u16(7)
        + u16(3)
        + padded("55274-OEM", 64)
    )
    channels = u32(2) + b"rdpdr\0\0\0" + bytes(4) + b"cliprdr\0" + bytes(4)
    body = block(0xC001, core) + block(0xC003, channels)
    return frame(0xF0, b"\x7f\x65\x82\1\x90" + b"Duca" + (0x8000 | len(body)).to_bytes(2, "big") + body)


def answer_of(cert: bytes) -> bytes:
    body = block(0x0C01, u32(0x80004)) + block(0x0C02, u32(2) + u32(3) + u32(32) + u32(len(cert)) + bytes(32) + cert)
    return frame(0xF0, b"\x7f\x66\x82\1\0\x0a\1\0" + b"McDn" + (0x8000 | len(body)).to_bytes(2, "big") + body)


ASK = frame(0xE0, b"Cookie: mstshash=A70067\r\n" + b"\1\0\x08\0" + u32(3))
CHAIN = u32(0x8000_0002) + u32(1) + u32(len(certificate())) + certificate()
WHOLE: list[Piece] = [(C, ASK), (S, frame(0xD0, b"")), (C, settings_of()), (S, answer_of(CHAIN))]


def test_a_session_in_the_clear() -> None:
    told = talk(SPEC, WHOLE)
    events = [event["rdp"] for _, event, _, _ in told.events]
    assert [one["event_type"] for one in events] == [
        "initial_request",
        "initial_response",
        "connect_request",
        "connect_response",
    ]
    assert (events[0]["cookie"], events[2]["channels"]) == ("A70067", ["rdpdr", "cliprdr"])
    client = events[2]["client"]
    assert (client["version"], client["build"], client["client_name"], client["id"]) == (
        "v5",
        "Windows XP",
        "FROG",
        "55274-OEM",
    )
    assert (client["color_depth"], client["capabilities"]) == (32, ["support_errinfo_pdf", "want_32bpp_session"])
    (x509, _), (_, row) = told.zeek
    assert (x509, row["result"], row["security_protocol"], row["client_build"]) == ("x509", "Success", "RDP", "RDP 5.1")
    assert (row["cert_type"], row["cert_count"], row["cert_permanent"]) == ("X.509", 1, False)
    assert (row["encryption_level"], row["encryption_method"]) == ("High", "128bit")
    assert told.over


def test_same_said_whole_and_byte_by_byte() -> None:
    assert talk(SPEC, byte_by_byte(WHOLE)).said == talk(SPEC, WHOLE).said


def test_tls_is_handed_on() -> None:
    told = talk(SPEC, [(C, ASK), (S, frame(0xD0, b"\2\0\x08\0" + u32(2))), (C, b"\x16\3\1")])
    assert told.switched == "tls"
    assert (told.zeek[0][1]["result"], told.zeek[0][1]["security_protocol"]) == ("encrypted", "HYBRID")


def test_a_refusal_is_the_result() -> None:
    told = talk(SPEC, [(C, ASK), (S, frame(0xD0, b"\3\0\x08\0" + u32(2)))])
    assert told.zeek[0][1]["result"] == "SSL_NOT_ALLOWED_BY_SERVER"


def test_a_key_of_the_old_kind() -> None:
    assert talk(SPEC, [*WHOLE[:3], (S, answer_of(u32(1) + bytes(40)))]).zeek[0][1]["cert_type"] == "RSA"


@pytest.mark.parametrize(
    ("data", "match"),
    [(ASK, Match.YES), (ASK[:8], Match.MORE), (WHOLE[1][1], Match.NO), (b"\3\0\0\x16\x11\x99" + bytes(9), Match.NO)],
)
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, C, False) is match
    assert SPEC.probe(WHOLE[1][1], S, True) is Match.YES


def test_what_is_no_frame_is_malformed() -> None:
    assert talk(SPEC, [(C, b"GET / HTTP")]).anomalies == ["rdp.frame"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((C, S)), st.sampled_from((0xE0, 0xD0, 0xF0)), st.binary(max_size=60)), max_size=4
    ),
    st.integers(0, 300),
)
def test_any_bytes(pieces: list[tuple[int, int, bytes]], cut: int) -> None:
    talk(SPEC, [(C if side == 0 else S, frame(kind, body)) for side, kind, body in pieces])
    talk(SPEC, [*WHOLE[:2], (C, frame(0xF0, settings_of()[7:][:cut])), (S, frame(0xF0, answer_of(CHAIN)[7:][:cut]))])
