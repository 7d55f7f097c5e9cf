"""QUIC: both hellos of each connection, out of the Initial packets. RFC 9000, RFC 9001, RFC 9369, drafts 22 to 34.

Google's own versions before them have a hello of tags in the clear (up to Q046) or in an Initial (Q050). When both hellos
are known nothing more is decrypted; for Zeek's history the packets are counted on by their first byte, and where no rows
are wanted the flow is not looked at any more. Long because two forms of hello and the row of another log are here.
"""

from __future__ import annotations

import hashlib
from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Record, Row, Side
from nsm.wire.client_hello import ClientHello, ServerHello, is_grease, numbers, parse_client_hello, parse_server_hello
from nsm.wire.fingerprints import ja3, ja3s, ja4
from nsm.wire.quic_initial import (
    HANDSHAKE,
    INITIAL,
    RETRY,
    V1,
    V2,
    ZERO_RTT,
    InitialKeys,
    LongHeader,
    crypto_frames,
    keys_of,
    long_header,
    salt_of,
)  # fmt: skip
from nsm.wire.tls_names import EXTENSIONS
from nsm.wire.tls_session import Ja3, ja3_record, ssl_row

CRYPTO_BYTES_MAX: Final = 65_536  # ours: of one side; hellos with post-quantum keys have about 2,000
PIECES_MAX: Final = 256  # ours: browsers cut their hello into some dozens on purpose
PACKETS_MAX: Final = 16  # ours: coalesced in one datagram
HISTORY_MAX: Final = 100  # Zeek, QUIC::max_history_length
TAGS_MAX: Final = 128  # ours: of a hello of tags
HELLOS_MAX: Final = 8  # ours: hellos of one side of a flow that are told; repeated ones count

_VERSIONS_13: Final = {0x0304: "Tls13", 0x0303: "Tls12", 0x0302: "Tls11", 0x0301: "Tls10", 0x0300: "Ssl30"}
_LETTERS: Final = {INITIAL: "I", ZERO_RTT: "Z", HANDSHAKE: "H"}


class Extension(Record):
    """An extension of a hello."""

    type: int
    name: str | None = None
    values: list[str] | None = None


class Cyu(Record):
    """A fingerprint of a hello of tags: its version and the tags in order."""

    hash: str
    string: str


class Quic(Record):
    """A hello."""

    version: str
    cyu: list[Cyu] | None = None
    sni: str | None = None
    ua: str | None = None
    ja3: Ja3 | None = None
    ja3s: Ja3 | None = None
    ja4: str | None = None
    extensions: list[Extension] | None = None


class QuicRow(Row):
    """A connection in Zeek's quic.log."""

    version: str
    client_initial_dcid: str | None
    client_scid: str | None
    server_scid: str | None
    server_name: str | None
    client_protocol: str | None
    history: str


def _google(version: int) -> str:
    """The name of a version that is text, as Google's are; "" for others."""
    raw = version.to_bytes(4, "big")
    return raw.decode("ascii") if raw[:1] in (b"Q", b"T") and raw[1:].isdigit() else ""


def eve_version(version: int) -> str:
    """A version as EVE writes it."""
    return _google(version) or f"{version:x}"


def zeek_version(version: int) -> str:
    """A version as Zeek writes it."""
    if version == V1:
        return "1"
    if version == V2:
        return "quicv2"
    return f"draft-{version & 0xFF}" if version >> 8 == 0xFF0000 else f"unknown-{version:x}"


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A long packet of a known version, a version negotiation, or a packet of Google's old form."""
    if len(data) < 14:
        return Match.NO
    if data[0] & 0x80:
        version = int.from_bytes(data[1:5], "big")
        if version == 0:
            return Match.YES if port and data[5] <= 20 and (len(data) - 7 - data[5]) % 4 in range(4) else Match.NO
        if data[1:2] == b"Q" and data[2:5].isdigit():
            return Match.YES
        if salt_of(version) is None and version & 0x0F0F0F0F != 0x0A0A0A0A:
            return Match.NO
        return Match.YES if data[5] <= 20 and len(data) > 6 + data[5] and data[6 + data[5]] <= 20 else Match.NO
    # Google's: public flags with version (1) and connection id (8), which is 8 bytes long.
    return Match.YES if data[0] & 0x89 == 0x09 and data[9:10] == b"Q" and data[10:13].isdigit() else Match.NO


