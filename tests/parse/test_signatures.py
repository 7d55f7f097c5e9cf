"""Protocols that are recognised only: each takes a message made from its description, and none takes another's or noise."""

from __future__ import annotations

import random
from struct import pack
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.model.discovery import specs
from nsm.model.protocol import Match, ProtocolSpec
from nsm.parse import industrial, network_control, rtp, services, sharing_and_play
from nsm.track.recognition import Recogniser
from tests.parse.drive import C, S, Told, talk

SPECS: Final = (*industrial.SPECS, *services.SPECS, *network_control.SPECS, *sharing_and_play.SPECS, *rtp.SPECS)
RECOGNISERS: Final = {one: Recogniser(specs("nsm.parse", "nsm.none").values(), one) for one in ("tcp", "udp")}
NOBODYS_PORT: Final = 50_123
NO_MAGIC: Final = {"rtp", "rtcp", "someip"}  # what looks like them is borne out later, or one in thousands


def tpkt(data: bytes) -> bytes:
    """RFC 1006 around a COTP data unit."""
    return pack("!BBH", 3, 0, 7 + len(data)) + b"\2\xf0\x80" + data


def framed(data: bytes) -> bytes:
    """Behind its length in four bytes."""
    return pack("!I", len(data)) + data


RTP: Final = pack("!BBHII", 0x80, 96, 7, 1_000, 0x1234_5678) + bytes(range(40))
RPC: Final = pack("!6I", 7, 0, 2, 100_005, 3, 1) + bytes(16) + pack("!I", 4) + b"/srv"
RANDOM_48: Final = random.Random(1).randbytes(48)
PHOTON: Final = pack("!HBBII", 0xFFFF, 0, 1, 15, 99) + pack("!BBBBII", 2, 255, 1, 4, 44, 1) + bytes(32)
DEVP2P: Final = bytes(range(96)) + b"\1\1" + b"\xc4\1\2\3\4"
RESET: Final = b"\x38" + bytes(range(1, 9)) + b"\0" + bytes(4)
SIGNED: Final = b"\x38" + bytes(range(1, 9)) + b"h" * 20 + pack("!II", 1, 1_700_000_000) + b"\0" + bytes(4)
HIDDEN: Final = b"\x38" + bytes(range(1, 9)) + pack("!II", 1, 1_700_000_000) + b"h" * 32 + b"12345"

