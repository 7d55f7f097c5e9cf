"""Hello messages of TLS, DTLS and QUIC: what the logs and the fingerprints need of them. RFC 8446, section 4.1 and 4.2.

Lists stay as the raw bytes of their field: the fingerprints are remembered by them, so that a hello seen before costs no
more than finding its extensions.
"""

from __future__ import annotations

from struct import Struct, unpack
from typing import Final

from nsm.errors import MalformedError

EXTENSIONS_MAX: Final = 512  # ours: the longest hellos in use have about 40
NAME_BYTES_MAX: Final = 1024  # ours: RFC 1035 allows 255; what is longer is cut
ALPN_MAX: Final = 64  # ours

SERVER_NAME: Final = 0
GROUPS: Final = 10
POINT_FORMATS: Final = 11
SIGNATURE_ALGORITHMS: Final = 13
ALPN: Final = 16
SESSION_TICKET: Final = 35
PRE_SHARED_KEY: Final = 41
SUPPORTED_VERSIONS: Final = 43
KEY_SHARE: Final = 51
KEY_SHARE_DRAFT: Final = 40  # until draft 22

# RFC 8446, section 4.1.3: the random value by which a server hello says that it is a request to try again.
RETRY_RANDOM: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

_HEAD: Final = Struct("!HH")


def numbers(raw: bytes) -> tuple[int, ...]:
    """16-bit numbers of a field; an odd byte at the end is left out."""
    count = len(raw) // 2
    return unpack(f"!{count}H", raw[: 2 * count])


def is_grease(value: int) -> bool:
    """Is it one of the values that stand for nothing? RFC 8701, section 2."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def host_text(raw: bytes) -> str:
    """A host name as it was sent; bytes that are no UTF-8 are escaped."""
    return raw[:NAME_BYTES_MAX].decode("utf-8", "backslashreplace")


def _list16(raw: bytes) -> bytes:
    """What a field with a 16-bit length holds."""
    return raw[2 : 2 + int.from_bytes(raw[:2], "big")]


def _alpns(raw: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    at = 2
    while at < len(raw) and len(found) < ALPN_MAX:
        size = raw[at]
        found.append(raw[at + 1 : at + 1 + size])
        at += 1 + size
    return tuple(found)


class ClientHello:
    """What a client offers."""

    __slots__ = (
        "alpns",
        "bodies",
        "ciphers",
        "formats",
        "groups",
        "has_sni",
        "session_id",
        "signatures",
        "sni",
        "types",
        "version",
        "versions",
    )

    def __init__(self, version: int, session_id: bytes, ciphers: bytes) -> None:
        self.version = version
        self.session_id = session_id
        self.ciphers = ciphers
        self.types: list[int] = []
        self.bodies: dict[int, bytes] = {}
        self.sni: str | None = None
        self.has_sni = False
        self.alpns: tuple[bytes, ...] = ()
        self.groups = b""
        self.formats = b""
        self.signatures = b""
        self.versions = b""

    @property
    def offered(self) -> int:
        """The highest version that is offered; DTLS counts downwards, RFC 6347, section 4.1."""
        found = [value for value in numbers(self.versions) if not is_grease(value)]
        if not found:
            return self.version
        return min(found) if self.version >> 8 == 0xFE else max(found)


class ServerHello:
    """What the server chose."""

    __slots__ = ("alpns", "bodies", "cipher", "group", "is_retry", "legacy_version", "session_id", "types", "version")

    def __init__(self, version: int, session_id: bytes, cipher: int, is_retry: bool) -> None:
        self.legacy_version = version
        self.version = version
        self.session_id = session_id
        self.cipher = cipher
        self.is_retry = is_retry
        self.types: list[int] = []
        self.bodies: dict[int, bytes] = {}
        self.alpns: tuple[bytes, ...] = ()
        self.group: int | None = None


def _extensions(data: bytes, at: int, end: int, types: list[int], bodies: dict[int, bytes]) -> None:
    """Fill ``types`` in order and ``bodies`` by type, of repeated ones the first."""
    if at + 2 > end:
        return
    end = min(end, at + 2 + (data[at] << 8 | data[at + 1]))
    at += 2
    head = _HEAD.unpack_from
    while at + 4 <= end:
        kind, size = head(data, at)
        at += 4
        types.append(kind)
        if kind not in bodies:
            bodies[kind] = data[at : at + size]
        at += size
        if len(types) > EXTENSIONS_MAX:
            raise MalformedError("tls.too_many_extensions")


def parse_client_hello(data: bytes, cookie: bool = False) -> ClientHello:
    """Read the body of a client hello; ``cookie``: of DTLS, which has one more field."""
    end = len(data)
    if end < 38:
        raise MalformedError("tls.client_hello_short")
    version = data[0] << 8 | data[1]
    at = 35 + data[34]
    session_id = data[35:at]
    if cookie and at < end:
        at += 1 + data[at]
    if at + 2 > end:
        raise MalformedError("tls.client_hello_short")
    size = data[at] << 8 | data[at + 1]
    at += 2
    if at + size > end:
        raise MalformedError("tls.client_hello_short")
    hello = ClientHello(version, session_id, data[at : at + size])
    at += size
    if at < end:
        at += 1 + data[at]
    bodies = hello.bodies
    _extensions(data, at, end, hello.types, bodies)
    raw = bodies.get(SERVER_NAME)
    if raw is not None:
        hello.has_sni = True
        if len(raw) > 5 and raw[2] == 0:
            hello.sni = host_text(raw[5 : 5 + (raw[3] << 8 | raw[4])])
    raw = bodies.get(ALPN)
    if raw is not None:
        hello.alpns = _alpns(raw)
    hello.groups = _list16(bodies.get(GROUPS, b""))
    raw = bodies.get(POINT_FORMATS, b"")
    hello.formats = raw[1 : 1 + raw[0]] if raw else b""
    hello.signatures = _list16(bodies.get(SIGNATURE_ALGORITHMS, b""))
    raw = bodies.get(SUPPORTED_VERSIONS, b"")
    hello.versions = raw[1 : 1 + raw[0]] if raw else b""
    return hello


def parse_server_hello(data: bytes) -> ServerHello:
    """Read the body of a server hello. RFC 8446, section 4.1.3; drafts up to 21 have no session id."""
    end = len(data)
    if end < 36:
        raise MalformedError("tls.server_hello_short")
    version = data[0] << 8 | data[1]
    brief = version == 0x0304 or (version >> 8 == 0x7F and version & 0xFF < 22)
    if brief:
        session_id, at = b"", 34
    else:
        at = 35 + data[34]
        session_id = data[35:at]
    if at + 2 > end:
        raise MalformedError("tls.server_hello_short")
    hello = ServerHello(version, session_id, data[at] << 8 | data[at + 1], data[2:34] == RETRY_RANDOM)
    at += 2 if brief else 3
    bodies = hello.bodies
    _extensions(data, at, end, hello.types, bodies)
    raw = bodies.get(SUPPORTED_VERSIONS, b"")
    if len(raw) >= 2:
        hello.version = raw[0] << 8 | raw[1]
    raw = bodies.get(KEY_SHARE) or bodies.get(KEY_SHARE_DRAFT, b"")
    if len(raw) >= 4:
        hello.group = raw[0] << 8 | raw[1]
    raw = bodies.get(ALPN, b"")
    if raw:
        hello.alpns = _alpns(raw)
    return hello
