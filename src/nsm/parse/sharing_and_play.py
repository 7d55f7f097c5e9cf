"""Signatures of file sharing, games, messengers and remote control."""

from __future__ import annotations

from typing import Final

from nsm.wire.signature import BOTH, TCP, UDP, be16, be32, le16, le32, signature, starts

RAKNET: Final = b"\0\xff\xff\0\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78"  # RakNet's offline message identifier


def _raknet(data: bytes, port: bool) -> bool:
    return RAKNET in data[1:80]  # some put a header of their own first, or number the messages otherwise


_GNUTELLA: Final = (
    0x00,
    0x01,
    0x02,
    0x30,
    0x31,
    0x32,
    0x40,
    0x44,
    0x80,
    0x81,
)  # ping ... query hit; 0x44: its hash table
PHOTON_PING: Final = b"}" * 12  # what its clients measure regions with; a number follows
HOPS_MAX: Final = 16  # ours: of a message's time to live and hops


def _gnutella(data: bytes, port: bool) -> bool:
    """Gnutella 0.6, section 2.2: an identifier of 16 bytes, type, time to live, hops, size of what follows."""
    if data.startswith(b"GND"):
        return True
    return (
        len(data) >= 23
        and data[16] in _GNUTELLA
        and data[17] + data[18] <= HOPS_MAX
        and 0 < le32(data, 19) == len(data) - 23
    )


def _photon(data: bytes, port: bool) -> bool:
    """Photon Realtime's reliable UDP: peer, flags, number of commands, time, challenge; then commands with their lengths."""
    if data.startswith(PHOTON_PING) and len(data) == len(PHOTON_PING) + 1:
        return True
    if len(data) < 24:
        return False
    at, count = 12, data[3]
    if not 1 <= count <= 32 or data[2] > 2:
        return False
    for _ in range(count):
        size = be32(data, at + 4)
        if size < 12 or not 1 <= data[at] <= 16 or at + size > len(data):
            return False
        at += size
        if at < len(data) < at + 12:
            return False
    return at == len(data)


def _edonkey(data: bytes, port: bool) -> bool:
    """EMule protocol specification: protocol byte, length; over UDP the opcode follows at once."""
    return data[0] in {0xE3, 0xC5, 0xD4} and 0 < le32(data, 1) == len(data) - 5


def _ethereum_udp(data: bytes, port: bool) -> bool:
    """devp2p discovery v4: hash of 32 bytes, signature of 65, type, an RLP list."""
    if not 1 <= data[97] <= 6 or data[96] > 1:  # the recovery bit of the signature
        return False
    size, at = data[98], 99
    if size > 0xF7:
        at += size - 0xF7
        size = int.from_bytes(data[99:at], "big")
    else:
        size -= 0xC0
    return size > 0 and 0 <= len(data) - at - size <= 32  # EIP-8 lets more follow


def _ethereum_tcp(data: bytes, port: bool) -> bool:
    """RLPx, EIP-8: the size of the handshake, or the 307 bytes of the older one."""
    return port and ((300 <= be16(data, 0) == len(data) - 2) or len(data) == 307 or data[0] == 4)


def _teamviewer(data: bytes, port: bool) -> bool:
    return data[:2] in {b"\x17\x24", b"\x11\x30"} and (port or data[2] <= 0x40)


def _teamviewer_udp(data: bytes, port: bool) -> bool:
    """The same mark as over TCP, behind a number and a type."""
    return data[11:13] == b"\x17\x24" and (port or not any(data[:10]))


def _whatsapp(data: bytes, port: bool) -> bool:
    """The first bytes of its Noise handshake."""
    return data.startswith((b"WA\1", b"WA\2", b"WA\3", b"WA\4", b"WA\5", b"WA\6", b"ED\0\1"))


def _telegram(data: bytes, port: bool) -> bool:
    """MTProto transports: abridged, intermediate, padded intermediate."""
    if data[:4] in {b"\xee\xee\xee\xee", b"\xdd\xdd\xdd\xdd"}:
        return True
    if data[0] != 0xEF:
        return False
    at, size = (5, int.from_bytes(data[2:5], "little")) if data[1] == 0x7F else (2, data[1])
    # The first message is not encrypted: key identifier 0.
    return size * 4 == len(data) - at and (port or not any(data[at : at + 8]))


def _oicq(data: bytes, port: bool) -> bool:
    """QQ: version, command and sequence between 0x02 and 0x03."""
    return data[0] == 2 and data[-1] == 3 and port


def _source_engine(data: bytes, port: bool) -> bool:
    """Valve's server queries."""
    return data[:4] == b"\xff\xff\xff\xff" and data[4:5] in {
        b"T",
        b"U",
        b"V",
        b"I",
        b"D",
        b"E",
        b"A",
        b"l",
        b"m",
        b"W",
        b"i",
        b"j",
        b"s",
        b"c",
        b"q",
    }