EXAMPLES: Final[dict[str, bytes]] = {
    "s7comm": tpkt(b"\x32\1\0\0\0\1\0\x08\0\0"),
    "s7comm-plus": tpkt(b"\x72\1\0\x10" + bytes(16)),
    "mms": tpkt(b"\x01\0\1\0" + bytes(8)),
    "iec104": b"\x68\4\x07\0\0\0",
    "opcua": b"HELF" + pack("<I", 32) + bytes(24),
    "enip": pack("<HHII8sI", 0x65, 4, 0, 0, b"", 0) + b"\1\0\0\0",
    "cip": pack("<HHHII", 2, 0x8002, 8, 1, 1) + bytes(8),
    "bacnet": b"\x81\x0b\0\x0c\1\x20\xff\xff\0\xff\x10\x08",
    "coap": b"\x41\1\x12\x34\x07\xb4test",
    "synchrophasor": pack("!BBHHIIHH", 0xAA, 0x41, 18, 1, 1, 1, 2, 0x1234),
    "someip": pack("!HHIHHBBBB", 0x1234, 0x8001, 12, 1, 1, 1, 1, 0, 0) + b"data",
    "ads": b"\0\0" + pack("<I", 32) + bytes(32),
    "knx": b"\x06\x10\x02\x01\0\x0e\x08\1\x0a\0\0\1\x0e\x57",
    "hart-ip": b"\1\0\0\0\0\1\0\x0d\1\0\0\x75\x30",
    "ether-s-bus": pack("!IBBHBB", 12, 1, 0, 1, 0, 1) + b"\0\0",
    "ethersio": b"ESIO\0\1\0\0",
    "iec62056": b"\x7e\xa0\x07\x03\x21\x93\x0f\x01\x7e",
    "c1222": b"\x60\x10\xa2\3\2\1\0",
    "hislip": b"HS\0\0\1\0XX" + pack("!Q", 7) + b"hislip0",
    "mongodb": pack("<IIII", 16, 1, 0, 2013),
    "cassandra": b"\4\0\0\0\5" + pack("!I", 0),
    "kafka": framed(pack("!HHIH", 18, 3, 1, 6) + b"client" + b"\0"),
    "oracle": pack("!HHBB", 40, 0, 1, 0) + b"(DESCRIPTION=(CONNECT_DATA=(SID=x)"[:34],
    "drda": pack("!HBBHHH", 20, 0xD0, 1, 1, 14, 0x1041) + bytes(10),
    "diameter": b"\1\0\0\x14\x80\0\1\1" + bytes(12),
    "git": b"0032git-upload-pack /project.git\0host=example.org\0",
    "rsync": b"@RSYNCD: 31.0\n",
    "rsh": b"1022\0",
    "afp": b"\0\4\0\1" + pack("!II", 0, 4) + bytes(4) + b"\0\1\2\3",
    "thrift/tcp": b"\x80\1\0\1" + framed(b"ping") + bytes(5),
    "thrift/udp": b"\x82\x81\xb2\x01\x04ping\0",
    "memcached": b"get key\r\n",
    "iscsi": b"\x43\x87" + bytes(46) + b"InitiatorName=iqn.x\0",
    "rx": pack("!IIIIIBBBBHH", 1, 2, 3, 1, 1, 1, 5, 0, 0, 0, 52),
    "z3950": b"\xb4\x0e\x83\2\0\xe0\x84\3\0\xe9\xa2\x85\2\4\0\x86\0",
    "collectd": b"\0\0\0\x09host\0" + b"\0\1\0\x0c" + bytes(8),
    "nntp": b"MODE READER\r\n",
    "xmpp": b"<stream:stream xmlns='jabber:client'>",
    "stratum": b'{"id":1,"method":"mining.subscribe","params":[]}\n',
    "json-rpc": b'{"jsonrpc":"2.0","method":"echo","id":1}',
    "haproxy": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "whois": b"example.org\r\n",
    "hl7": b"\x0bMSH|^~\\&|",
    "openflow": b"\4\0\0\x08\0\0\0\1",
    "zabbix": b"ZBXD\1" + bytes(8),
    "amqp": b"AMQP\0\0\x09\1",
    "nats": b'INFO {"server_id":"x"}\r\n',
    "stomp": b"CONNECT\naccept-version:1.2\n\n\0",
    "ajp": b"\x12\x34\0\2\2\2",
    "fix": b"8=FIX.4.4\x019=65\x0135=A\x01",
    "corba": b"GIOP\1\2\1\0\0\0\0\0",
    "rmi": b"JRMI\0\2\x4b",
    "ceph": b"ceph v027",
    "citrix": b"\x7f\x7fICA\0",
    "kismet": b"*KISMET: 0.0.0",
    "elasticsearch": b"ES\0\0\0\x10" + bytes(16),
    "ldp": pack("!HHIH", 1, 14, 0x0A000001, 0) + b"\1\0\0\4\0\0\0\1",
    "bgp": b"\xff" * 16 + b"\0\x13\4",
    "pptp": b"\0\x9c\0\1\x1a\x2b\x3c\x4d\0\1\0\0",
    "skinny": pack("<III", 4, 0, 0),
    "h323/tcp": b"\3\0\0\x20\x08\2\1\2\5" + bytes(23),
    "h323/udp": b"\x0e\x80\x04" + bytes(10),
    "rtmp": b"\3" + bytes(8) + bytes(1528),
    "tinc": b"0 node 17.7\n",
    "bitcoin": b"\xf9\xbe\xb4\xd9version\0\0\0\0\0",
    "monero": b"\1\x21\1\1\1\1\1\1" + bytes(8),
    "raft": pack("<QQQ", 1, 1, 16) + b"192.0.2.1:9001\0\0",
    "nestlogsink": pack("<H", 20) + b"\0\x13" + bytes(18),
    "lisp/tcp": pack("!HHII", 0x14, 15, 0, 0)[:11] + b"\x9f\xac\xad\xe9",
    "lisp/udp": b"\x10\0\0\1" + bytes(16),
    "rtsp": b"OPTIONS rtsp://example.org/ RTSP/1.0\r\n",
    "netflow": pack("!HH", 5, 1) + bytes(20 + 48),
    "sflow": pack("!IIIIIII", 5, 1, 0xC0000201, 0, 1, 1, 0),
    "gtp": b"\x32\1\0\4\0\0\0\0\0\0\0\0",
    "pfcp": b"\x20\1\0\x0c" + bytes(12),
    "bfd": b"\x20\xc0\3\x18" + bytes(20),
    "ptp": b"\0\2\0\x2c" + bytes(40),
    "slp": b"\2\1\0\0\x12\0\0\0\0\0\0\1\0\2en\0\0",
    "nat-pmp": b"\0\0",
    "wsd": b'<?xml version="1.0"?><soap:Envelope xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">',
    "hsrp": b"\0\0\x10\3\x0a\x78\1\0cisco\0\0\0\xc0\0\2\1",
    "xdmcp": pack("!HHH", 1, 2, 1) + b"\0",
    "capwap": b"\0\x10\2\0" + bytes(8),
    "ipmi": b"\6\0\xff\7\0\0\0\0",
    "openvpn/udp": RESET,
    "openvpn/tcp": pack("!H", len(HIDDEN)) + HIDDEN,
    "dnscrypt": b"r6fnvWj8" + bytes(40),
    "megaco": b"MEGACO/1 [192.0.2.1]:2944",
    "mgcp": b"AUEP 1 aaln/1@example.org MGCP 1.0\r\n",
    "iax": b"\x80\1\0\0\0\0\0\1\0\0\6\x0d",
    "teredo": b"\x60" + bytes(47),
    "mpegts": (b"\x47\x40\0\x10" + bytes(184)) * 7,
    "roughtime": pack("<II", 2, 64) + b"NONCPAD\xff" + bytes(100),
    "eaq": pack("!IIIHH", 1, 3_546, 460_000, 0, 0x9000),
    "nfs": RPC,
    "quic": b"\x53" + bytes(range(100, 142)),
    "bjnp": b"BJNP\1\1\0\0",
    "tivoconnect": b"TiVoConnect=1\nmethod=broadcast\n",
    "gnutella/tcp": b"GNUTELLA CONNECT/0.6\r\n",
    "gnutella/udp": bytes(range(16)) + b"\0\1\0" + pack("<I", 3) + b"abc",
    "tocaboca": PHOTON,
    "edonkey": b"\xe3" + pack("<I", 5) + b"\1abcd",
    "ethereum/udp": DEVP2P,
    "ethereum/tcp": pack("!H", 400) + bytes(400),
    "raknet": b"\5\0\xff\xff\0\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78\6",
    "source-engine": b"\xff\xff\xff\xffTSource Engine Query\0",
    "steam": b"VS01" + bytes(40),
    "steamdatagramrelay": b"\1\x81sdping" + bytes(20),
    "amongus": b"\x08\0\1\0\x80\xd9\2\3\6abcdef",
    "zoom": b"\1\0\3\xc8" + bytes(range(60)),
    "threema": RANDOM_48,
    "worldofwarcraft": b"\x30\0WORLD OF WARCRAFT CONNECTION - SERVER TO CLIENT\0",
    "yojimbo": b"\0NETCODE 1.02\0",
    "mumble": bytes(4) + bytes(range(8)),
    "teamviewer/tcp": b"\x17\x24\x10\4" + bytes(20),
    "teamviewer/udp": bytes(10) + b"\3\x17\x24GP\0",
    "whatsapp": b"WA\6\3\0\0\x20",
    "telegram": b"\xef\x0a" + bytes(8) + bytes(range(32)),
    "oicq": b"\2\x37\1\0\x58\0\1" + bytes(8) + b"\3",
    "discord": b"\0\1\0\x46" + bytes(70),
    "spotify/udp": b"SpotUdp0" + bytes(20),
    "spotify/tcp": b"\0\4\0\0\0\0\x52\x0e\x50" + bytes(20),
    "dropbox": b'{"host_int": 1, "version": [2, 0]}',
    "ookla": b"HI\n",
    "avastsecuredns": b"\x12\x34" + bytes(100),
    "kcp": pack("<IBBHIIII", 7, 81, 0, 128, 1, 0, 0, 4) + b"data",
    "nintendo": b"\x32\xab\x98\x64\1\0\0\0",
    "rtcp": pack("!BBHI", 0x81, 201, 7, 1) + bytes(24),
    "rtp/udp": RTP,
    "rtp/tcp": pack("!H", len(RTP)) + RTP,
}  # fmt: skip
# What is another's by its own description too, or so short that it is decided on a port alone.
ALSO: Final = {("rtp", "rtcp"), ("avastsecuredns", "quic"), ("whois", "telnet")}


