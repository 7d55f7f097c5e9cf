"""Fingerprints: the examples that their authors publish, and hellos made by hand."""

from __future__ import annotations

import hashlib

import pytest

from nsm.errors import MalformedError
from nsm.wire.client_hello import parse_client_hello, parse_server_hello
from nsm.wire.fingerprints import hassh, ja3, ja3s, ja4
from tests.wire.tls_made import alpn, client_hello, extension, list16, server_hello, sni, versions


def test_ja4_of_the_published_example() -> None:
    """FoxIO/ja4, technical_details/JA4.md: sorted ciphers, sorted extensions, algorithms in order."""
    ciphers = (
        0x1301,
        0x1302,
        0x1303,
        0xC02B,
        0xC02F,
        0xC02C,
        0xC030,
        0xCCA9,
        0xCCA8,
        0xC013,
        0xC014,
        0x9C,
        0x9D,
        0x2F,
        0x35,
    )
    types = (0x1B, 0x33, 0x4469, 0x17, 0x2D, 0x5, 0x23, 0x12, 0xFF01, 0xB, 0xA, 0x15)
    extensions = b"".join(extension(kind, b"") for kind in types)
    extensions += sni("a.example") + alpn("h2") + versions(0x0A0A, 0x0304, 0x0303)
    extensions += list16(13, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)
    hello = parse_client_hello(client_hello(extension(0x1A1A, b"") + extensions, (0x2A2A, *ciphers)))
    assert ja4(hello, "t") == "t13d1516h2_8daaf6152771_e5627efa2ab1"


def test_ja3_leaves_grease_out_and_keeps_order() -> None:
    extensions = extension(0x0A0A, b"") + sni("b") + list16(10, 0x1A1A, 29, 23) + extension(11, b"\1\0")
    text, digest = ja3(parse_client_hello(client_hello(extensions)))
    assert text == "771,4865-49199,0-10-11,29-23,0"
    assert digest == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_no_extensions_leave_the_fields_empty() -> None:
    hello = parse_client_hello(client_hello(b""))
    assert ja3(hello)[0] == "771,4865-49199,,,"
    assert ja4(hello, "q") == "q12i020000_" + hashlib.sha256(b"1301,c02f").hexdigest()[:12] + "_000000000000"


@pytest.mark.parametrize(("name", "mark"), [("h2", "h2"), ("x", "xx"), ("http/1.1", "h1"), ("\x01a", "01")])
def test_alpn_is_its_first_and_last_character(name: str, mark: str) -> None:
    assert ja4(parse_client_hello(client_hello(alpn(name))), "t")[8:10] == mark


def test_ja3s_is_of_the_answer() -> None:
    hello = parse_server_hello(server_hello(extension(43, b"\3\4") + extension(51, b"\0\x1d\0\0")))
    assert ja3s(hello)[0] == "771,4865,43-51"
    assert (hello.version, hello.group) == (0x0304, 29)


def test_hassh_is_the_digest_of_the_lists() -> None:
    assert hassh("a;b;c;d") == hashlib.md5(b"a;b;c;d", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("size", [0, 10, 37, 40])
def test_short_hellos_are_malformed(size: int) -> None:
    with pytest.raises(MalformedError):
        parse_client_hello(client_hello(sni("a"))[:size])
    with pytest.raises(MalformedError):
        parse_server_hello(server_hello(b"")[: min(size, 35)])
