"""What one TLS or DTLS handshake says, gathered from its messages: the EVE object, the rows of ssl and x509.

Used by the parsers of TLS and DTLS, which know the record layers. Letters of ``ssl_history`` are Zeek's, upper case for
the client. RFC 5246, section 7.4; RFC 8446, section 4. Long because it holds the rows of two logs and the object.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from nsm.errors import MalformedError
from nsm.model.protocol import Addr, Conversation, Record, Row, RowAlone, Side, Time
from nsm.wire.certificate import (
    Certificate,
    colons,
    eve_date,
    eve_name,
    parse_certificate,
    zeek_name,
    zeek_serial,
)  # fmt: skip
from nsm.wire.client_hello import (
    PRE_SHARED_KEY,
    SESSION_TICKET,
    ClientHello,
    ServerHello,
    numbers,
    parse_client_hello,
    parse_server_hello,
)  # fmt: skip
from nsm.wire.fingerprints import ja3, ja3s, ja4
from nsm.wire.tls_names import ALERTS, eve_version, group_name, suite_name, zeek_version

HISTORY_MAX: Final = 100  # ours; Zeek does not write more than some dozens either
CHAIN_MAX: Final = 16  # ours: certificates of one message

# Programs that make certificates in their own name -> a host name of their maker.
PROGRAMS: Final = {
    "AnyDesk Client": "anydesk.com", "AnyNet Relay": "anydesk.com", "NVIDIA GameStream": "geforcenow.com",
    "NVIDIA GameStream Server": "geforcenow.com",
}  # fmt: skip
DOT_ALPN: Final = b"dot"  # RFC 7858, section 3.1 and IANA's list of ALPN protocol IDs
DOT_PORT: Final = 853  # RFC 7858, section 3.1; RFC 8094, section 3.1
RDP_PORT: Final = 3389  # [MS-RDPBCGR], section 1.9: TLS at once is remote desktop too
CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
CERTIFICATE: Final = 11
KEY_EXCHANGE: Final = 12
CERTIFICATE_REQUEST: Final = 13
SERVER_HELLO_DONE: Final = 14
CLIENT_KEY_EXCHANGE: Final = 16

_LETTERS: Final = {  # Zeek's letters for handshake messages
    0: "H", 1: "C", 2: "S", 3: "V", 4: "T", 5: "E", 6: "J", 8: "O", 11: "X", 12: "K", 13: "R", 14: "N", 15: "Y", 16: "G",
    20: "F", 21: "W", 22: "U", 23: "A", 24: "P", 254: "M",
}  # fmt: skip

_CUSTOM: Final = {  # names of log.tls.custom that are not those of the object
    "issuer": "issuerdn", "not_before": "notbefore", "not_after": "notafter",
}  # fmt: skip
_BASIC: Final = frozenset(("subject", "issuerdn", "session_resumed"))  # without log.tls.extended


class Ja3(Record):
    """A JA3 or JA3S."""

    hash: str
    string: str


class ClientHandshake(Record):
    """The lists of the client hello."""

    version: str
    ciphers: list[int] | None = None
    exts: list[int] | None = None
    sig_algs: list[int] | None = None


class ServerHandshake(Record):
    """What the server hello chose."""

    version: str
    cipher: int
    exts: list[int] | None = None


class SslRow(Row):
    """A handshake in Zeek's ssl.log."""

    version: str | None
    cipher: str | None
    curve: str | None
    server_name: str | None
    resumed: bool
    last_alert: str | None
    next_protocol: str | None
    established: bool
    ssl_history: str
    cert_chain_fps: list[str] | None = None
    client_cert_chain_fps: list[str] | None = None
    subject: str | None = None
    issuer: str | None = None
    client_subject: str | None = None
    client_issuer: str | None = None
    sni_matches_cert: bool | None = None


class X509Row(RowAlone):
    """A certificate in Zeek's x509.log."""

    fingerprint: str
    certificate__version: int
    certificate__serial: str
    certificate__subject: str
    certificate__issuer: str
    certificate__not_valid_before: Time | None
    certificate__not_valid_after: Time | None
    certificate__key_alg: str
    certificate__sig_alg: str
    certificate__key_type: str | None
    certificate__key_length: int | None
    certificate__exponent: str | None
    certificate__curve: str | None
    san__dns: list[str] | None
    san__uri: list[str] | None
    san__email: list[str] | None
    san__ip: list[Addr] | None
    basic_constraints__ca: bool | None
    basic_constraints__path_len: int | None
    host_cert: bool
    client_cert: bool


