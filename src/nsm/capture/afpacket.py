"""The ring of a capture socket (AF_PACKET, TPACKET_V3), mapped, and walked in place by a kernel.

Needs no privilege: the socket comes from ``packet_socket`` in another process. Offsets: Linux include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

import errno
import mmap
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from nsm.capture.packet_socket import PACKET_STATISTICS, SOL_PACKET, link_of, ring_shape
from nsm.capture.settings import CaptureSettings
from nsm.capture.source import SourceCounters, shown
from nsm.errors import CaptureError
from nsm.kernels import index as ix
from nsm.model.batch import PacketBatch
from nsm.model.table import Array

STATUS, PACKETS, FIRST = 2, 3, 4  # 32-bit words of a block's header
STATUS_USER: Final = 1
ROWS: Final = 4_096
POLL_MS: Final = 50


class RingSource:
    """Packets of one ring. Frames stay where the kernel put them; a block goes back when its packets were used."""

    def __init__(self, sock: socket.socket, interface: str, settings: CaptureSettings, iface_number: int = 0) -> None:
        self._sock, self._interface, self._number = sock, interface, iface_number
        self._block, self._blocks = ring_shape(settings)
        self._link = link_of(interface)
        self._loopback = interface == "lo"
        try:
            self._map = mmap.mmap(
                sock.fileno(), self._block * self._blocks, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
            )
        except OSError as error:
            raise CaptureError(f"cannot map the ring of {shown(interface)}: {error.strerror}") from error
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._words = self._bytes.view(np.uint32)
        self._batch = PacketBatch(self._bytes, ROWS)
        self._state = np.zeros(4, np.int64)
        self._packets = self._drops = self._freezes = 0
        self._closed = False
        self._at = 0
        self._sampled = np.zeros(4, np.int64)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The one interface, at its number."""
        return (*("" for _ in range(self._number)), self._interface)

    def batches(self) -> Iterator[PacketBatch]:
        """Batches as packets come; an empty one at least every 50 ms. CaptureError when the interface goes away."""
        poller = select.poll()
        poller.register(self._sock, select.POLLIN | select.POLLERR)
        current = 0
        while not self._closed:
            head = current * (self._block // 4)
            if not self._words[head + STATUS] & STATUS_USER:
                events = poller.poll(POLL_MS)
                if any(mask & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, mask in events):
                    self._check()
                if not self._words[head + STATUS] & STATUS_USER:
                    self._batch.count = 0
                    yield self._batch
                    continue
            yield from self._block_batches(current)
            self._words[head + STATUS] = 0
            current = (current + 1) % self._blocks

    def _block_batches(self, number: int) -> Iterator[PacketBatch]:
        start, head = number * self._block, number * (self._block // 4)
        left, at = int(self._words[head + PACKETS]), start + int(self._words[head + FIRST])
        batch, self._at = self._batch, at
        while left > 0:
            ix.index_ring_block(
                self._bytes, at, left, start + self._block, self._link, self._number, self._loopback, batch.rows,
                *batch.columns, self._state,
            )  # fmt: skip
            batch.count, batch.first_number = int(self._state[ix.COUNT]), self._packets + 1
            self._packets += batch.count
            at, left = int(self._state[ix.NEXT]), int(self._state[ix.STATUS])
            yield batch

    def sample(self, into: PacketBatch) -> list[bool]:
        """Fill ``into`` (which has ``data``) with the first frames of the block in hand, between two batches of it.

        One value for each: is its checksum not computed yet, because the network card does that (or nobody, on a way
        inside this machine)? The kernel knows. Valid until ``batches`` is asked for the next batch.
        """
        words, at = self._words, self._at
        found: list[bool] = []
        block = at - at % self._block
        ix.index_ring_block(
            self._bytes, at, min(int(words[block // 4 + PACKETS]), into.rows), block + self._block, self._link, self._number,
            self._loopback, into.rows, *into.columns, self._sampled,
        )  # fmt: skip
        into.count = int(self._sampled[ix.COUNT])
        while len(found) < into.count:
            sent = self._bytes[at + ix.TP_PKTTYPE] == ix.PACKET_OUTGOING
            if not (self._loopback and sent):
                found.append(bool(words[(at + ix.TP_STATUS) // 4] & ix.TP_STATUS_SUM_OPEN))
            at += int(words[(at + ix.TP_NEXT) // 4])
        return found

    @property
    def data(self) -> Array:
        """The bytes of the ring."""
        return self._bytes

    def _check(self) -> None:
        """Raise when the socket says that the interface is no more."""
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        gone = not Path("/sys/class/net", self._interface).exists()
        if gone or code == errno.ENODEV:
            raise CaptureError(
                f"interface {shown(self._interface)} is gone", mend="plug it in again: nsm goes on by itself"
            )
        if code == errno.ENETDOWN:
            raise CaptureError(
                f"interface {shown(self._interface)} is down", mend=f"sudo ip link set {shown(self._interface)} up"
            )

    def counters(self) -> SourceCounters:
        """Totals since the start; the kernel's own counters are read and added up."""
        try:
            _, drops, freezes = struct.unpack("III", self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))
        except OSError:
            drops = freezes = 0
        self._drops += drops
        self._freezes += freezes
        return SourceCounters(self._packets, self._drops, self._freezes, int(self._state[ix.CUT]))

    def close(self) -> None:
        """End ``batches`` and close the socket; the ring is unmapped when its last view is gone."""
        self._closed = True
        self._sock.close()
