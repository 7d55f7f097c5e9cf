"""Opens a capture file, whatever it is: pcap, pcapng, either of them compressed, standard input, a FIFO.

Bytes go through one buffer that is filled again and again (256 KB at a time stays in a core's cache), so memory does
not depend on the size of the file. What is no capture gets one line that says what it seems to be.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

import lz4.frame
import numpy as np
import zstandard

from nsm.capture.source import SourceCounters, shown
from nsm.errors import CaptureError
from nsm.kernels import index as ix
from nsm.kernels.constants import (  # fmt: skip
    LINK_AVS,
    LINK_CHDLC,
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LOOP,
    LINK_NULL,
    LINK_PPI,
    LINK_PPP,
    LINK_PPP_HDLC,
    LINK_PPPOE,
    LINK_PRISM,
    LINK_RADIOTAP,
    LINK_RAW,
    LINK_RAW_A,
    LINK_RAW_B,
    LINK_SLL,
    LINK_SLL2,
    LINK_WIFI,
)
from nsm.model.batch import BATCH_PACKETS, PacketBatch
from nsm.model.capture_format import GZIP_MAGIC, PCAP_MAGICS, seems

BLOCK_BYTES: Final = 262_144  # read at once
BUFFER_BYTES: Final = 2 * BLOCK_BYTES + 131_072  # a block, and the longest record begun in the block before

LINKS_KNOWN: Final = frozenset({
    LINK_AVS, LINK_CHDLC, LINK_ETHERNET, LINK_IPV4, LINK_IPV6, LINK_LOOP, LINK_NULL, LINK_PPI, LINK_PPP, LINK_PPP_HDLC,
    LINK_PPPOE, LINK_PRISM, LINK_RADIOTAP, LINK_RAW, LINK_RAW_A, LINK_RAW_B, LINK_SLL, LINK_SLL2, LINK_WIFI,
})  # fmt: skip

_READ_ERRORS = (OSError, EOFError, zlib.error, zstandard.ZstdError, RuntimeError, ValueError)


class ByteReader:
    """A capture's bytes, uncompressed, in one buffer."""

    def __init__(self, raw: BinaryIO, file: BinaryIO, name: str) -> None:
        self.name = name
        self.data = np.zeros(BUFFER_BYTES, np.uint8)
        self.start = self.stop = 0  # data[start:stop] is not used up
        self.position = 0  # of data[start] in the uncompressed file
        self.ended = False
        self._view = memoryview(self.data.data)
        self._raw, self._file = raw, file  # a decompressor does not close what it reads from

    def fill(self) -> bool:
        """Read on; False at the end. CaptureError when reading fails."""
        if self.start:
            left = self.stop - self.start
            self.data[:left] = self.data[self.start : self.stop].copy()
            self.start, self.stop = 0, left
        room = min(BLOCK_BYTES, BUFFER_BYTES - self.stop)
        try:
            count = cast("io.RawIOBase", self._file).readinto(self._view[self.stop : self.stop + room]) or 0
        except _READ_ERRORS as error:
            self.ended = True
            raise CaptureError(f"{self.name}: cannot read on: {_reason(error)}") from error
        self.stop += count
        self.ended = count == 0
        return count > 0

    def need(self, count: int) -> bool:
        """Are ``count`` bytes there, read now if need be? ``count`` is at most BLOCK_BYTES."""
        while self.stop - self.start < count:
            if not self.fill():
                return False
        return True

    def peek(self, count: int) -> bytes:
        """Up to ``count`` bytes that stay unused."""
        self.need(count)
        return bytes(self._view[self.start : min(self.start + count, self.stop)])

    def skip(self, count: int) -> bool:
        """Use bytes up without looking at them; False when the file ends before."""
        while count > 0:
            if self.start == self.stop and not self.fill():
                return False
            step = min(count, self.stop - self.start)
            self.start += step
            self.position += step
            count -= step
        return True

    def close(self) -> None:
        """Close what was opened here."""
        with contextlib.suppress(*_READ_ERRORS):
            self._file.close()
        self._raw.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error).splitlines()
    return shown(text[0]) if text else type(error).__name__


