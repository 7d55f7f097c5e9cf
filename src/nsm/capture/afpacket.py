"""Live capture on Linux: AF_PACKET with TPACKET_V3, the ring mapped and walked in place by a kernel.

``open_socket`` needs CAP_NET_RAW and does everything that does; the socket can be handed to a process without it,
where ``RingSource`` maps the ring and gives batches. Order of calls as in Documentation/networking/packet_mmap.rst: nothing
arrives before all is set. Constants: Linux include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from nsm.capture.bpf import compile_filter
from nsm.capture.source import SourceCounters, shown
from nsm.errors import CaptureError, CapturePermissionError
from nsm.kernels import index as ix
from nsm.kernels.layers import LINK_ETHERNET, LINK_RADIOTAP, LINK_RAW, LINK_WIFI
from nsm.model.batch import PacketBatch
from nsm.settings.section import SettingsSection

ETH_P_ALL: Final = 3
SOL_PACKET, SO_ATTACH_FILTER = 263, 26
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_FANOUT = 1, 5, 6, 10, 18
TPACKET_V3, PACKET_MR_PROMISC = 2, 1
FANOUT_HASH, FANOUT_FLAG_DEFRAG = 0, 0x8000  # not ROLLOVER: it breaks flow affinity (Linux commit 77f65ebd)
# Links by ARPHRD_* of linux/if_arp.h: Ethernet, loopback, 802.11, 802.11 with radiotap, tun.
LINKS: Final = {1: LINK_ETHERNET, 772: LINK_ETHERNET, 801: LINK_WIFI, 803: LINK_RADIOTAP, 65534: LINK_RAW}
STATUS, PACKETS, FIRST = 2, 3, 4  # 32-bit words of a block's header
STATUS_USER: Final = 1
ROWS: Final = 4_096
POLL_MS: Final = 50


class CaptureSettings(msgspec.Struct, frozen=True):
    """Live capture."""

    interfaces: tuple[str, ...] = ()
    """Interfaces to watch; empty: the one of the default route."""
    filter: str = ""
    """A capture filter (pcap-filter(7)); packets that it does not accept are not seen at all."""
    workers: int = 1
    """Processes for each interface; flows are spread over them by the kernel."""
    promiscuous: bool = True
    """See frames for other hosts too, where the network brings them."""
    ring_mb: int = 32
    """Memory of the ring of each worker."""
    block_kb: int = 256
    """A block of the ring; at least 64, since offloaded frames reach 64 KB."""
    block_timeout_ms: int = 20
    """A block that is not full is handed over after this time."""
    recent_mb: int = 8
    """Memory of each worker for the packets of the last moments, of which alerts keep some; 0: none are kept."""
    recent_bytes: int = 256
    """Bytes kept of each of these packets."""


SETTINGS: Final = SettingsSection(name="capture", struct=CaptureSettings)


def link_of(interface: str) -> int:
    """The link type of an interface; CaptureError when there is no such interface or its kind is unknown."""
    try:
        kind = int(Path("/sys/class/net", interface, "type").read_text())
    except (OSError, ValueError) as error:
        names = ", ".join(sorted(path.name for path in Path("/sys/class/net").iterdir()))
        raise CaptureError(
            f"there is no interface {shown(interface)}", where="/sys/class/net", mend=f"interfaces here: {names}"
        ) from error
    if kind not in LINKS:
        raise CaptureError(f"interface {shown(interface)} is of a kind (ARPHRD {kind}) that nsm does not know")
    return LINKS[kind]


def open_socket(interface: str, settings: CaptureSettings, fanout_group: int | None = None) -> socket.socket:
    """A capture socket with its ring set up; CaptureError says what failed and how to mend it."""
    link = link_of(interface)
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as error:
        raise CapturePermissionError(
            f"cannot capture on {shown(interface)}: permission denied",
            where=f"AF_PACKET socket, interface {shown(interface)}, uid {os.geteuid()}",
            mend="sudo nsm run   or   sudo nsm doctor --fix   (installs a service with CAP_NET_RAW only)",
        ) from error
    except OSError as error:
        raise CaptureError(
            f"cannot capture on {shown(interface)}: {error.strerror}", where="AF_PACKET socket"
        ) from error
    try:
        _set_up(sock, interface, link, settings, fanout_group)
    except OSError as error:
        sock.close()
        raise CaptureError(
            f"cannot capture on {shown(interface)}: {error.strerror or error}",
            where=f"AF_PACKET socket, {shown(interface)}",
        ) from error
    except CaptureError:
        sock.close()
        raise
    return sock


def ring_shape(settings: CaptureSettings) -> tuple[int, int]:
    """(bytes of a block, blocks): a block is a power of two of at least 64 KB, so that any frame fits."""
    block = 1 << (max(64, settings.block_kb) * 1024 - 1).bit_length()
    return block, max(4, settings.ring_mb * 1024 * 1024 // block)


def _set_up(
    sock: socket.socket, interface: str, link: int, settings: CaptureSettings, fanout_group: int | None
) -> None:
    sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
    if settings.filter:
        attach_filter(sock, settings.filter, link)
    block, blocks = ring_shape(settings)
    frame = 2_048
    request = struct.pack("IIIIIII", block, blocks, frame, block // frame * blocks, settings.block_timeout_ms, 0, 0)
    sock.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
    sock.bind((interface, ETH_P_ALL))
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ENETDOWN:  # bind succeeds all the same
        raise CaptureError(
            f"interface {shown(interface)} is down", where=f"AF_PACKET socket, {shown(interface)}",
            mend=f"sudo ip link set {shown(interface)} up",
        )  # fmt: skip
    if settings.promiscuous:
        member = struct.pack("IHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
        sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, member)
    if fanout_group is not None:
        spread = fanout_group & 0xFFFF | (FANOUT_HASH | FANOUT_FLAG_DEFRAG) << 16  # more than a signed int holds
        sock.setsockopt(SOL_PACKET, PACKET_FANOUT, struct.pack("I", spread))
    sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)  # reading sets them to zero


def attach_filter(sock: socket.socket, expression: str, link: int) -> None:
    """Let the kernel drop what the expression does not accept."""
    if "vlan" in expression.split():
        raise CaptureError(
            "the filter word 'vlan' does not work on a live interface: the kernel takes the tag out of the frame",
            where="capture filter", mend="leave it out and filter by vlan:N on the page",
        )  # fmt: skip
    program = compile_filter(expression, link)
    code = b"".join(struct.pack("HBBI", *map(int, row)) for row in program)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(buffer)))


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
        batch = self._batch
        while left > 0:
            ix.index_ring_block(
                self._bytes, at, left, start + self._block, self._link, self._number, self._loopback, batch.rows,
                *batch.columns, self._state,
            )  # fmt: skip
            batch.count, batch.first_number = int(self._state[ix.COUNT]), self._packets + 1
            self._packets += batch.count
            at, left = int(self._state[ix.NEXT]), int(self._state[ix.STATUS])
            yield batch

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
