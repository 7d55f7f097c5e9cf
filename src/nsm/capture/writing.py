"""Writes packets to capture files, pcap or pcapng with nanoseconds, in turn when asked: by size, time or count.

Records are packed by a kernel and written in whole batches. A file on the disk always ends with a whole record: when
the disk is full, what was written of the next one is cut off again.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import msgspec
import numpy as np

from nsm.capture.settings import SNAPLEN_MAX
from nsm.capture.source import shown
from nsm.errors import SinkError
from nsm.kernels import pack as pk
from nsm.model.batch import PacketBatch

if TYPE_CHECKING:
    from typing_extensions import Buffer

FORMS: Final = ("pcap", "pcapng")
BUFFER_BYTES: Final = 1 << 20  # written at once
PCAP_MAGIC_NS: Final = 0xA1B23C4D
NEVER: Final = (1 << 63) - 1
FILES_KEPT_MAX: Final = 100_000  # five digits of a file's number


class Rotation(msgspec.Struct, frozen=True):
    """When a new file is begun, 0 never, and how many are kept, 0 all. ``seconds`` are of packet time."""

    file_bytes: int = 0
    seconds: float = 0.0
    packets: int = 0
    files: int = 0

    @property
    def numbered(self) -> bool:
        """Is there more than one file, so that names need a number?"""
        return bool(self.file_bytes or self.seconds or self.packets)


class CaptureWriter:
    """A capture file, or a series of them. The first is made with the first packet, or at the end when none came."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        form: str = "pcap",
        rotation: Rotation | None = None,
        snaplen: int = SNAPLEN_MAX,
        interface: str = "",
        link: int = 1,
        packets_max: int = 0,
        octets_max: int = 0,
        written: Callable[[int, Buffer], int] = os.write,
    ) -> None:
        """Nothing is made yet.

        ``link``: until a packet says otherwise; ``packets_max``, ``octets_max`` (of all files): 0 no limit.
        ``written`` writes to a file number.
        """
        self._path, self._rotation = Path(path), rotation or Rotation()
        self._form = FORMS.index(form)
        self._snaplen, self._interface, self._link = snaplen or SNAPLEN_MAX, interface, link
        self._left, self._octets_max = packets_max or NEVER, octets_max or NEVER
        self._write = written
        self._out = np.zeros(BUFFER_BYTES + 4, np.uint8)
        self._view = memoryview(cast("Buffer", self._out))
        self._state = np.zeros(2, np.int64)
        self._fd = -1
        self._name = self._path
        self._kept: deque[Path] = deque()
        self._file_bytes = self._file_packets = 0
        self._until = NEVER
        self.files = self.packets = self.octets = 0  # begun files, packets and bytes written in all of them

    @property
    def full(self) -> bool:
        """Was ``packets_max`` or ``octets_max`` reached?"""
        return self._left <= 0

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, batch: PacketBatch) -> None:
        """Write a batch's packets, as far as the limits allow. SinkError when the file cannot be written."""
        first, count = 0, min(batch.count, self._left)
        while first < count and not self.full:
            due = self._fd < 0 or self._due(batch, first)
            if due and not self._begin(int(batch.links[first]), int(batch.ts_ns[first])):
                return
            if int(batch.links[first]) != self._link:
                raise SinkError(
                    f"cannot write packets of link types {self._link} and {int(batch.links[first])} to one file",
                    where=shown(self._name), mend="take one interface at a time",
                )  # fmt: skip
            first += self._pack(batch, first, self._run(batch, first, count))

    def _run(self, batch: PacketBatch, first: int, count: int) -> int:
        """Where the packets end that go into this file: at another link type, or when its number is reached."""
        other = np.flatnonzero(batch.links[first:count] != self._link)
        stop = first + int(other[0]) if len(other) else count
        return min(stop, first + self._rotation.packets - self._file_packets) if self._rotation.packets else stop

    def _due(self, batch: PacketBatch, first: int) -> bool:
        rotation = self._rotation
        full = bool(rotation.packets) and self._file_packets >= rotation.packets
        return full or int(batch.ts_ns[first]) >= self._until

    def _pack(self, batch: PacketBatch, first: int, stop: int) -> int:
        """Write what fits of packets first..stop-1; return how many. When nothing fits a new file is begun."""
        left = self._octets_max - self.octets
        room = max(0, min(BUFFER_BYTES, left))
        if self._rotation.file_bytes:
            room = max(0, min(room, self._rotation.file_bytes - self._file_bytes))
        done = self._packed(batch, first, stop, room)
        if done == first and not self._file_packets:
            done = self._packed(
                batch, first, first + 1, min(BUFFER_BYTES, max(0, left))
            )  # larger than a whole file may be
        if done > first:
            self._put(int(self._state[pk.BYTES]))
            self._count(done - first)
        elif int(self._state[pk.WHY]) == pk.ROOM and room >= left:
            self._left = 0  # the next packet does not fit below octets_max
        elif int(self._state[pk.WHY]) == pk.ROOM:
            self._begin(int(batch.links[first]), int(batch.ts_ns[first]))
        return done - first

    def _packed(self, batch: PacketBatch, first: int, stop: int, room: int) -> int:
        return int(
            pk.pack(
                batch.data, batch.ts_ns, batch.offset, batch.caplen, batch.wirelen, batch.links, batch.vlan,
                first, stop, self._form, self._snaplen, self._until, room, self._out, self._state,
            )
        )  # fmt: skip

    def _count(self, packets: int) -> None:
        self._file_packets += packets
        self.packets += packets
        self._left -= packets

    def _put(self, size: int) -> None:
        """Write the buffer's first bytes; on failure the whole records of them stay."""
        at = 0
        try:
            while at < size:
                at += self._write(self._fd, self._view[at:size])
        except OSError as error:
            whole, packets = self._whole(at)
            os.ftruncate(self._fd, self._file_bytes + whole)
            self._file_bytes += whole
            self.octets += whole
            self._count(packets)
            os.close(self._fd)
            self._fd = -1
            raise SinkError(
                f"cannot write {shown(self._name)}: {(error.strerror or str(error)).lower()}",
                where=f"{self.packets} packets are kept, the file is whole",
                mend="make room, or keep fewer packets: --ring 10x100M, --snaplen 128",
            ) from error
        self._file_bytes += size
        self.octets += size

    def _whole(self, size: int) -> tuple[int, int]:
        """(bytes, number) of the whole records in the buffer's first ``size`` bytes."""
        at = packets = 0
        while True:
            if self._form == pk.PCAP:
                step = 16 + int.from_bytes(self._view[at + 8 : at + 12], "little")
            else:
                step = int.from_bytes(self._view[at + 4 : at + 8], "little")
            if at + step > size:
                return at, packets
            at += step
            packets += 1

    def _begin(self, link: int, ts_ns: int) -> bool:
        """Begin the next file of the series; False when its header alone would be too much."""
        self._link = link
        header = self._header()
        if self.files and self.octets + len(header) >= self._octets_max:
            self._left = 0
            return False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.files += 1
        self._name = self._path
        if self._rotation.numbered:
            self._name = self._path.with_name(f"{self._path.stem}.{self.files:05d}{self._path.suffix}")
        try:
            self._fd = os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            at = 0
            while at < len(header):
                at += self._write(self._fd, header[at:])
        except OSError as error:
            raise SinkError(
                f"cannot write {shown(self._name)}: {(error.strerror or str(error)).lower()}", where="-w",
                mend="name a folder that can be written and has room",
            ) from error  # fmt: skip
        self._file_bytes, self._file_packets = len(header), 0
        self.octets += len(header)
        self._until = ts_ns + max(1, int(self._rotation.seconds * 1e9)) if self._rotation.seconds else NEVER
        self._forget()
        return True

    def _forget(self) -> None:
        """Delete the oldest file of the series when there are more than are kept."""
        if not self._rotation.numbered:
            return
        self._kept.append(self._name)
        if len(self._kept) > (self._rotation.files or FILES_KEPT_MAX):
            oldest = self._kept.popleft()
            if self._rotation.files:
                oldest.unlink(missing_ok=True)

    def _header(self) -> bytes:
        if self._form == pk.PCAP:
            return struct.pack("<IHHiIII", PCAP_MAGIC_NS, 2, 4, 0, 0, self._snaplen, self._link)
        section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(4, b"nsm") + _option(0)
        resolution = _option(9, b"\x09")  # if_tsresol: 10^-9 s
        name = _option(2, self._interface.encode()[:255]) if self._interface else b""
        description = struct.pack("<HHI", self._link, 0, self._snaplen) + name + resolution + _option(0)
        return _block(0x0A0D0D0A, section) + _block(1, description)

    def close(self) -> None:
        """End the last file; when no packet came, one without packets is made. May be called twice."""
        if not self.files:
            self._begin(self._link, 0)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length