def x509_row(found: Certificate, host: bool, client: bool) -> X509Row:
    """The row of a certificate."""
    return X509Row(
        fingerprint=found.sha256,
        certificate__version=found.version,
        certificate__serial=zeek_serial(found.serial),
        certificate__subject=zeek_name(found.subject),
        certificate__issuer=zeek_name(found.issuer),
        certificate__not_valid_before=None if found.not_before is None else Time(float(found.not_before)),
        certificate__not_valid_after=None if found.not_after is None else Time(float(found.not_after)),
        certificate__key_alg=found.key_alg,
        certificate__sig_alg=found.sig_alg,
        certificate__key_type=found.key_type or None,
        certificate__key_length=found.key_length,
        certificate__exponent=found.exponent,
        certificate__curve=found.curve,
        san__dns=found.dns or None,
        san__uri=found.uris or None,
        san__email=found.emails or None,
        san__ip=[Addr(address) for address in found.ips] or None,
        basic_constraints__ca=found.is_ca,
        basic_constraints__path_len=found.path_length,
        host_cert=host,
        client_cert=client,
    )


def ssl_row(client: ClientHello | None, server: ServerHello | None, history: str) -> SslRow:
    """The row of what two hellos say, without certificates and not established: all that QUIC shows."""
    resumed = bool(
        client is not None and server is not None
        and PRE_SHARED_KEY in client.bodies and PRE_SHARED_KEY in server.bodies
    )  # fmt: skip
    return SslRow(
        version=zeek_version(server.version) if server is not None else None,
        cipher=suite_name(server.cipher) if server is not None else None,
        curve=group_name(server.group) if server is not None and server.group is not None else None,
        server_name=client.sni if client is not None else None,
        resumed=resumed,
        last_alert=None,
        next_protocol=server.alpns[0].decode("utf-8", "replace") if server is not None and server.alpns else None,
        established=False,
        ssl_history=history,
    )


def ja3_record(pair: tuple[str, str]) -> Ja3:
    """The object of a fingerprint."""
    return Ja3(hash=pair[1], string=pair[0])


