"""Session descriptions, RFC 8866."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nsm.wire.sdp import parse

SESSION = b"v=0\no=o\ns=s\ni=i\nu=u\ne=e\np=p\nc=c\nb=AS:1\nt=1 2\nr=3\nz=z\nk=k\na=a\n"
TEXT = SESSION + b"m=audio\ni=info\nc=own\nb=AS:2\nk=key\na=x\na=y\nm=video\n"


def test_every_line_has_its_place() -> None:
    assert msgspec.to_builtins(parse(TEXT)) == {
        "version": 0, "origin": "o", "session_name": "s", "session_info": "i", "uri": "u", "email": "e", "phone_number": "p",
        "connection_data": "c", "bandwidths": ["AS:1"], "time_descriptions": [{"time": "1 2", "repeat_time": "3"}],
        "timezone": "z", "encryption_key": "k", "attributes": ["a"],
        "media_descriptions": [
            {"media": "audio", "media_info": "info", "connection_data": "own", "bandwidths": ["AS:2"],
             "encryption_key": "key", "attributes": ["x", "y"]},
            {"media": "video"},
        ],
    }  # fmt: skip


def test_what_does_not_begin_with_a_version_is_none() -> None:
    assert parse(b"hello") is None


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    parse(b"v=" + data)
