"""Protocols that are recognised and not parsed: BitTorrent, DNSCrypt, Avast Secure DNS, Telnet, WireGuard."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.protocol import Match, ProtocolSpec
from nsm.parse import avastsecuredns, bittorrent, dnscrypt, telnet, wireguard
from tests.parse.drive import C

ASK = struct.pack("!6H", 1, 0x100, 1, 0, 0, 0)
UTP_SYN = struct.pack("!BBHIIIHH", 0x41, 0, 9, 9, 0, 9, 1, 0)
SPECS = (bittorrent.SPEC, dnscrypt.SPEC, avastsecuredns.SPEC, telnet.SPEC, wireguard.SPEC)


@pytest.mark.parametrize(
    ("spec", "data", "port", "answer"),
    [
        (bittorrent.SPEC, b"\x13BitTorrent protocol" + bytes(48), False, Match.YES),
        (bittorrent.SPEC, b"\x13BitT", False, Match.MORE),
        (bittorrent.SPEC, b"BT-SEARCH * HTTP/1.1\r\n", False, Match.YES),
        (bittorrent.SPEC, UTP_SYN, False, Match.YES),
        (bittorrent.SPEC, b"\x01" + UTP_SYN[1:], True, Match.YES),
        (bittorrent.SPEC, b"\x01" + UTP_SYN[1:], False, Match.NO),
        (dnscrypt.SPEC, ASK + b"\x012\x0dDNScrypt-cert\3abc\0\0\x10\0\1", False, Match.YES),
        (dnscrypt.SPEC, b"r6fnvWj8" + bytes(40), False, Match.YES),
        (dnscrypt.SPEC, ASK + b"\x01a\0\0\x10\0\1", False, Match.NO),
        (avastsecuredns.SPEC, ASK + b"\x012\x09sEcuredns\x05avast\x03com\0\0\x10\0\1", False, Match.YES),
        (avastsecuredns.SPEC, ASK + b"\x01a\0\0\x10\0\1", False, Match.NO),
        (telnet.SPEC, b"\xff\xfd\x03\xff\xfb\x18", False, Match.YES),
        (telnet.SPEC, b"\xff\xfd\x03", True, Match.YES),
        (telnet.SPEC, b"\xff\xfd\x03", False, Match.MORE),
        (telnet.SPEC, b"\xff\xd8\xff\xe0JFIF", False, Match.NO),
        (wireguard.SPEC, b"\1\0\0\0" + bytes(144), False, Match.YES),
        (wireguard.SPEC, b"\4\0\0\0" + bytes(28), True, Match.YES),
        (wireguard.SPEC, b"\4\0\0\0" + bytes(28), False, Match.NO),
        (wireguard.SPEC, b"\1\0\0\0" + bytes(143), True, Match.NO),
    ],
)
def test_probe(spec: ProtocolSpec, data: bytes, port: bool, answer: Match) -> None:
    assert spec.probe(data, C, port) is answer


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes(data: bytes, port: bool) -> None:
    for spec in SPECS:
        assert spec.probe(data, C, port) in Match
