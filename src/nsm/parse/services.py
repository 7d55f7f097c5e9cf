"""Signatures of servers' protocols: databases, queues, files, remote procedure calls."""

from __future__ import annotations

from typing import Final

from nsm.wire.signature import BOTH, TCP, UDP, be16, be32, le16, le32, part, signature, starts

_MONGO: Final = (1, 2001, 2002, 2004, 2005, 2006, 2007, 2010, 2011, 2012, 2013)  # MongoDB wire protocol: opcodes


def _mongodb(data: bytes, port: bool) -> bool:
    size = le32(data, 0)
    return le32(data, 12) in _MONGO and 16 <= size <= 48_000_000 and (port or size == len(data))


def _cassandra(data: bytes, port: bool) -> bool:
    """CQL binary protocol, section 2: version, flags, stream, opcode, length."""
    version, opcode = data[0] & 0x7F, data[4]
    allowed = {0, 2, 3, 6, 8, 12, 14, 16} if data[0] & 0x80 else {1, 5, 7, 9, 10, 11, 13, 15}
    if data.startswith(b"\xca\x55\x2d\xfa"):  # between nodes: the magic of its messaging service
        return True
    return 3 <= version <= 5 and data[1] & 0xE0 == 0 and opcode in allowed and be32(data, 5) == len(data) - 9


def _kafka(data: bytes, port: bool) -> bool:
    """Kafka protocol guide: size, API key, version, correlation, client identifier."""
    if be32(data, 0) != len(data) - 4 or be16(data, 4) > 90 or be16(data, 6) > 17:
        return False
    size = be16(data, 12)
    name = data[14 : 14 + size]
    return (size == 0xFFFF and port) or (
        0 < size == len(name) and name.isascii() and name.decode("ascii").isprintable()
    )


def _oracle(data: bytes, port: bool) -> bool:
    """TNS: length, checksum 0, type."""
    fits = be16(data, 0) == len(data) and data[2:4] == b"\0\0" and data[4] in {1, 2, 3, 4, 5, 6, 11, 12, 14}
    return fits and (port or b"(CONNECT_DATA=" in data or b"(DESCRIPTION=" in data)


def _drda(data: bytes, port: bool) -> bool:
    """DDM, DSS header: length, 0xD0, format; then the first object's length and code point."""
    return (
        data[2] == 0xD0
        and data[3] & 0x0F in {1, 2, 3}
        and 10 <= be16(data, 0) <= len(data)
        and be16(data, 6) <= be16(data, 0)
    )


def _diameter(data: bytes, port: bool) -> bool:
    """RFC 6733, section 3."""
    size = int.from_bytes(data[1:4], "big")
    return data[0] == 1 and 20 <= size <= 65_535 and size % 4 == 0 and data[4] & 0x0F == 0 and (port or size == len(data)) and (
        int.from_bytes(data[5:8], "big") in range(257, 330) or be32(data, 4) & 0xFFFFFF >= 8_388_000
    )  # fmt: skip


def _git(data: bytes, port: bool) -> bool:
    """Git pack protocol: a pkt-line that asks for a service."""
    return data[4:8] == b"git-" and data[:4].isalnum()


def _rsh(data: bytes, port: bool) -> bool:
    """A port for the second connection in digits, then names, each ended by NUL."""
    first, end, rest = data[:6].partition(b"\0")
    return port and bool(end) and (first.isdigit() or not first) and (not rest or data.count(b"\0") >= 1)


def _dsi(data: bytes, port: bool) -> bool:
    """AFP in DSI: request or reply, command, error 0, length, reserved 0."""
    return (
        data[0] <= 1 and 1 <= data[1] <= 8 and data[12:16] == b"\0\0\0\0" and (port or be32(data, 8) == len(data) - 16)
    )


