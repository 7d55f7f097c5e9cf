"""SSH: banners and KEXINITs made by hand, and what every parser keeps."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match
from nsm.parse.ssh import PREFACE_BYTES_MAX, SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk


def packet(kind: int, body: bytes) -> bytes:
    return (len(body) + 6).to_bytes(4, "big") + b"\4" + bytes([kind]) + body + bytes(4)


def kexinit(*lists: str) -> bytes:
    body = b"".join(len(text).to_bytes(4, "big") + text.encode() for text in (*lists, "", ""))
    return packet(20, bytes(16) + body + b"\0" + bytes(4))


LISTS = ("k1,k2", "ssh-rsa", "aes", "aes,des", "m1", "m1,m2", "none", "none")
KEY = b"a host key"
WHOLE: list[Piece] = [
    (C, b"SSH-2.0-OpenSSH_9.9 comment\r\n"),
    (S, b"welcome\r\nSSH-1.99-Cisco-1.25\n"),
    (C, kexinit(*LISTS)),
    (S, kexinit("k2,k3", "ssh-rsa", "des,aes", "aes", "m1", "m2", "zlib,none", "none")),
    (S, packet(31, len(KEY).to_bytes(4, "big") + KEY + bytes(40)) + packet(21, b"") + bytes(99)),
    (C, packet(21, b"")),
]
LOGIN: list[Piece] = [
    (C, bytes(60)),
    (S, bytes(44)),
    (C, bytes(60)),
    (S, bytes(52)),
    (C, bytes(90)),
    (S, bytes(52)),
    (S, bytes(28)),
]


def test_banners_lists_and_key() -> None:
    told = talk(SPEC, WHOLE)
    ssh = told.events[0][1]["ssh"]
    assert (ssh["client"]["proto_version"], ssh["client"]["software_version"]) == ("2.0", "OpenSSH_9.9")
    assert ssh["client"]["hassh"]["string"] == "k1,k2;aes;m1;none"
    assert ssh["server"]["hassh"]["hash"] == hashlib.md5(b"k2,k3;aes;m2;none", usedforsecurity=False).hexdigest()
    row = told.zeek[0][1]
    assert (row["version"], row["kex_alg"], row["cipher_alg"], row["direction"]) == (2, "k2", "aes", None)
    assert row["mac_alg"] == "To server: m1, to client: m2"
    assert row["host_key_fingerprint"].startswith("SHA256:")
    assert len(row["host_key_fingerprint"]) == 39


@pytest.mark.parametrize(("cut", "success", "attempts"), [(7, True, 2), (6, False, 1), (4, None, 0)])
def test_the_login_is_guessed_from_sizes(cut: int, success: bool | None, attempts: int) -> None:
    told = talk(SPEC, WHOLE + LOGIN[:cut])
    assert (told.zeek[0][1]["auth_success"], told.zeek[0][1]["auth_attempts"]) == (success, attempts)
    assert told.over is bool(success)


def test_same_said_whole_and_byte_by_byte() -> None:
    assert talk(SPEC, byte_by_byte(WHOLE)).events == talk(SPEC, WHOLE).events


def test_version_1_has_no_lists() -> None:
    told = talk(SPEC, [(C, b"SSH-1.5-old\n"), (S, b"SSH-1.99-new\n")])
    assert told.zeek[0][1]["version"] == 1
    assert told.over


def test_one_side_is_told_at_the_end() -> None:
    told = talk(SPEC, WHOLE[:1])
    assert "server" not in told.events[0][1]["ssh"]
    assert told.zeek[0][1]["version"] is None


@pytest.mark.parametrize(
    ("side", "bad", "event"),
    [
        (C, b"hello\r\n", "invalid_banner"),
        (C, b"SSH-" + b"x" * 300, "long_banner"),
        (S, b"x\n" * PREFACE_BYTES_MAX, "invalid_banner"),
        (C, b"SSH-2.0-x\n\xff\xff\xff\xff\0\0", "invalid_record"),
        (C, b"SSH-2.0-x\n" + packet(20, bytes(16) + b"\0\0\xff\xff"), "invalid_record"),
    ],
)
def test_what_breaks_the_protocol_has_a_name(side: int, bad: bytes, event: str) -> None:
    assert event in talk(SPEC, [(C if side == 0 else S, bad)]).anomalies


def test_gaps_matter_only_before_the_keys() -> None:
    session = Talk(SPEC, Told())
    session.send(S, WHOLE[1][1])
    session.gap(S, 3)
    session.send(S, WHOLE[3][1])
    session.finish()
    assert "hassh" not in session.told.events[0][1]["ssh"]["server"]


def test_probe() -> None:
    assert SPEC.probe(b"SS", C, False) is Match.MORE
    assert SPEC.probe(b"SSH-2", S, False) is Match.YES
    assert SPEC.probe(b"hi\r\nSSH-2", S, True) is Match.YES
    assert SPEC.probe(b"220 ftp", S, False) is Match.NO


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((C, S)), st.binary(max_size=60)), max_size=6), st.integers(0, 120))
def test_any_bytes(pieces: list[Piece], cut: int) -> None:
    talk(SPEC, pieces)
    talk(SPEC, [*WHOLE[:2], (C, WHOLE[2][1][:cut]), *pieces])