class _Stream:
    """The crypto stream of one side: pieces until the hello is whole."""

    def __init__(self) -> None:
        self.pieces: dict[int, bytes] = {}
        self.data = b""
        self.hellos = 0

    def add(self, offset: int, piece: bytes) -> bool:
        """Take a piece; False: there is no room for it."""
        if offset + len(piece) > CRYPTO_BYTES_MAX or len(self.pieces) >= PIECES_MAX:
            return False
        if len(piece) > len(self.pieces.get(offset, b"")):
            self.pieces[offset] = piece
        while True:
            size = len(self.data)
            ready = [at for at in self.pieces if at <= size]
            if not ready:
                return True
            for at in ready:
                piece = self.pieces.pop(at)
                if at + len(piece) > len(self.data) and at <= len(self.data):
                    self.data += piece[len(self.data) - at :]

    def hello(self) -> bytes | None:
        """The first message with its head, once it is whole."""
        data = self.data
        if len(data) < 4 or len(data) < 4 + int.from_bytes(data[1:4], "big"):
            return None
        return data[: 4 + int.from_bytes(data[1:4], "big")]

    def restart(self) -> None:
        """The stream begins anew, after a Retry or with a repeated hello."""
        self.pieces.clear()
        self.data = b""


class QuicParser:
    """One per flow. Holds the pieces of a hello that is not whole, bounded; else only what it said."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._keys: tuple[InitialKeys, InitialKeys] | None = None
        self._streams = [_Stream(), _Stream()]
        self._client: ClientHello | None = None
        self._server: ServerHello | None = None
        self._told_client = False
        self._failed = False
        self._ssl_history = ""
        self._version = 0
        self._row_open = False
        self._dcid: str | None = None
        self._client_scid: str | None = None
        self._server_scid: str | None = None
        self._name: str | None = None
        self._alpn: str | None = None
        self._history: list[str] = []
        self._shorts = [0, 0]

    def feed(self, side: Side, data: bytes) -> int:
        """Read one datagram of one or more packets."""
        at, end = 0, len(data)
        for _ in range(PACKETS_MAX):
            if at >= end:
                break
            first = data[at]
            if not first & 0x80:
                if not self._version and data[at : at + 1] and self._old_google(side, data):
                    break
                self._short(side, first)
                break
            if data[at + 1 : at + 2] == b"Q" and data[at + 2 : at + 5].isdigit() and data[at + 1 : at + 5] != b"Q050":
                self._tags(side, data[at + 1 : at + 5].decode("ascii"), data)  # Q044 to Q046: lengths of their own
                break
            try:
                header = long_header(data, at, end)
            except MalformedError:
                self._letter(side, "X")
                break
            if header.version != 0 and salt_of(header.version) is None:
                self._unknown(side, header)
                break
            if header.version != 0:
                self._packet(side, header, data, at)
            at = header.end
        if self._client is not None and self._server is not None and not self._conv.rows:
            self._conv.done()
        return end

    def _short(self, side: Side, first: int) -> None:
        """A packet with a short header: Zeek's history has the first, second, fourth, eighth ..."""
        if not first & 0x40:
            self._letter(side, "X")
            return
        self._shorts[side] += 1
        if self._shorts[side] & (self._shorts[side] - 1) == 0:
            self._letter(side, "O")

    def _unknown(self, side: Side, header: LongHeader) -> None:
        if header.version & 0x0F0F0F0F != 0x0A0A0A0A:
            self._letter(side, "U")

    def _packet(self, side: Side, header: LongHeader, data: bytes, at: int) -> None:
        self._version = header.version
        if not self._row_open:
            self._row_open = True
            self._history = []
            self._shorts = [0, 0]
        if header.kind == RETRY:
            self._letter(side, "R")
            if side is Side.SERVER and self._keys is not None:
                self._retry()
            return
        if side is Side.CLIENT:
            if self._dcid is None and header.dcid:
                self._dcid = header.dcid.hex()
            self._client_scid = header.scid.hex()
        else:
            self._server_scid = header.scid.hex()
        self._letter(side, _LETTERS[header.kind])
        if header.kind == INITIAL:
            self._initial(side, header, data, at)

    def _retry(self) -> None:
        """The server wants the client to begin anew: Zeek ends its row, the keys change."""
        self._keys = None
        self._row()
        for stream in self._streams:
            stream.restart()
        self._told_client = False

    def _initial(self, side: Side, header: LongHeader, data: bytes, at: int) -> None:
        if self._told_client and side is Side.CLIENT:
            return
        fresh = self._keys is None
        if fresh:
            if side is Side.SERVER:
                return
            self._keys = keys_of(header.version, header.dcid)
        keys = self._keys
        if keys is None:
            return
        payload = keys[side].open(data, at, header)
        if payload is None and side is Side.CLIENT and not self._told_client:
            # Another connection id than in the first packet: a client may begin anew on the same ports.
            other = keys_of(header.version, header.dcid)
            payload = other[side].open(data, at, header) if other is not None else None
            if payload is not None:
                self._keys = other
        if payload is None:
            if fresh:
                self._keys = None
                if not self._failed:
                    self._failed = True
                    self._conv.anomaly("failed_decrypt", side=side)
            return
        try:
            pieces, closed = crypto_frames(payload)
        except MalformedError:
            self._conv.anomaly("error_on_data", side=side)
            return
        if closed:
            self._letter(side, "C")
        self._crypto(side, pieces)

    def _crypto(self, side: Side, pieces: list[tuple[int, bytes]]) -> None:
        stream = self._streams[side]
        if stream.hellos >= HELLOS_MAX or not pieces or (side is Side.SERVER and self._server is not None):
            return
        for offset, piece in pieces:
            if not stream.add(offset, piece):
                self._conv.anomaly("crypto_frag_too_long", side=side)
                stream.hellos = HELLOS_MAX
                return
        if stream.data[:4] == b"CHLO":
            stream.hellos += 1
            self._tags(side, _google(self._version), stream.data)
            return
        raw = stream.hello()
        if raw is None:
            return
        stream.hellos += 1
        stream.restart()
        try:
            if raw[0] == 1 and side is Side.CLIENT:
                self._client_hello(parse_client_hello(raw[4:]))
            elif raw[0] == 2 and side is Side.SERVER:
                self._server_hello(parse_server_hello(raw[4:]))
        except MalformedError:
            self._conv.anomaly("error_on_data", side=side)

    def _client_hello(self, hello: ClientHello) -> None:
        conv = self._conv
        again = self._told_client
        self._told_client = True
        if not again:
            self._letter(Side.CLIENT, "S")
            self._ssl_history += "C"
        self._name = hello.sni
        self._alpn = hello.alpns[0].decode("utf-8", "replace") if hello.alpns else None
        if self._client is None:
            conv.service("ssl")
            if hello.sni:
                conv.named(hello.sni)
        self._client = hello
        if conv.wants("quic"):
            record = Quic(
                version=eve_version(self._version),
                sni=hello.sni,
                ja3=ja3_record(ja3(hello)) if conv.option("ja3_fingerprints", True) else None,
                ja4=ja4(hello, "q", conv.option("ja4_as_suricata", False)) if conv.option("ja4", True) else None,
                extensions=_extensions(hello.types, hello.bodies, hello) or None,
            )
            conv.emit("quic", {"quic": record}, sender=Side.CLIENT)

    def _server_hello(self, hello: ServerHello) -> None:
        conv = self._conv
        self._letter(Side.SERVER, "S")
        self._ssl_history += "s"
        self._server = hello
        if conv.wants("quic"):
            record = Quic(
                version=eve_version(self._version),
                ja3s=ja3_record(ja3s(hello)) if conv.option("ja3_fingerprints", True) else None,
                extensions=_extensions(hello.types, hello.bodies, None) or None,
            )
            conv.emit("quic", {"quic": record}, sender=Side.SERVER)

    def _old_google(self, side: Side, data: bytes) -> bool:
        """A packet with public flags, up to Q043; only the one with the hello says anything."""
        if data[0] & 0x09 == 0x09 and data[9:10] == b"Q" and data[10:13].isdigit():
            self._tags(side, data[9:13].decode("ascii"), data)
            return True
        return False

    def _tags(self, side: Side, version: str, data: bytes) -> None:
        """A hello of tags, in the clear or decrypted. "QUIC Crypto" by Langley and Chang, "Handshake messages"."""
        stream = self._streams[side]
        at = data.find(b"CHLO")
        if side is Side.SERVER or at < 0 or at + 8 > len(data) or stream.hellos > HELLOS_MAX or not version:
            return
        stream.hellos += 1
        count = int.from_bytes(data[at + 4 : at + 6], "little")
        body = at + 8 + 8 * count
        if count > TAGS_MAX or body > len(data):
            return
        names: list[str] = []
        values: dict[str, str] = {}
        begin = 0
        for item in range(at + 8, body, 8):
            name = data[item : item + 4].rstrip(b"\0").decode("latin-1")
            until = int.from_bytes(data[item + 4 : item + 8], "little")
            names.append(name)
            if name in {"SNI", "UAID"} and begin <= until <= len(data) - body:
                values[name] = data[body + begin : body + until].decode("utf-8", "backslashreplace")
            begin = until
        text = f"{version[1:].lstrip('0')},{'-'.join(names)}"
        digest = hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()
        sni = values.get("SNI")
        if sni:
            self._conv.named(sni)
        record = Quic(version=version, cyu=[Cyu(hash=digest, string=text)], sni=sni or None, ua=values.get("UAID"))
        if self._conv.wants("quic"):
            self._conv.emit("quic", {"quic": record}, sender=side)
        self._conv.done()

    def _letter(self, side: Side, letter: str) -> None:
        if self._row_open and len(self._history) < HISTORY_MAX:
            self._history.append(letter if side is Side.CLIENT else letter.lower())

    def _row(self) -> None:
        if self._row_open and self._conv.rows:
            self._conv.row(
                QuicRow(
                    version=zeek_version(self._version),
                    client_initial_dcid=self._dcid,
                    client_scid=self._client_scid,
                    server_scid=self._server_scid,
                    server_name=self._name,
                    client_protocol=self._alpn,
                    history="".join(self._history),
                )
            )
        self._row_open = False
        self._dcid = self._client_scid = self._server_scid = self._name = self._alpn = None

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have no gaps."""
        return True

    def finish(self) -> None:
        """Write the rows."""
        self._row()
        if self._client is not None and self._conv.rows:
            self._conv.row(ssl_row(self._client, self._server, self._ssl_history))


def _extensions(types: list[int], bodies: dict[int, bytes], hello: ClientHello | None) -> list[Extension]:
    found: list[Extension] = []
    for kind in types:
        name = "alpn" if kind == 16 else EXTENSIONS.get(kind)
        values: list[str] = []
        if hello is not None:
            if kind == 0 and hello.sni:
                values = [hello.sni]
            elif kind == 16:
                values = [one.decode("utf-8", "backslashreplace") for one in hello.alpns]
            elif kind == 43:
                values = [_VERSIONS_13.get(one, str(one)) for one in numbers(hello.versions) if not is_grease(one)]
        elif kind == 43 and len(bodies.get(43, b"")) >= 2:
            values = [_VERSIONS_13.get(int.from_bytes(bodies[43][:2], "big"), "?")]
        found.append(Extension(type=kind, name=name, values=values or None))
    return found


SPEC: Final = ProtocolSpec(
    name="quic",
    transports=("udp",),
    ports=(443, 80, 784, 853, 4433, 8443),
    probe=probe,
    first=bytes(byte for byte in range(256) if byte & 0x80 or byte & 0x89 == 0x09),
    parser=QuicParser,
    service="quic",
    kinds=("quic",),
    weight=8,
)