def _thrift(data: bytes, port: bool) -> bool:
    """Thrift binary and compact protocols, framed or not: version and type of message, then a method's name."""
    at = 4 if be32(data, 0) == len(data) - 4 else 0
    if data[at : at + 3] == b"\x80\x01\x00":
        return data[at + 3] in {1, 2, 3, 4}
    if data[at] != 0x82 or data[at + 1] & 0x1F != 1 or not 1 <= data[at + 1] >> 5 <= 4:
        return False
    at += 2
    for last in range(at, min(at + 5, len(data) - 1)):  # the sequence number in groups of 7 bits
        if data[last] < 0x80:
            size = data[last + 1]
            name = data[last + 2 : last + 2 + size]
            return 0 < size < 0x80 and len(name) == size and name.isascii() and name.decode("ascii").isprintable()
    return False


def _memcached(data: bytes, port: bool) -> bool:
    """Memcached text and binary protocols; over UDP eight bytes stand before it."""
    if data.startswith(
        (b"get ", b"gets ", b"set ", b"add ", b"stats", b"version\r\n", b"VALUE ", b"END\r\n", b"STORED\r\n", b"STAT ")
    ):
        return port or b"\r\n" in data
    return port and (data[0] in {0x80, 0x81} or part(data, 8, 4) in {b"get ", b"stat", b"set ", b"VALU", b"END\r"})


def _iscsi(data: bytes, port: bool) -> bool:
    """RFC 7143, section 11.12: a log-in request or response."""
    return (port and data[0] & 0x3F in {0x03, 0x23, 0x3F}) or (data[0] == 0x43 and b"InitiatorName=" in data)


def _rx(data: bytes, port: bool) -> bool:
    """Rx header: type of packet at 20, flags, status, security index, then a service."""
    return port and 1 <= data[20] <= 13 and data[23] <= 5 and be32(data, 12) < 1 << 24


def _ntcip(data: bytes, port: bool) -> bool:
    """Z39.50, ISO 23950: initialise request or response with a protocol version and options, in BER."""
    if data[0] not in {0xB4, 0xB5}:
        return False
    at = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    if part(data, at, 1) == b"\x82" and at + 1 < len(data):  # reference identifier
        at += 2 + data[at + 1]
    return part(data, at, 2) == b"\x83\2" and part(data, at + 4, 1) == b"\x84"


def _collectd(data: bytes, port: bool) -> bool:
    """Collectd binary protocol: a part with the host's name comes first."""
    size = be16(data, 2)
    if data[:2] == b"\2\x10":  # encrypted: a part as long as the datagram, that begins with the user's name
        return size == len(data) and 0 < be16(data, 4) <= 255
    if data[:2] != b"\0\0" or not 6 <= size <= len(data) or data[size - 1]:
        return False
    name = data[4 : size - 1]
    follows = be16(data, size) in {1, 8, 2, 9} and be16(data, size + 2) in {12, *range(5, 65)}
    return name.isascii() and name.decode("ascii").isprintable() and (port or follows)


def _nntp(data: bytes, port: bool) -> bool:
    """RFC 3977, section 5."""
    return data.startswith((b"MODE READER\r\n", b"CAPABILITIES\r\n", b"AUTHINFO ", b"ARTICLE <", b"BODY <",
        b"HEAD <", b"XOVER ")) or (
        port and data.startswith((b"200 ", b"201 ", b"GROUP ", b"LIST"))
    )  # fmt: skip


def _xmpp(data: bytes, port: bool) -> bool:
    """RFC 6120, section 4.2."""
    head = data[:256]
    if head.startswith((b"<?xml", b"<stream:", b"<stream ", b"<open ")):
        return port or b"jabber:" in data or b"stream:stream" in head
    return head.startswith((b"<iq ", b"<message ", b"<presence ", b"<presence>", b"<presence/>")) and (
        port or b"jabber:" in data
    )


def _stratum(data: bytes, port: bool) -> bool:
    """Mining pools speak JSON-RPC, one object a line."""
    words = (
        b'"mining.',
        b'"eth_submitLogin"',
        b'"eth_getWork"',
        b'"method":"login"',
        b'"method": "login"',
        b'"eth_login"',
    )
    return data[:1] == b"{" and any(word in data for word in words)