class TlsSession:
    """One handshake. Holds hellos, certificates and letters, no other bytes."""

    def __init__(self, conv: Conversation, mark: str) -> None:
        self._conv = conv
        self._mark = mark
        self.client: ClientHello | None = None
        self.server: ServerHello | None = None
        self._first_server: ServerHello | None = None
        self.version = 0
        self.sslv2_cipher: int | None = None
        self._history: list[str] = []
        self._chains: list[list[Certificate]] = [[], []]
        self._chain_seen = [False, False]
        self._raw: list[list[bytes]] = [[], []]
        self._curve: str | None = None
        self._alert: str | None = None
        self._key_exchange = self._asked = False
        self._resumed = False
        self.changed = [False, False]
        self._sent = [False, False]
        self.established = False
        self._told = False
        self._rowed = False

    @property
    def is_13(self) -> bool:
        """Was TLS 1.3 or a draft of it chosen?"""
        server = self.server
        return server is not None and (server.version in {0x0304, 0xFEFC} or server.version >> 8 in (0x7F, 0x7E, 0xFB))

    @property
    def finished(self) -> bool:
        """Has all been said?"""
        over = self.is_13 or self.changed[Side.CLIENT]  # before that the client may still send what nobody should
        return over and self._told and (self._rowed or not self._conv.rows)

    def letter(self, side: Side, letter: str) -> None:
        """One more letter of the history."""
        if not self.established and len(self._history) < HISTORY_MAX:
            self._history.append(letter if side is Side.CLIENT else letter.lower())

    def flipped(self) -> None:
        """The client of the handshake is the other side of the flow."""
        self._history.append("^")

    def message(self, side: Side, kind: int, body: bytes) -> None:
        """A handshake message in the clear."""
        self.letter(side, _LETTERS.get(kind, "Z"))
        if kind == CLIENT_HELLO:
            self._client_hello(body)
        elif kind == SERVER_HELLO:
            self._server_hello(body)
        elif kind == CERTIFICATE:
            self._certificates(side, body)
        elif kind == KEY_EXCHANGE:
            if len(body) >= 3 and body[0] == 3 and self.server is not None and "ECDH" in suite_name(self.server.cipher):
                self._curve = group_name(body[1] << 8 | body[2])
        elif kind == CLIENT_KEY_EXCHANGE:
            self._key_exchange = True
        elif kind == CERTIFICATE_REQUEST:
            self._asked = True
        elif kind == SERVER_HELLO_DONE and not self._asked:
            self.tell()

    def _client_hello(self, body: bytes) -> None:
        if self.client is not None and self._mark != "d" and self.server is None:
            return
        try:
            hello = parse_client_hello(body, cookie=self._mark == "d")
        except MalformedError:
            raise MalformedError("INVALID_HANDSHAKE_MESSAGE") from None
        if self.client is not None and self.server is not None and not self.server.is_retry:
            return
        if hello.types.count(0) > 1:
            self._conv.anomaly("MULTIPLE_SNI_EXTENSIONS", side=Side.CLIENT)
        first = self.client is None
        if first or self._mark == "d" or hello.sni is not None:
            # Of two hellos of one handshake the first is the client's own; the second follows the server's wish.
            self.client = hello if first else self.client
        if first:
            self._label(hello)

    def _label(self, hello: ClientHello) -> None:
        """By the name asked for; what is spoken inside is said by the next protocol, or by the port when nothing else does."""
        conv = self._conv
        if DOT_ALPN in hello.alpns or conv.server_port == DOT_PORT:
            conv.label("doh-dot")
        elif hello.sni:
            conv.named(hello.sni)
        if conv.server_port == RDP_PORT:
            conv.label("rdp")

    def _server_hello(self, body: bytes) -> None:
        try:
            hello = parse_server_hello(body)
        except MalformedError:
            raise MalformedError("INVALID_HANDSHAKE_MESSAGE") from None
        if self.server is not None and not self.server.is_retry:
            return
        if self._first_server is None:
            self._first_server = hello  # JA3S is of the first answer, also where that asks to try again
        self.server = hello
        self.version = hello.version
        if hello.is_retry:
            return
        if hello.group is not None:
            self._curve = group_name(hello.group)
        client = self.client
        if self.is_13:
            self._resumed = client is not None and PRE_SHARED_KEY in client.bodies and PRE_SHARED_KEY in hello.bodies
        if client is not None and hello.session_id and hello.session_id == client.session_id:
            self._resumed = self._resumed or not self.is_13 or hello.version >> 8 == 0x7E  # an experiment before 1.3
        if self.is_13:
            self.tell()

    def _certificates(self, side: Side, body: bytes) -> None:
        if self._chain_seen[side]:
            return
        self._chain_seen[side] = True
        at, end = 3, len(body)
        chain = self._chains[side]
        while at + 3 <= end and len(chain) < CHAIN_MAX:
            size = int.from_bytes(body[at : at + 3], "big")
            at += 3
            raw = body[at : at + size]
            at += size
            if not chain or self._conv.rows:
                found = parse_certificate(raw)
                if found is None:
                    self._conv.anomaly("INVALID_CERTIFICATE", side=side)
                    break
                if self._conv.rows:
                    self._conv.row(
                        x509_row(found, side is Side.SERVER and not chain, side is Side.CLIENT and not chain)
                    )
                chain.append(found)
            self._raw[side].append(raw)
        for name in chain[0].common_names[:1] if chain else ():
            maker = PROGRAMS.get(name)
            if maker is not None:
                self._conv.named(maker)
            elif side is Side.SERVER and (self.client is None or not self.client.sni):
                self._conv.named(name.removeprefix("*."))

    def change_cipher(self, side: Side) -> None:
        """ChangeCipherSpec: from here on the side encrypts, unless it is TLS 1.3, where it means nothing."""
        self.letter(side, "I")
        self.changed[side] = True
        if self.is_13 or self.server is None:
            return
        client = self.client
        if side is Side.CLIENT:
            if not self._key_exchange and client is not None and client.bodies.get(SESSION_TICKET):
                self._resumed = True
            self.tell()

    def encrypted(self, side: Side) -> None:
        """A record that cannot be read: when both sides send them, the handshake is over."""
        self._sent[side] = True
        if self.server is None or self.established:
            return
        told = self._sent if self.is_13 else self.changed
        if told[0] and told[1] and (side is Side.CLIENT or not self.is_13):
            self.established = True
            self.tell()
            self.row()

    def alert(self, side: Side, body: bytes) -> None:
        """An alert in the clear."""
        self.letter(side, "L")
        if len(body) >= 2:
            if body[0] not in {1, 2}:
                self._conv.anomaly("INVALID_ALERT_MESSAGE", side=side)
            self._alert = ALERTS.get(body[1], f"unknown-{body[1]}")

    def finish(self) -> None:
        """The flow is over."""
        if self.client is not None or self.server is not None or self.version:
            self.tell()
            self.row()

    def row(self) -> None:
        """Write the row of ssl.log, once."""
        if self._rowed or not self._conv.rows:
            return
        self._rowed = True
        base = ssl_row(self.client, self.server, "".join(self._history))
        server_chain, client_chain = self._chains[Side.SERVER], self._chains[Side.CLIENT]
        sni = self.client.sni if self.client is not None else None
        leaf = server_chain[0] if server_chain else None
        other = client_chain[0] if client_chain else None
        seen = leaf is not None
        version = zeek_version(self.version) if self.version else None
        cipher = suite_name(self.sslv2_cipher) if self.sslv2_cipher is not None else base.cipher
        self._conv.row(
            SslRow(
                version=version, cipher=cipher, curve=self._curve, server_name=sni, resumed=self._resumed,
                last_alert=self._alert, next_protocol=base.next_protocol, established=self.established,
                ssl_history=base.ssl_history,
                cert_chain_fps=[one.sha256 for one in server_chain] if seen else None,
                client_cert_chain_fps=[one.sha256 for one in client_chain] if seen or client_chain else None,
                subject=zeek_name(leaf.subject) if leaf is not None else None,
                issuer=zeek_name(leaf.issuer) if leaf is not None else None,
                client_subject=zeek_name(other.subject) if other is not None else None,
                client_issuer=zeek_name(other.issuer) if other is not None else None,
                sni_matches_cert=leaf.matches(sni) if leaf is not None and sni else None,
            )
        )  # fmt: skip

    def tell(self) -> None:
        """Write the EVE event, once."""
        if self._told:
            return
        self._told = True
        conv = self._conv
        if not conv.wants("tls"):
            return
        found: dict[str, Any] = {}
        if self._resumed:
            found["session_resumed"] = True
        elif self._chains[Side.SERVER]:
            _certificate_fields(found, self._chains[Side.SERVER][0])
        self._hello_fields(found)
        if self._chains[Side.CLIENT]:
            inner: dict[str, Any] = {}
            _certificate_fields(inner, self._chains[Side.CLIENT][0])
            found["client"] = inner
        origin = conv.origin
        if origin:
            found["from_proto"] = origin
        custom = conv.option("custom", None)
        if custom:
            found = self._chosen(found, {_CUSTOM.get(name, name) for name in custom})
        elif not conv.option("extended", True):
            found = {name: value for name, value in found.items() if name in _BASIC}
        conv.emit("tls", {"tls": found})

    def _hello_fields(self, found: dict[str, Any]) -> None:
        client, server, conv = self.client, self.server, self._conv
        if client is not None and client.sni:
            found["sni"] = client.sni
        found["version"] = self._eve_version()
        if client is not None:
            if conv.option("ja3_fingerprints", True):
                found["ja3"] = ja3_record(ja3(client))
            if conv.option("ja4", True):
                found["ja4"] = ja4(client, self._mark, conv.option("ja4_as_suricata", False))
            if client.alpns:
                found["client_alpns"] = [name.decode("utf-8", "backslashreplace") for name in client.alpns]
        if server is not None:
            if conv.option("ja3_fingerprints", True):
                found["ja3s"] = ja3_record(ja3s(self._first_server or server))
            if server.alpns:
                found["server_alpns"] = [name.decode("utf-8", "backslashreplace") for name in server.alpns]

    def _eve_version(self) -> str:
        """The version chosen, while there is none the one of the client's hello."""
        server = self.server
        if server is not None and server.legacy_version == 0x0304:
            return "TLS 1.3 draft-<16"  # only early drafts said 1.3 where RFC 8446 says 1.2
        version = self.version or (self.client.version if self.client is not None else 0)
        return eve_version(version) if version else "UNDETERMINED"

    def _chosen(self, found: dict[str, Any], names: set[str]) -> dict[str, Any]:
        """The fields that log.tls.custom asks for; some are made only then."""
        kept = {name: value for name, value in found.items() if name in names}
        client, server = self.client, self.server
        if "client_handshake" in names and client is not None:
            kept["client_handshake"] = ClientHandshake(
                version=eve_version(client.offered),
                ciphers=list(numbers(client.ciphers)) or None,
                exts=client.types or None,
                sig_algs=list(numbers(client.signatures)) or None,
            )
        if "server_handshake" in names and server is not None:
            kept["server_handshake"] = ServerHandshake(
                version=eve_version(server.version), cipher=server.cipher, exts=server.types or None
            )
        raw = self._raw[Side.SERVER]
        if raw and "certificate" in names:
            kept["certificate"] = b64encode(raw[0]).decode("ascii")
        if raw and "chain" in names:
            kept["chain"] = [b64encode(one).decode("ascii") for one in raw]
        return kept


def _certificate_fields(found: dict[str, Any], leaf: Certificate) -> None:
    found["subject"] = eve_name(leaf.subject)
    found["issuerdn"] = eve_name(leaf.issuer)
    if leaf.dns:
        found["subjectaltname"] = leaf.dns
    found["serial"] = colons(leaf.serial)
    found["fingerprint"] = ":".join([leaf.sha1[at : at + 2] for at in range(0, 40, 2)])
    for name, seconds in (("notbefore", leaf.not_before), ("notafter", leaf.not_after)):
        date = eve_date(seconds)
        if date is not None and date[0] in "12":  # EVE has no later years
            found[name] = date
