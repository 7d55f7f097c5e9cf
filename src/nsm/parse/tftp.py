"""TFTP: one ``tftp`` event a request, and the file that follows from another port. RFC 1350; options: RFC 2347, RFC 2348.

The server answers from a port of its own: that flow is announced by the client's address and port, and its blocks are the file.
"""

from __future__ import annotations

from typing import Final

import msgspec

from nsm.model.protocol import Conversation, FileSink, Match, ProtocolSpec, Record, Side
from nsm.wire.dns_message import text

READ: Final = 1  # RFC 1350, section 5
WRITE: Final = 2
DATA: Final = 3
ERROR: Final = 5
OPTIONS: Final = 6  # RFC 2347
MODES: Final = (b"octet", b"netascii", b"mail")  # RFC 1350, section 1
BLOCK_BYTES: Final = 512  # RFC 1350, section 2
REQUEST_BYTES_MAX: Final = 1024  # ours: RFC 2347 has 512


class Tftp(Record):
    """A request."""

    packet: str
    file: str
    mode: str


class Transfer(msgspec.Struct, frozen=True):
    """What the flow of a file's blocks is told about it."""

    filename: str
    block_bytes: int


def request_of(data: bytes) -> tuple[str, str, int] | None:
    """(file, mode, block size) of a request, None when it is none."""
    if len(data) > REQUEST_BYTES_MAX:
        return None
    parts = data[2:].split(b"\0")
    if len(parts) < 3 or not parts[0] or parts[1].lower() not in MODES:
        return None
    size = BLOCK_BYTES
    for name, value in zip(parts[2::2], parts[3::2], strict=False):
        if name.lower() == b"blksize" and value.isdigit() and len(value) < 6:
            size = int(value)
    return text(parts[0]), text(parts[1]), size


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A read or write request."""
    if len(data) < 9 or data[0] != 0 or data[1] not in (READ, WRITE):
        return Match.NO
    return Match.YES if request_of(data) is not None else Match.NO


class TftpParser:
    """One per flow: of requests, or of blocks."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._count = 0
        note = conv.expected
        self._transfer: Transfer | None = note if isinstance(note, Transfer) else None
        self._file: FileSink | None = None
        self._block = 0
        self._size = self._transfer.block_bytes if self._transfer else BLOCK_BYTES

    def feed(self, side: Side, data: bytes) -> int:
        """Read one packet."""
        if len(data) < 4 or data[0]:
            return len(data)
        if data[1] in (READ, WRITE):
            self._request(side, data)
        elif data[1] == DATA and self._transfer is not None:
            self._data(side, data)
        elif data[1] == OPTIONS:
            accepted = data[2:].lower().split(b"\0")
            if b"blksize" not in accepted[::2]:
                self._size = BLOCK_BYTES
        elif data[1] == ERROR:
            self.finish()
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """A file that has not ended is cut."""
        if self._file is not None:
            self._file.close(truncated=True)
            self._file = None

    def _request(self, side: Side, data: bytes) -> None:
        found = request_of(data)
        if found is None:
            return
        filename, mode, size = found
        conv = self._conv
        packet = "read" if data[1] == READ else "write"
        conv.emit("tftp", {"tftp": Tftp(packet, filename, mode)}, sender=side)
        self._count += 1
        address = conv.client if side is Side.CLIENT else conv.server
        port = conv.client_port if side is Side.CLIENT else conv.server_port
        conv.expect(address, port, "tftp", Transfer(filename, size))
        self._transfer = Transfer(filename, size)  # some servers answer from the port that was asked
        self._size = size

    def _data(self, side: Side, data: bytes) -> None:
        number = data[2] << 8 | data[3]
        if number == 1 and self._file is None and self._block == 0 and self._transfer is not None:
            self._file = self._conv.file(side, source="TFTP", filename=self._transfer.filename)
        expected = (self._block + 1) & 0xFFFF
        if self._file is None or number != expected:
            missed = (number - expected) & 0xFFFF
            if self._file is None or missed > 0x7FFF:
                return  # sent again
            self._file.gap(missed * self._size)
        self._block = number
        self._file.data(data[4:])
        if len(data) - 4 < self._size:
            self._file.close()
            self._file = None
            self._conv.done()


SPEC: Final = ProtocolSpec(
    name="tftp",
    transports=("udp",),
    ports=(69,),
    probe=probe,
    first=b"\x00",
    parser=TftpParser,
    kinds=("tftp",),
    weight=3,
)