def _jsonrpc(data: bytes, port: bool) -> bool:
    return data[:1] == b"{" and b'"jsonrpc"' in data[:256]


def _haproxy(data: bytes, port: bool) -> bool:
    """The PROXY protocol, sections 2.1 and 2.2."""
    return data.startswith((b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN", b"\r\n\r\n\0\r\nQUIT\n"))


def _whois(data: bytes, port: bool) -> bool:
    """RFC 3912."""
    return port and data.rstrip().isascii() and data.endswith(b"\n") and len(data) < 256


def _hl7(data: bytes, port: bool) -> bool:
    return data.startswith(b"\x0bMSH|")


def _fix(data: bytes, port: bool) -> bool:
    """FIX, "Message structure": BeginString, BodyLength and MsgType come first, in this order."""
    begin, _, rest = data[:64].partition(b"\x01")
    return begin.startswith(b"8=") and rest[:2] == b"9=" and rest[2:].partition(b"\x01")[2].startswith(b"35=")


def _raft(data: bytes, port: bool) -> bool:
    """C-raft's hello, of little-endian words: version of the protocol, server, size of the address, address with its port."""
    size = le32(data, 16)
    fits = data[:8] == b"\1\0\0\0\0\0\0\0" and data[20:24] == b"\0\0\0\0" and 8 <= size == len(data) - 24
    return fits and b":" in data[24:]


def _weave(data: bytes, port: bool) -> bool:
    """OpenWeave over TCP: length of the message in two bytes, header of version 1 whose flags name its nodes."""
    return (
        port
        and 10 <= le16(data, 0) <= 0x7FFF
        and data[3] >> 4 == 1
        and data[3] & 0x0C == 0
        and le16(data, 0) <= len(data) - 2
    )


def _lisp(data: bytes, port: bool) -> bool:
    """LISP's reliable transport, draft-ietf-lisp-map-server-reliable-transport, section 4.1: type, length, ..., end marker."""
    size = be16(data, 2)
    return port and 12 <= size <= len(data) and data[size - 4 : size] == b"\x9f\xac\xad\xe9"


def _openflow(data: bytes, port: bool) -> bool:
    """OpenFlow switch specification, section 7.1: hello comes first."""
    return port and 1 <= data[0] <= 6 and data[1] == 0 and 8 <= be16(data, 2) <= 64


SPECS: Final = (
    signature("mongodb", TCP, _mongodb, 27017, least=16, weight=2),
    signature("cassandra", TCP, _cassandra, 9042, 7000, least=9, weight=2),
    signature("kafka", TCP, _kafka, 9092, least=14),
    signature("oracle", TCP, _oracle, 1521, least=8),
    signature("drda", TCP, _drda, 446, 447, 448, 50000, 1527, least=10),
    signature("diameter", TCP, _diameter, 3868, least=20, weight=1),
    signature("git", TCP, _git, 9418, least=8, weight=3),
    signature("rsync", TCP, starts(b"@RSYNCD:"), 873, least=8, weight=5),
    signature("rsh", TCP, _rsh, 514, 512, 513, least=2),
    signature("afp", TCP, _dsi, 548, least=16, first=b"\x00\x01"),
    signature("thrift", BOTH, _thrift, 9090, least=8),
    signature("memcached", BOTH, _memcached, 11211, least=5),
    signature("iscsi", TCP, _iscsi, 3260, 860, least=48, first=bytes((3, 35, 63, 67, 99, 127, 131, 163, 191, 195,
        227, 255,))),
    signature("rx", UDP, _rx, *range(7000, 7022), least=28, on_port=True),
    signature("z3950", TCP, _ntcip, 210),
    signature("collectd", UDP, _collectd, 25826, least=8, weight=-1),
    signature("nntp", TCP, _nntp, 119, 433, weight=1, first=bytes((50, 65, 66, 67, 71, 72, 76, 77, 88,))),
    signature("xmpp", TCP, _xmpp, 5222, 5269, 5223, weight=2),
    signature("stratum", TCP, _stratum, 3333, 4444, 8333, least=16, weight=3),
    signature("json-rpc", TCP, _jsonrpc, least=16, weight=1, first=b"\x7b"),
    signature("haproxy", TCP, _haproxy, least=12, weight=6, first=b"\x0d\x50"),
    signature("whois", TCP, _whois, 43, least=2, on_port=True),
    signature("hl7", TCP, _hl7, 2575, least=5, weight=5, first=b"\x0b"),
    signature("openflow", TCP, _openflow, 6633, 6653, least=8, on_port=True),
    signature("zabbix", TCP, starts(b"ZBXD"), 10050, 10051, weight=5),
    signature("amqp", TCP, starts(b"AMQP\0", b"AMQP\1", b"AMQP\2", b"AMQP\3"), 5672, least=8, weight=5),
    signature("nats", TCP, starts(b'INFO {"', b"CONNECT {"), 4222, least=9, weight=6),
    signature("stomp", TCP, starts(b"CONNECT\n", b"STOMP\n", b"CONNECTED\n", b"CONNECT\r\n", b"STOMP\r\n"),
        61613, least=7, weight=7),
    signature("ajp", TCP, lambda d, p: (d[:2] == b"\x12\x34" and be16(d, 2) == len(d) - 4) or (p and d[:2] == b"AB"),
        8009, least=5, first=b"\x12\x41"),
    signature("fix", TCP, _fix, least=16, weight=5),
    signature("corba", BOTH, starts(b"GIOP\1", b"MIOP\x10"), least=5, weight=5),
    signature("rmi", TCP, starts(b"JRMI"), 1099, weight=5),
    signature("ceph", TCP, starts(b"ceph v"), 3300, 6789, least=6, weight=5),
    signature("citrix", TCP, starts(b"\x7f\x7fICA", b"\x1aCGP/"), 1494, 2598, least=5, weight=5),
    signature("kismet", TCP, starts(b"*KISMET:"), 2501, least=8, weight=5),
    signature("elasticsearch", TCP, starts(b"ES\0\0"), 9300, least=6),
    signature("ldp", BOTH, lambda d, p: p and d[:2] == b"\0\1" and be16(d, 2) == len(d) - 4, 646, least=10,
        on_port=True),
    signature("bgp", TCP, lambda d, p: d[:16] == b"\xff" * 16 and 1 <= d[18] <= 5, 179, least=19, weight=5),
    signature("pptp", TCP, lambda d, p: d[2:8] == b"\0\1\x1a\x2b\x3c\x4d", 1723, least=8, weight=5),
    signature("skinny", TCP, lambda d, p: p and le32(d, 0) == len(d) - 8 and le32(d, 4) in {0, 0x11, 0x12, 0x16},
        2000, least=12, on_port=True),
    signature("h323", TCP, lambda d, p: p and d[:2] == b"\3\0" and d[4:6] == b"\x08\x02", 1720, least=8, on_port=True),
    signature("rtmp", TCP, lambda d, p: d[0] == 3 and (p or d[5:9] == b"\0\0\0\0") and len(d) > 500, 1935, least=9,
        first=b"\x03"),
    signature("tinc", TCP, lambda d, p: d[:2] == b"0 " and b" 17" in d[:64], 655, least=6, first=b"\x30"),
    signature("bitcoin", TCP, starts(b"\xf9\xbe\xb4\xd9", b"\xfa\xbf\xb5\xda", b"\x0b\x11\x09\x07"), 8333, weight=5),
    signature("monero", TCP, starts(b"\x01\x21\x01\x01\x01\x01\x01\x01"), 18080, least=8, weight=6),
    signature("raft", TCP, _raft, 9000, least=32),
    signature("nestlogsink", TCP, _weave, 11095, least=12, on_port=True),
    signature("lisp", TCP, _lisp, 4342, least=12),
    signature("rtsp", TCP, lambda d, p: b"rtsp://" in d[:64] or d.startswith(b"RTSP/1.0 "), 554, 8554, least=16, weight=8),
)  # fmt: skip
