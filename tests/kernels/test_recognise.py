"""What first payloads look like: one example a protocol, cut anywhere without a read beyond the end, and no false claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.kernels.jit import kernel
from nsm.kernels.recognise import recognise
from nsm.model.flow import APPS
from tests.kernels.feeding import GUARD

DNS = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1"
# Name -> (payload, protocol, port of its sender, port of its receiver).
EXAMPLES: dict[str, tuple[bytes, int, int, int]] = {
    "http": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 6, 40_000, 8_080),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 6, 40_000, 443),
    "ssh": (b"SSH-2.0-OpenSSH_9.6\r\n", 6, 22, 40_000),
    "dns": (DNS, 17, 40_000, 53),
    "mdns": (DNS, 17, 5_353, 5_353),
    "llmnr": (DNS, 17, 40_000, 5_355),
    "quic": (b"\xc3\0\0\0\1\x08" + bytes(1_200), 17, 40_000, 443),
    "smtp": (b"EHLO mail.example\r\n", 6, 40_000, 25),
    "ftp": (b"220 ready to serve\r\n", 6, 21, 40_000),
    "pop3": (b"+OK ready\r\n", 6, 110, 40_000),
    "imap": (b"* OK ready\r\n", 6, 143, 40_000),
    "ntp": (b"\x23" + bytes(47), 17, 40_000, 123),
    "dhcp": (b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63\x35\1\1\xff", 17, 68, 67),
    "snmp": (b"\x30\x26\2\1\1\4\6public", 17, 40_000, 161),
    "smb": (b"\0\0\0\x90\xfeSMB\x40\0\0\0", 6, 40_000, 445),
    "rdp": (b"\3\0\0\x13\x0e\xe0\0\0\0\0\0", 6, 40_000, 3_389),
    "sip": (b"INVITE sip:bob@example SIP/2.0\r\n", 17, 5_060, 5_060),
    "bittorrent": (b"\x13BitTorrent protocol" + bytes(8), 6, 40_000, 6_881),
    "stun": (b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12), 17, 40_000, 3_478),
    "pgsql": (b"\0\0\0\x20\0\3\0\0user\0me\0", 6, 40_000, 5_432),
    "redis": (b"*1\r\n$4\r\nPING\r\n", 6, 40_000, 6_379),
    "wireguard": (b"\1\0\0\0" + bytes(144), 17, 40_000, 51_820),
    "rtsp": (b"RTSP/1.0 200 OK\r\n", 6, 554, 40_000),
    "mqtt": (b"\x10\x20\0\4MQTT\4\2\0\x3c", 6, 40_000, 1_883),
    "ldap": (b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0", 6, 40_000, 389),
    "ssdp": (b"M-SEARCH * HTTP/1.1\r\n", 17, 40_000, 1_900),
    "rfb": (b"RFB 003.008\n", 6, 5_900, 40_000),
    "telnet": (b"\xff\xfd\x18\xff\xfd\x20\xff\xfd", 6, 23, 40_000),
}


@kernel
def _look(data, start, stop, proto, sport, dport, out):  # type: ignore[no-untyped-def]  # a kernel
    out[0] = recognise(data, start, stop, proto, sport, dport)


def name_of(payload: bytes, proto: int, sport: int, dport: int) -> str:
    data = np.frombuffer(payload + GUARD, np.uint8).copy()
    out = np.zeros(1, np.int64)
    _look(data, np.int64(0), np.int64(len(payload)), np.int64(proto), np.int64(sport), np.int64(dport), out)
    return APPS[int(out[0])]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_protocol_is_known_by_its_first_bytes(name: str) -> None:
    payload, proto, sport, dport = EXAMPLES[name]
    assert name_of(payload, proto, sport, dport) == name


def test_every_name_has_an_example() -> None:
    assert set(EXAMPLES) == set(APPS) - {""}


@given(st.sampled_from(sorted(EXAMPLES)), st.integers(0, 60))
@settings(max_examples=200)
def test_what_is_cut_is_that_protocol_or_nothing(name: str, size: int) -> None:
    payload, proto, sport, dport = EXAMPLES[name]
    assert name_of(payload[:size], proto, sport, dport) in {name, ""}
    assert size >= 8 or not name_of(payload[:size], proto, sport, dport)


@given(st.binary(max_size=64), st.sampled_from((6, 17)))
@settings(max_examples=300)
def test_bytes_behind_the_end_change_nothing(payload: bytes, proto: int) -> None:
    data = np.frombuffer(payload + bytes(64), np.uint8).copy()
    out = np.zeros(1, np.int64)
    _look(data, np.int64(0), np.int64(len(payload)), np.int64(proto), np.int64(4_000), np.int64(53), out)
    assert name_of(payload, proto, 4_000, 53) == APPS[int(out[0])]