def example(spec: ProtocolSpec, transport: str) -> bytes:
    """A message of it."""
    return EXAMPLES.get(f"{spec.name}/{transport}") or EXAMPLES[spec.name]


CASES: Final = [(spec, transport) for spec in SPECS for transport in spec.transports]


@pytest.mark.parametrize(("spec", "transport"), CASES, ids=[f"{one.name}-{how}-{one.ports[:1]}" for one, how in CASES])
def test_its_own_message_and_no_other(spec: ProtocolSpec, transport: str) -> None:
    data = example(spec, transport)
    assert spec.probe(data, C, bool(spec.ports)) is Match.YES
    found, _ = RECOGNISERS[transport].match(data, C, NOBODYS_PORT, spec.ports[0] if spec.ports else NOBODYS_PORT)
    assert found is not None
    assert found.name == spec.name or (spec.name, found.name) in ALSO
    elsewhere, _ = RECOGNISERS[transport].match(data, C, NOBODYS_PORT, NOBODYS_PORT)
    assert elsewhere is None or elsewhere.name == spec.name or (spec.name, elsewhere.name) in ALSO


@pytest.mark.parametrize("data", [RESET, SIGNED, HIDDEN], ids=["plain", "tls-auth", "tls-crypt"])
def test_openvpn_however_its_control_channel_is_kept(data: bytes) -> None:
    found, _ = RECOGNISERS["udp"].match(data, C, NOBODYS_PORT, NOBODYS_PORT)
    assert found is not None
    assert found.name == "openvpn"
    none, _ = RECOGNISERS["udp"].match(data[:1] + bytes(len(data) - 1), C, NOBODYS_PORT, NOBODYS_PORT)
    assert none is None


@settings(max_examples=50)
@given(st.integers(0, 1 << 32), st.integers(1, 300))
def test_noise_is_nobodys(seed: int, size: int) -> None:
    data = random.Random(seed).randbytes(size)
    for spec in SPECS:
        if spec.name not in NO_MAGIC:
            assert spec.probe(data, C, False) is not Match.YES or size < 8, spec.name


@settings(max_examples=50)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(data: bytes, port: bool) -> None:
    for spec in SPECS:
        assert spec.probe(data, C, port) in Match


def test_rtp_is_borne_out_by_a_second_packet() -> None:
    spec = rtp.SPECS[1]
    after = RTP[:2] + b"\0\x08" + RTP[4:]
    assert talk(spec, [(C, RTP), (C, after)], Told("udp")).over
    other = talk(spec, [(C, RTP), (C, bytes(30)), (C, b"\xf1" * 30)], Told("udp"))
    assert (other.app, other.switched) == ("", "")
    waits = talk(spec, [(C, RTP), (S, RTP), (C, b"\x81\xc9" + RTP[2:])], Told("udp"))
    assert (waits.over, waits.switched) == (False, None)
    assert rtp.probe_framed(EXAMPLES["rtp/tcp"][:-1], C, False) is Match.NO