def _kcp(data: bytes, port: bool) -> bool:
    """KCP: conversation, command, fragment, window, time, number, next number awaited, size of the data."""
    if data[:4] == b"\0\0\0\0" or data[4] not in {81, 82, 83, 84} or not 1 <= le16(data, 6) <= 4096:
        return False
    return le32(data, 20) == len(data) - 24 and (data[4] == 81 or len(data) == 24) and le32(data, 12) < 1 << 24


def _zoom(data: bytes, port: bool) -> bool:
    """Zoom's media servers: type of a packet, then a session's number; their ports are Zoom's own."""
    return port and data[0] in {1, 2, 3, 4, 5, 7} and len(data) >= 12


def _threema(data: bytes, port: bool) -> bool:
    """Threema, "Cryptography Whitepaper", client hello: a key of 32 bytes and a cookie of 16, which look random."""
    return port and len(data) == 48 and len(set(data)) > 24 and not data.isascii()


def _among_us(data: bytes, port: bool) -> bool:
    """Hazel's hello: type 8, number, version of the protocol, version of the game, a name with its length."""
    return port and data[0] == 8 and data[3] == 0 and 0 < data[8] <= len(data) - 9


def _discord(data: bytes, port: bool) -> bool:
    """Voice: address discovery, request and answer."""
    return len(data) == 74 and data[:4] in {b"\0\1\0\x46", b"\0\2\0\x46"}


SPECS: Final = (
    signature("gnutella", TCP, starts(b"GNUTELLA ", b"GNUTELLA/"), 6346, 6347, least=9, weight=5),
    signature("gnutella", UDP, _gnutella, 6346, 6347, least=8, weight=1),
    signature("tocaboca", UDP, _photon, 5055, 5056, 5058, least=13, weight=1),
    signature("edonkey", BOTH, _edonkey, 4661, 4662, 4665, 4672, least=6, first=b"\xc5\xd4\xe3"),
    signature("ethereum", UDP, _ethereum_udp, 30303, 30301, least=99, weight=-1),
    signature("ethereum", TCP, _ethereum_tcp, 30303, least=194, on_port=True),
    signature("raknet", UDP, _raknet, 19132, least=18, weight=6),
    signature("source-engine", UDP, _source_engine, 27015, 27005, least=5, weight=2, first=b"\xff"),
    signature("steam", BOTH, starts(b"VS01", b"VT01", b"\xff\xff\xff\xff\x21\x4c\x5f\xa0"), 27017, 27018, 27036, least=8, weight=4),
    signature("steamdatagramrelay", UDP, lambda d, p: d[2:8] == b"sdping", least=8, weight=4),
    signature("amongus", UDP, _among_us, 22023, least=10, on_port=True),
    signature("zoom", UDP, _zoom, *range(8801, 8811), least=12, weight=-1, on_port=True),
    signature("threema", TCP, _threema, 5222, least=48, on_port=True),
    signature("worldofwarcraft", TCP, lambda d, p: b"WORLD OF WARCRAFT CONNECTION" in d[:34], 3724, least=34, weight=5),
    signature("yojimbo", UDP, lambda d, p: d[1:13] == b"NETCODE 1.02" or d[1:13] == b"NETCODE 1.01", least=14, weight=5),
    signature("mumble", UDP, lambda d, p: p and len(d) in {12, 24} and d[:4] in {b"\0\0\0\0", b"\0\1\2\3",
        b"\0\1\3\4", b"\0\1\4\0"}, 64738, least=12, on_port=True),
    signature("teamviewer", TCP, _teamviewer, 5938, least=4, weight=2, first=b"\x11\x17"),
    signature("teamviewer", UDP, _teamviewer_udp, 5938, least=16),
    signature("whatsapp", TCP, _whatsapp, 5222, 443, least=4, weight=4, first=b"\x45\x57"),
    signature("telegram", TCP, _telegram, 443, 80, 5222, least=9, weight=-1),
    signature("oicq", UDP, _oicq, 8000, least=12, on_port=True),
    signature("discord", UDP, _discord, least=74, weight=3, first=b"\x00"),
    signature("spotify", UDP, starts(b"SpotUdp"), 57621, least=7, weight=5),
    signature("spotify", TCP, lambda d, p: d[:4] == b"\0\4\0\0" and d[6:9] == b"\x52\x0e\x50", 4070, least=9,
        weight=4, first=b"\x00"),
    signature("dropbox", UDP, lambda d, p: p and d[:1] == b"{" and b'"host_int"' in d, 17500, least=16, weight=3,
        on_port=True),
    signature("ookla", TCP, starts(b"HI\n", b"HELLO 2.", b"PING 1", b"DOWNLOAD 1", b"INITPLOSS"), 8080, 5060, least=3, weight=1),
    signature("avastsecuredns", UDP, lambda d, p: p and d[2:4] == b"\0\0" and len(d) in range(80,
        1200) and d[4:8] == b"\0\0\0\0", 443, least=80, on_port=True),
    signature("kcp", UDP, _kcp, least=24, weight=-2),
    signature("nintendo", UDP, starts(b"\x32\xab\x98\x64"), least=8, weight=4),
)  # fmt: skip
