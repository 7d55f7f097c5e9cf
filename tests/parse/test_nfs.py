"""NFS: calls with their answers, names by handles, files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.protocol import Match, Side
from nsm.parse.nfs import SPEC
from tests.parse.drive import C, Piece, S, Talk, Told, byte_by_byte, talk


def u32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def opaque(data: bytes) -> bytes:
    return u32(len(data)) + data + bytes(-len(data) % 4)


CREDS = u32(1) + opaque(u32(7) + opaque(b"hostname1") + u32(1000, 100, 0)) + u32(0, 0)
DIRECTORY, FILE = opaque(b"dir handle"), opaque(b"file handle!")


def call(xid: int, procedure: int, arguments: bytes, version: int = 3) -> bytes:
    return u32(xid, 0, 2, 100003, version, procedure) + CREDS + arguments


def answer(xid: int, result: bytes) -> bytes:
    return u32(xid, 1, 0, 0, 0, 0) + result


LOOKUP = [(C, call(1, 3, DIRECTORY + opaque(b"a.txt"))), (S, answer(1, u32(0) + FILE + u32(0, 0)))]
READ = [
    (C, call(2, 6, FILE + u32(0, 0, 10))), (S, answer(2, u32(0, 0, 5, 0) + opaque(b"hello"))),
    (C, call(3, 6, FILE + u32(0, 5, 10))), (S, answer(3, u32(0, 0, 1, 1) + opaque(b"!"))),
]  # fmt: skip
WRITE = [(C, call(4, 7, FILE + u32(0, 0, 3, 0) + opaque(b"new"))), (S, answer(4, u32(0)))]
RENAME = [(C, call(5, 14, DIRECTORY + opaque(b"a") + DIRECTORY + opaque(b"b"))), (S, answer(5, u32(2)))]
TALK: list[Piece] = [*LOOKUP, *READ, *WRITE, *RENAME]


def recorded(pieces: list[Piece]) -> list[Piece]:
    """The same on TCP."""
    return [(side, (len(data) | 1 << 31).to_bytes(4, "big") + data) for side, data in pieces]


def nfss(told: Told) -> list[Any]:
    return [objects for _, objects, _, _ in told.events]


def test_session() -> None:
    told = talk(SPEC, TALK, Told("udp"))
    lookup, read, rename, write = nfss(told)
    assert lookup["rpc"] == {
        "xid": 1, "status": "ACCEPTED", "auth_type": "UNIX", "creds": {"machine_name": "hostname1", "uid": 1000, "gid": 100},
    }  # fmt: skip
    assert (lookup["nfs"]["procedure"], lookup["nfs"]["filename"], lookup["nfs"]["id"]) == ("LOOKUP", "a.txt", 1)
    assert read["nfs"]["read"] == {"first": True, "last": True, "last_xid": 3, "chunks": 2}
    assert (read["nfs"]["filename"], read["nfs"]["file_tx"], read["nfs"]["hhash"]) == (
        "a.txt",
        True,
        lookup["nfs"]["hhash"],
    )
    assert rename["nfs"]["rename"] == {"from": "a", "to": "b"}
    assert rename["nfs"]["status"] == "ERR_NOENT"
    assert write["nfs"]["write"]["last_xid"] == 4
    assert [(file.about["filename"], file.body, file.truncated) for file in told.files] == [
        ("a.txt", b"hello!", False), ("a.txt", b"new", True),
    ]  # fmt: skip
    whole = talk(SPEC, recorded(TALK), Told("tcp"))
    assert whole.events == told.events
    assert talk(SPEC, byte_by_byte(recorded(TALK)), Told("tcp")).said == whole.said


def test_version_2() -> None:
    handle, made = b"h" * 32, b"m" * 32
    told = talk(SPEC, [
        (C, call(1, 9, handle + opaque(b"new"), 2)), (S, answer(1, u32(0) + made)),
        (C, call(2, 6, made + u32(0, 99, 0), 2)), (S, answer(2, u32(0) + u32(1, 0, 0, 0, 0, 4) + bytes(44) + opaque(b"data"))),
        (C, call(3, 17, handle, 2)), (S, answer(3, u32(0))),
    ], Told("udp"))  # fmt: skip
    assert [(event["nfs"]["procedure"], event["nfs"]["filename"]) for event in nfss(told)] == [
        ("CREATE", "new"), ("READ", "new"), ("STATFS", ""),
    ]  # fmt: skip
    assert told.files[0].body == b"data"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (call(1, 0, b""), Match.YES), (recorded([(C, call(1, 0, b""))])[0][1], Match.YES), (bytes(60), Match.NO),
        (u32(1, 0, 2, 100000, 2, 3) + bytes(20), Match.NO), (b"GET / HTTP/1.1\r\nHost: example", Match.NO),
    ],
)  # fmt: skip
def test_probe(data: bytes, match: Match) -> None:
    assert SPEC.probe(data, Side.CLIENT, True) is match


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["udp", "tcp"]),
    st.lists(
        st.tuples(st.sampled_from([C, S]), st.one_of(st.binary(max_size=60), st.sampled_from([d for _, d in TALK]))),
        max_size=8,
    ),
    st.integers(0, 200),
)
def test_any_bytes(transport: str, pieces: list[Piece], cut: int) -> None:
    session = Talk(SPEC, Told(transport))
    for side, data in pieces if transport == "udp" else recorded(pieces):
        session.send(side, data[: cut or None])
    session.gap(S, 3)
    session.finish()
    assert all(file.closed for file in session.told.files)
