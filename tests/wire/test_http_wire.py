"""Heads, parameters, codings, multipart bodies and MIME types."""

from __future__ import annotations

import gzip
import lzma
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.wire import http_head
from nsm.wire.content_coding import Decoder
from nsm.wire.http_event import basic_user, content_range, split_host
from nsm.wire.magic import mime_type
from nsm.wire.multipart import Multipart, boundary


@pytest.mark.parametrize(
    ("head", "end"),
    [
        (b"a\r\n\r\nb", 5),
        (b"a\n\nb", 3),
        (b"a\r\nb: c\r\n", -1),
        (b"a\n\r\nb\n\n", 4),
        (b"a\n\nb\r\n\r\n", 3),
        (b"", -1),
    ],
)
def test_head_end(head: bytes, end: int) -> None:
    assert http_head.head_end(head) == end
    assert http_head.head_end(head, max(0, end - 1)) == end


@pytest.mark.parametrize(
    ("head", "fields", "odd"),
    [
        (b"x\r\nHost: a\r\nX-Odd : b\r\n\r\n", {b"host": b"a", b"x-odd": b"b"}, 0),
        (b"x\nHost:a\nfolded: 1\n 2\n\n", {b"host": b"a", b"folded": b"1 2"}, 0),
        (b"x\r\nA: 1\r\na: 2\r\n\r\n", {b"a": b"1, 2"}, http_head.REPEATED),
        (b"x\r\nnothing\r\n\r\n", {}, http_head.MISSING_COLON),
        (
            b"x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            {b"content-length": b"1, 1"},
            http_head.LENGTH_REPEATED,
        ),
    ],
)
def test_fields(head: bytes, fields: dict[bytes, bytes], odd: int) -> None:
    assert http_head.head_fields(http_head.head_lines(head)) == (fields, odd)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (b"12", 12),
        (b"12, 12", 12),
        (b"12, 13", None),
        (b"-1", None),
        (b"0" * 40 + b"7", 7),
        (b"9" * 19, None),
        (b"", None),
    ],
)
def test_content_length(value: bytes, size: int | None) -> None:
    assert http_head.content_length(value) == size


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b'attachment; filename="a;b.txt"; x=y', "a;b.txt"), (b"inline; FileName=plain.bin", "plain.bin"),
        (b"attachment; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"), (b'x; filename="un\\"quoted"', 'un"quoted'),
        (b"attachment", ""), (b'a; filename="open', "open"),
    ],
)  # fmt: skip
def test_disposition(value: bytes, name: str) -> None:
    assert http_head.disposition_name(value) == name


def test_small_readers() -> None:
    assert split_host(b"Ex.org:81") == ("ex.org", 81)
    assert split_host(b"[::1]:8080") == ("[::1]", 8080)
    assert split_host(b"h:99999") == ("h", None)
    assert basic_user(b"Basic dTpw") == "u"
    assert basic_user(b"Digest x") is None
    assert content_range(b"bytes */5").size == 5
    assert content_range(b"lines 1-2/3").start is None


@pytest.mark.parametrize(
    "coded", [gzip.compress(b"text" * 99), zlib.compress(b"text" * 99), zlib.compress(b"text" * 99)[2:-4]]
)
def test_codings(coded: bytes) -> None:
    decoder = Decoder([b"gzip"])
    assert b"".join(piece for at in range(len(coded)) for piece in decoder.decode(coded[at : at + 1])) == b"text" * 99
    assert not decoder.failed


def test_members_and_garbage_behind() -> None:
    decoder = Decoder([b"gzip"])
    assert b"".join(decoder.decode(gzip.compress(b"a") + gzip.compress(b"b") + b"junk")) == b"ab"
    assert list(Decoder([b"gzip", b"gzip"]).decode(b"plain text")) == [b"plain text"]
    odd = gzip.compress(b"a")
    assert list(Decoder([b"gzip"]).decode(odd[:3] + b"\x80" + odd[4:])) == [b"a"]
    packed = lzma.compress(b"text" * 99, lzma.FORMAT_ALONE)
    assert b"".join(Decoder([b"lzma"]).decode(packed)) == b"text" * 99


FORM = b"pre\r\n--B\r\nA: 1\r\n\r\none\r\n--B \r\n\r\ntwo\r\n\r\n--B\r\nC: 3\r\n\r\n\r\n--B--\r\npost"


def parts(pieces: list[bytes]) -> list[tuple[dict[bytes, bytes], bytes, bool]]:
    reader = Multipart(b"B")
    out: list[tuple[dict[bytes, bytes], bytes, bool]] = []
    for piece in pieces:
        for what, fields, data in reader.feed(piece):
            if what == "part":
                out.append((fields or {}, b"", False))
            else:
                out[-1] = (out[-1][0], out[-1][1] + data, what == "end")
    return out


@given(st.lists(st.integers(0, len(FORM)), max_size=4))
@settings(max_examples=50, deadline=None)
def test_multipart_however_cut(cuts: list[int]) -> None:
    cuts = sorted({0, *cuts, len(FORM)})
    pieces = [FORM[a:b] for a, b in pairwise(cuts)]
    assert parts(pieces) == [({b"a": b"1"}, b"one", True), ({}, b"two\r\n", True), ({b"c": b"3"}, b"", True)]


def test_boundary() -> None:
    assert boundary(b'multipart/form-data; boundary="a b"') == b"a b"
    assert boundary(b"text/plain; boundary=a") == b""


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"), (b"MZ\x90", "application/x-dosexec"), (b"PK\3\4" + bytes(40), "application/zip"),
        (b"  <!DOCTYPE HTML>", "text/html"), (b"just some words", "text/plain"), (b"short", ""), (b"\0\1\2\3" * 9, ""),
        (b'{ "a": "bcdefgh" }', "text/json"), (b"#!/usr/bin/python3\n", "text/x-python"), (b"", ""),
        (b"%PDF-1.4", "application/pdf"),
    ],
)  # fmt: skip
def test_mime_types(head: bytes, name: str) -> None:
    assert mime_type(head) == name
