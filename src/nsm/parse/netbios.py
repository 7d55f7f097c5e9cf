"""NetBIOS: the name service as rows of dns.log, datagrams and sessions recognised. RFC 1002, sections 4.2 to 4.4.

A name is 16 bytes, each written as two letters from "A" (RFC 1001, section 14.1); the last byte says what kind of name it is.
A session over TCP begins with a request by name; behind its answer it is another protocol. EVE has no event of all this.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.dns_message import DnsError, looks_like, parse
from nsm.wire.dns_rows import DnsRows

NAME_PORT: Final = 137  # RFC 1002, section 4.2
ENCODED_CHARS: Final = 32  # RFC 1001, section 14.1
TYPE_NB: Final = 32  # RFC 1002, section 4.2.1.2
TYPE_NBSTAT: Final = 33
DATAGRAM_TYPES: Final = frozenset(range(0x10, 0x17))  # RFC 1002, section 4.4.1
DATAGRAM_HEADER_BYTES: Final = 10
DATAGRAM_NAMES_END: Final = 600  # section 4.4.2: two names of up to 255 bytes stand before the data
SMB_MAGIC: Final = b"\xffSMB"  # [MS-CIFS], section 2.2.3.1; [MS-BRWS] sends it by mailslots
SESSION_REQUEST: Final = b"\x81\0\0\x44\x20"  # RFC 1002, section 4.3.2: two encoded names
SESSION_REQUEST_BYTES: Final = 72
EARLY_BYTES_MAX: Final = 16_384  # ours: what a client may send before its request is answered
SESSION_ANSWERS: Final = (0x82, 0x83, 0x84)  # RFC 1002, section 4.3.1


def decoded(name: str) -> str:
    """The name behind the letters; what is no NetBIOS name stays as it is."""
    first = name.partition(".")[0]
    if len(first) != ENCODED_CHARS or not all("A" <= letter <= "P" for letter in first):
        return name
    raw = bytes((ord(first[at]) - 65) << 4 | (ord(first[at + 1]) - 65) for at in range(0, ENCODED_CHARS, 2))
    return raw[:15].rstrip(b" \0").decode("ascii", "replace")


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A name service message asks for NB or NBSTAT by an encoded name; a datagram names its sender's address."""
    if data.startswith(SESSION_REQUEST):
        return Match.YES
    if len(data) > DATAGRAM_HEADER_BYTES and data[0] in DATAGRAM_TYPES and port and data[1] < 0x10:
        return Match.YES if data[8] == 0 or data[0] > 0x12 or len(data) > 82 else Match.NO
    if len(data) < 13 + ENCODED_CHARS or data[12] != ENCODED_CHARS:
        return Match.NO
    if not looks_like(data, False):
        return Match.NO
    letters = data[13 : 13 + ENCODED_CHARS]
    return Match.YES if all(65 <= letter <= 80 for letter in letters) else Match.NO


class NetbiosParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._tcp = conv.transport == "tcp"
        self._rows: DnsRows | None = None
        names = conv.server_port == NAME_PORT or conv.client_port == NAME_PORT
        if names and not self._tcp:
            conv.service("dns")  # Zeek reads it with its DNS analyser
        if conv.rows and names and not self._tcp:
            self._rows = DnsRows(conv, netbios=True)
        elif names and not self._tcp:
            conv.done()
        self._names = names

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message of the name service."""
        if self._tcp:
            return self._session(side, data)
        if not self._names:
            if SMB_MAGIC in data[:DATAGRAM_NAMES_END]:
                self._conv.label("smb")
            self._conv.done()
            return len(data)
        if self._rows is not None:
            try:
                message = parse(data)
            except DnsError:
                return len(data)
            query = decoded(message.questions[0].name) if message.questions else None
            self._rows.message(message, query)
        return len(data)

    def _session(self, side: Side, data: bytes) -> int:
        """Step over the request and its answer."""
        if side is Side.CLIENT:
            if len(data) > EARLY_BYTES_MAX:
                self._conv.done()
            return SESSION_REQUEST_BYTES if len(data) >= SESSION_REQUEST_BYTES and data[0] == SESSION_REQUEST[0] else 0
        if len(data) < 4 or (data[0] not in SESSION_ANSWERS and not self._over()):
            return 0
        size = 4 + (data[2] << 8 | data[3])
        if len(data) < size:
            return 0
        if data[0] == SESSION_ANSWERS[0]:
            self._conv.switch("")
        else:
            self._conv.done()
        return size

    def _over(self) -> bool:
        self._conv.done()
        return False

    def gap(self, side: Side, size: int) -> bool:
        """A session is not looked at without its start."""
        return False

    def finish(self) -> None:
        """Write the questions that were not answered."""
        if self._rows is not None:
            self._rows.finish()


SPEC: Final = ProtocolSpec(
    name="netbios",
    transports=("udp", "tcp"),
    ports=(137, 138, 139),
    probe=probe,
    parser=NetbiosParser,
    weight=1,
)
