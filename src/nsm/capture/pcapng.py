"""pcapng (draft-ietf-opsawg-pcapng): sections and interfaces in Python, packets in a kernel.

Read: section header, interface description, enhanced, simple and obsolete packet, name resolution, interface
statistics. Other blocks are stepped over. Names, comments and statistics are kept, bounded, in ``notes``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from nsm.capture.files import LINKS_KNOWN, ByteReader
from nsm.capture.source import SourceCounters
from nsm.errors import CaptureError
from nsm.kernels import index as ix
from nsm.model.batch import BATCH_PACKETS, PacketBatch

SECTION, INTERFACE, NAMES, STATISTICS = 0x0A0D0D0A, 1, 4, 5
INTERFACES_MAX: Final = 65_536  # of one section; a packet names its own with 16 bits in older blocks
NOTES_MAX: Final = 1_000  # comments, names and statistics kept
BLOCK_MAX: Final = 262_144  # a block that Python reads whole; longer ones are stepped over
OPT_COMMENT, OPT_IF_NAME, OPT_TSRESOL, OPT_TSOFFSET = 1, 2, 9, 14
OPT_ISB_IFRECV, OPT_ISB_IFDROP = 4, 5
OFFSET_MAX: Final = 1 << 33  # seconds; a larger offset is no time that anybody captured at


def _units(resolution: int) -> tuple[int, int, int]:
    """(multiply, divide, shift) that make nanoseconds of units of if_tsresol."""
    if resolution & 0x80:
        shift = min(resolution & 0x7F, 63)
        return (1, 1, shift) if shift else (1_000_000_000, 1, 0)
    if resolution <= 9:
        return 10 ** (9 - resolution), 1, 0
    return 1, 10 ** min(resolution - 9, 18), 0


class Notes(msgspec.Struct):
    """What a capture says about itself."""

    comments: list[str]
    names: dict[str, str]
    received: int = 0
    dropped: int = 0


class PcapngFile:
    """Packets of all sections and interfaces in file order."""

    def __init__(self, reader: ByteReader, rows: int = BATCH_PACKETS) -> None:
        self._reader = reader
        self._batch = PacketBatch(reader.data, rows)
        self._state = np.zeros(4, np.int64)
        self._table = np.zeros(64 * ix.IF_WORDS, np.int64)
        self._swapped = False
        self._count = 0  # interfaces of this section
        self._base = 0  # interfaces of the sections before
        self._packets = 0
        self._unknown_links: dict[int, int] = {}
        self._names: list[str] = []
        self.notes = Notes([], {})
        self._section()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Names of all interfaces so far; empty text where the file has none."""
        return tuple(self._names[:255])

    def batches(self) -> Iterator[PacketBatch]:
        """Batches until the end; CaptureError when the file is cut or damaged."""
        reader, batch, state = self._reader, self._batch, self._state
        last_ts = 0
        while True:
            ix.index_pcapng(
                reader.data, reader.start, reader.stop, self._swapped, self._count, self._base, self._table, last_ts,
                batch.rows, *batch.columns, state,
            )  # fmt: skip
            count, used, status = int(state[ix.COUNT]), int(state[ix.NEXT]) - reader.start, int(state[ix.STATUS])
            reader.start += used
            reader.position += used
            if count:
                batch.count, batch.first_number = count, self._packets + 1
                self._packets += count
                last_ts = int(batch.ts_ns[count - 1])
                yield batch
            if status == ix.OTHER_BLOCK:
                self._other_block()
            elif status == ix.BAD_LENGTH:
                raise self._damaged("claims an impossible length")
            elif status == ix.BAD_INTERFACE:
                raise self._damaged("names an interface that the file does not describe")
            elif status == ix.MORE and not reader.fill():
                break
        if reader.stop > reader.start:
            raise CaptureError(f"{reader.name} is cut short: it ends inside the block after packet {self._packets}")
        if self._unknown_links and not any(self._known_links()):
            link = next(iter(self._unknown_links))
            raise CaptureError(f"{reader.name} has link type {link}, which nsm does not know", where=reader.name)

    def _known_links(self) -> Iterator[bool]:
        for row in range(self._count):
            yield int(self._table[row * ix.IF_WORDS + ix.IF_LINK]) in LINKS_KNOWN

    def _damaged(self, what: str) -> CaptureError:
        reader = self._reader
        return CaptureError(
            f"{reader.name} is damaged: the block at byte {reader.position}, after packet {self._packets}, {what}"
        )

    def _word(self, data: bytes, at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], "big" if self._swapped else "little")

    def _section(self) -> None:
        reader = self._reader
        head = reader.peek(28)
        if len(head) < 28:
            raise CaptureError(f"{reader.name} is cut short: it ends inside a section header")
        if head[8:12] not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
            raise self._damaged("has no byte order mark")
        self._swapped = head[8:12] == b"\x1a\x2b\x3c\x4d"
        length = self._word(head, 4)
        if length < 28 or length % 4:
            raise self._damaged("claims an impossible length")
        self._base += self._count
        self._count = 0
        if length <= BLOCK_MAX and reader.need(length):
            self._comments(reader.peek(length)[24:-4])
        if not reader.skip(length):
            raise CaptureError(f"{reader.name} is cut short: it ends inside a section header")

    def _other_block(self) -> None:
        reader = self._reader
        head = reader.peek(8)
        kind, length = self._word(head, 0), self._word(head, 4)
        if kind == SECTION:
            self._section()
            return
        if length < 12 or length % 4:
            raise self._damaged("claims an impossible length")
        if kind in (INTERFACE, NAMES, STATISTICS) and length <= BLOCK_MAX:
            block = reader.peek(length)
            if len(block) < length:
                raise CaptureError(f"{reader.name} is cut short: it ends inside the block after packet {self._packets}")
            body = block[8:-4]
            if kind == INTERFACE:
                self._interface(body)
            elif kind == NAMES:
                self._resolve(body)
            else:
                self._statistics(body)
        if not reader.skip(length):
            raise CaptureError(f"{reader.name} is cut short: it ends inside the block after packet {self._packets}")

    def _options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(data):
            code, size = self._word(data, at, 2), self._word(data, at + 2, 2)
            if code == 0 or at + 4 + size > len(data):
                return
            yield code, data[at + 4 : at + 4 + size]
            at += 4 + (size + 3) // 4 * 4

    def _comments(self, options: bytes) -> None:
        for code, value in self._options(options):
            if code == OPT_COMMENT and len(self.notes.comments) < NOTES_MAX:
                self.notes.comments.append(value.decode("utf-8", "replace"))

    def _interface(self, body: bytes) -> None:
        if len(body) < 8:
            raise self._damaged("is too short for an interface description")
        if self._count >= INTERFACES_MAX:
            raise self._damaged(f"describes more than {INTERFACES_MAX} interfaces")
        if (self._count + 1) * ix.IF_WORDS > len(self._table):
            self._table = np.concatenate((self._table, np.zeros_like(self._table)))
        link, snaplen = self._word(body, 0, 2), self._word(body, 4)
        resolution, offset, name = self._interface_options(body[8:])
        multiply, divide, shift = _units(resolution)
        at = self._count * ix.IF_WORDS
        self._table[at : at + 6] = (link, snaplen, multiply, divide, shift, offset)
        if link not in LINKS_KNOWN:
            self._unknown_links[link] = self._unknown_links.get(link, 0) + 1
        self._count += 1
        if len(self._names) < INTERFACES_MAX:
            self._names.append(name)

    def _interface_options(self, options: bytes) -> tuple[int, int, str]:
        """(if_tsresol, if_tsoffset in seconds, if_name), with their defaults."""
        resolution, offset, name = 6, 0, ""
        for code, value in self._options(options):
            if code == OPT_TSRESOL and value:
                resolution = value[0]
            elif code == OPT_TSOFFSET and len(value) == 8:
                offset = int.from_bytes(value, "big" if self._swapped else "little", signed=True)
            elif code == OPT_IF_NAME:
                name = value.decode("utf-8", "replace")
        self._comments(options)
        return resolution, max(-OFFSET_MAX, min(offset, OFFSET_MAX)), name

    def _resolve(self, body: bytes) -> None:
        at = 0
        while at + 4 <= len(body) and len(self.notes.names) < NOTES_MAX:
            kind, size = self._word(body, at, 2), self._word(body, at + 2, 2)
            value = body[at + 4 : at + 4 + size]
            width = {1: 4, 2: 16}.get(kind, 0)
            if kind == 0 or len(value) < size:
                return
            if width and size > width:
                name = value[width:].split(b"\0")[0].decode("utf-8", "replace")
                self.notes.names[value[:width].hex()] = name
            at += 4 + (size + 3) // 4 * 4

    def _statistics(self, body: bytes) -> None:
        for code, value in self._options(body[12:]):
            if len(value) == 8:
                number = int.from_bytes(value, "big" if self._swapped else "little")
                if code == OPT_ISB_IFRECV:
                    self.notes.received += number
                elif code == OPT_ISB_IFDROP:
                    self.notes.dropped += number

    def counters(self) -> SourceCounters:
        """Packets read so far; drops as the file's own statistics say."""
        return SourceCounters(packets=self._packets, drops=self.notes.dropped, cut=int(self._state[ix.CUT]))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
