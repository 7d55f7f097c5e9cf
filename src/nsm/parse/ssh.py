"""SSH: banners, the algorithms both sides offer and their HASSH, the host key, a guess at the login. RFC 4253, RFC 4252.

Everything after the keys is secret. Whether a login succeeded is guessed as Zeek does: the server's answers have fixed
lengths (the success is 16 bytes shorter than the acceptance of the service that came first), so the sizes in which its
bytes arrive are looked at. It is the one thing here that depends on how the bytes were cut into segments.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from ipaddress import ip_address
from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Enum, Match, ProtocolSpec, Record, Row, Side
from nsm.wire.fingerprints import hassh

BANNER_BYTES_MAX: Final = 255  # RFC 4253, section 4.2, with CR LF
PREFACE_BYTES_MAX: Final = 4096  # ours: lines that a server may send before its banner; the RFC sets no limit
PACKET_BYTES_MAX: Final = 40_000  # RFC 4253, section 6.1: 35,000 have to be taken; some room
KEXINIT: Final = 20  # RFC 4253, section 12
NEWKEYS: Final = 21
KEX_REPLY: Final = 31  # RFC 4253, section 8; RFC 5656, section 4
GROUP_REPLY: Final = 33  # RFC 4419, section 5
_LISTS: Final = 10  # of a KEXINIT


class Hassh(Record):
    """The fingerprint of the lists of one side."""

    hash: str
    string: str


class Peer(Record):
    """One side."""

    proto_version: str
    software_version: str
    hassh: Hassh | None = None


class Ssh(Record):
    """A connection."""

    client: Peer | None = None
    server: Peer | None = None


class SshRow(Row):
    """A connection in Zeek's ssh.log."""

    version: int | None
    auth_success: bool | None
    auth_attempts: int
    direction: Enum | None
    client: str | None
    server: str | None
    cipher_alg: str | None
    mac_alg: str | None
    compression_alg: str | None
    kex_alg: str | None
    host_key_alg: str | None
    host_key_fingerprint: str | None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The banner; a server may say something before it."""
    if data.startswith(b"SSH-"):
        return Match.YES
    if len(data) < 4:
        return Match.MORE if b"SSH-".startswith(data) else Match.NO
    if port and side is Side.SERVER and len(data) < PREFACE_BYTES_MAX:
        return Match.YES if b"\nSSH-" in data else Match.MORE
    return Match.NO


def _is_local(address: str) -> bool:
    """Private by itself: what Zeek takes for local without configuration."""
    try:
        return ip_address(address).is_private
    except ValueError:
        return False


class _Lists:
    """The name lists of a KEXINIT."""

    def __init__(self, names: list[str]) -> None:
        self.kex, self.host_key, self.cipher_cs, self.cipher_sc, self.mac_cs, self.mac_sc = names[:6]
        self.compression_cs, self.compression_sc = names[6:8]


def _kexinit(body: bytes) -> _Lists:
    """RFC 4253, section 7.1; ``body`` without the message number."""
    at = 16
    names: list[str] = []
    for _ in range(_LISTS):
        size = int.from_bytes(body[at : at + 4], "big")
        at += 4
        if at + size > len(body):
            raise MalformedError("invalid_record")
        names.append(body[at : at + size].decode("latin-1"))
        at += size
    return _Lists(names)


def _chosen(client: str, server: str) -> str | None:
    """The first of the client's list that the server has."""
    offered = set(server.split(","))
    for name in client.split(","):
        if name in offered:
            return name
    return None


def _both(client: _Lists, server: _Lists, kind: str) -> str | None:
    """What is used in both directions, as Zeek writes it where they differ."""
    to_server = _chosen(getattr(client, kind + "_cs"), getattr(server, kind + "_cs"))
    to_client = _chosen(getattr(client, kind + "_sc"), getattr(server, kind + "_sc"))
    if to_server == to_client:
        return to_server
    return f"To server: {to_server or ''}, to client: {to_client or ''}"


class SshParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._banners: list[str | None] = [None, None]
        self._lists: list[_Lists | None] = [None, None]
        self._secret = [False, False]
        self._skipped = [0, 0]
        self._told = False
        self._fingerprint: str | None = None
        self._accept_bytes = 0
        self._failure_bytes = 0
        self._attempts = 0
        self._success: bool | None = None

    def feed(self, side: Side, data: bytes) -> int:
        """Read the banner, then packets in the clear, then sizes."""
        if self._secret[side]:
            self._guess(side, len(data))
            return len(data)
        at = 0
        if self._banners[side] is None:
            at = self._banner(side, data)
            if self._banners[side] is None:
                return at
        if self._is_v1():
            if None not in self._banners:
                self._tell()
                self._conv.done()
            return len(data)
        return self._packets(side, data, at)

    def _is_v1(self) -> bool:
        return any(banner is not None and banner.startswith(("SSH-1.5", "SSH-1.3")) for banner in self._banners)

    def _banner(self, side: Side, data: bytes) -> int:
        at = 0
        while True:
            end = data.find(b"\n", at)
            if end < 0:
                if data.startswith(b"SSH-", at) and len(data) - at > BANNER_BYTES_MAX:
                    self._conv.anomaly("long_banner", side=side)
                    raise MalformedError("invalid_banner")
                return at
            line = data[at:end].rstrip(b"\r")
            at = end + 1
            if line.startswith(b"SSH-"):
                if len(line) > BANNER_BYTES_MAX:
                    self._conv.anomaly("long_banner", side=side)
                if line.count(b"-") < 2:
                    raise MalformedError("invalid_banner")
                self._banners[side] = line.decode("utf-8", "backslashreplace")
                return at
            self._skipped[side] += len(line) + 1
            if self._skipped[side] > PREFACE_BYTES_MAX or side is Side.CLIENT:
                raise MalformedError("invalid_banner")

    def _packets(self, side: Side, data: bytes, at: int) -> int:
        end = len(data)
        while at + 6 <= end:
            size = int.from_bytes(data[at : at + 4], "big")
            if not 2 <= size <= PACKET_BYTES_MAX:
                raise MalformedError("invalid_record")
            if at + 4 + size > end:
                break
            padding, kind = data[at + 4], data[at + 5]
            body = data[at + 6 : max(at + 6, at + 4 + size - padding)]
            at += 4 + size
            if kind == KEXINIT:
                self._lists[side] = _kexinit(body)
                if self._lists[0] is not None and self._lists[1] is not None:
                    self._tell()
            elif kind == NEWKEYS:
                self._secret[side] = True
                if not self._conv.rows:
                    self._conv.ignore(side)
                return end  # what follows in the same segment is no answer to the client: extensions, RFC 8308
            elif side is Side.SERVER and kind in {KEX_REPLY, GROUP_REPLY}:
                self._host_key(kind, body)
        return at

    def _host_key(self, kind: int, body: bytes) -> None:
        client, server = self._lists
        if client is None or server is None or self._fingerprint is not None:
            return
        by_group = "group-exchange" in (_chosen(client.kex, server.kex) or "")
        if by_group != (kind == GROUP_REPLY):
            return
        key = body[4 : 4 + int.from_bytes(body[:4], "big")]
        # Zeek shows the first 24 bytes of the digest.
        self._fingerprint = "SHA256:" + b64encode(hashlib.sha256(key).digest()[:24]).decode("ascii")

    def _guess(self, side: Side, size: int) -> None:
        """A segment that cannot be read. RFC 4252, section 5: service accepted, failures of one size, success."""
        if side is Side.CLIENT:
            return
        if not self._accept_bytes:
            self._accept_bytes = size
        elif size + 16 == self._accept_bytes:
            self._success = True
            self._attempts += 1
            self._conv.done()
        elif not self._failure_bytes:
            self._failure_bytes = size
        elif size == self._failure_bytes:
            self._success = False
            self._attempts += 1

    def gap(self, side: Side, size: int) -> bool:
        """Behind the keys nothing is lost by it."""
        return self._secret[side]

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        if self._conv.wants("ssh"):
            self._conv.emit("ssh", {"ssh": Ssh(client=self._peer(Side.CLIENT), server=self._peer(Side.SERVER))})

    def _peer(self, side: Side) -> Peer | None:
        banner, lists = self._banners[side], self._lists[side]
        if banner is None:
            return None
        _, version, software = banner.split("-", 2)
        found = None
        if lists is not None and self._conv.option("hassh", True):
            if side is Side.CLIENT:
                text = f"{lists.kex};{lists.cipher_cs};{lists.mac_cs};{lists.compression_cs}"
            else:
                text = f"{lists.kex};{lists.cipher_sc};{lists.mac_sc};{lists.compression_sc}"
            found = Hassh(hash=hassh(text), string=text)
        # RFC 4253, section 4.2: what stands behind the first space is a comment.
        return Peer(proto_version=version, software_version=software.partition(" ")[0], hassh=found)

    def finish(self) -> None:
        """Say what is known, and write the row."""
        if self._banners[0] is None and self._banners[1] is None:
            return
        self._tell()
        conv = self._conv
        if not conv.rows:
            return
        client, server = self._lists
        both = client is not None and server is not None
        here, there = _is_local(conv.client), _is_local(conv.server)
        conv.row(
            SshRow(
                version=(1 if self._is_v1() else 2) if None not in self._banners else None,
                auth_success=self._success,
                auth_attempts=self._attempts,
                direction=None if here == there else Enum("OUTBOUND" if here else "INBOUND"),
                client=self._banners[0],
                server=self._banners[1],
                cipher_alg=_both(client, server, "cipher") if client is not None and server is not None else None,
                mac_alg=_both(client, server, "mac") if client is not None and server is not None else None,
                compression_alg=_both(client, server, "compression")
                if client is not None and server is not None
                else None,
                kex_alg=_chosen(client.kex, server.kex) if client is not None and server is not None else None,
                host_key_alg=_chosen(client.host_key, server.host_key)
                if client is not None and server is not None
                else None,
                host_key_fingerprint=self._fingerprint if both else None,
            )
        )


SPEC: Final = ProtocolSpec(
    name="ssh",
    transports=("tcp",),
    ports=(22, 2222),
    probe=probe,
    parser=SshParser,
    service="ssh",
    both=True,
    kinds=("ssh",),
    weight=10,
)