def open_bytes(source: str | os.PathLike[str]) -> ByteReader:
    """The uncompressed bytes of a file, or of standard input for ``-``."""
    name = shown(source)
    if str(source) == "-":
        raw: BinaryIO = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115 - closed with the reader
        name = "standard input"
    else:
        try:
            mode = Path(source).stat().st_mode
            if stat.S_ISDIR(mode):
                raise CaptureError(f"{name} is a folder, not a capture file", mend="nsm read FILE...")
            raw = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed with the reader
        except (OSError, ValueError) as error:
            raise CaptureError(f"cannot open {name}: {_reason(error)}", where=name) from error
    return ByteReader(raw, _uncompressed(raw, name), name)


class _Prefixed(io.RawIOBase):
    """A file whose first bytes were read already: pipes cannot be read twice."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # RawIOBase says WriteableBuffer
        if self._head:
            count = min(len(self._head), len(buffer))
            buffer[:count] = self._head[:count]
            self._head = self._head[count:]
            return count
        return cast("io.RawIOBase", self._file).readinto(buffer) or 0

    def close(self) -> None:
        self._file.close()
        super().close()


def _uncompressed(raw: BinaryIO, name: str) -> BinaryIO:
    head = b""
    try:
        while len(head) < 4 and (more := raw.read(4 - len(head))):
            head += more
    except OSError as error:
        raise CaptureError(f"cannot read {name}: {_reason(error)}", where=name) from error
    file = cast("BinaryIO", _Prefixed(head, raw))
    if head[:2] == GZIP_MAGIC:
        return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    if head == b"\x28\xb5\x2f\xfd":
        return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True))
    if head == b"\x04\x22\x4d\x18":
        return cast("BinaryIO", lz4.frame.LZ4FrameFile(file, mode="rb"))
    return file


def no_capture(reader: ByteReader, head: bytes) -> CaptureError:
    """The one line for a file that is something else."""
    return CaptureError(
        f"{reader.name} is not a capture: {seems(head)}",
        where=reader.name,
        mend="nsm reads pcap and pcapng, plain or gzip, zstd, lz4",
    )


class PcapFile:
    """Classic pcap (draft-ietf-opsawg-pcap)."""

    interfaces: tuple[str, ...] = ()

    def __init__(self, reader: ByteReader, rows: int = BATCH_PACKETS) -> None:
        self._reader = reader
        head = reader.peek(24)
        if len(head) < 24:
            raise CaptureError(f"{reader.name} ends inside the file header, after {len(head)} of 24 bytes")
        self._swapped, self._unit, self._header = PCAP_MAGICS[head[:4]]
        order: Literal["big", "little"] = "big" if self._swapped else "little"
        self._link = int.from_bytes(head[20:24], order) & 0x0FFF_FFFF
        if self._link not in LINKS_KNOWN:
            raise CaptureError(
                f"{reader.name} has link type {self._link}, which nsm does not know",
                where=reader.name, mend="capture on an Ethernet, Wi-Fi, PPP, loopback or raw IP interface",
            )  # fmt: skip
        reader.skip(24)
        self._batch = PacketBatch(reader.data, rows)
        self._state = np.zeros(4, np.int64)
        self._packets = 0

    def batches(self) -> Iterator[PacketBatch]:
        """Batches until the end; CaptureError when the file is cut or damaged."""
        reader, batch, state = self._reader, self._batch, self._state
        while True:
            ix.index_pcap(
                reader.data, reader.start, reader.stop, self._swapped, self._header, self._unit, self._link, batch.rows,
                *batch.columns, state,
            )  # fmt: skip
            count, used, status = int(state[ix.COUNT]), int(state[ix.NEXT]) - reader.start, int(state[ix.STATUS])
            reader.start += used
            reader.position += used
            if count:
                batch.count, batch.first_number = count, self._packets + 1
                self._packets += count
                yield batch
            if status == ix.BAD_LENGTH:
                raise CaptureError(
                    f"{reader.name} is damaged: packet {self._packets + 1} at byte {reader.position} claims an impossible length"
                )
            if status == ix.MORE and not reader.fill():
                break
        if reader.stop > reader.start:
            raise CaptureError(f"{reader.name} is cut short: it ends inside packet {self._packets + 1}")

    def counters(self) -> SourceCounters:
        """Packets read so far."""
        return SourceCounters(packets=self._packets, cut=int(self._state[ix.CUT]))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
