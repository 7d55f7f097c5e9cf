"""Capture sockets of Linux: AF_PACKET with a TPACKET_V3 ring.

``open_socket`` does all that needs CAP_NET_RAW; the socket can be handed to a process without it, which reads the ring
(``afpacket``). Order of calls as in Documentation/networking/packet_mmap.rst: nothing arrives before all is set.
Constants: Linux include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path
from typing import Final

from nsm.capture.bpf import compile_filter
from nsm.capture.settings import SNAPLEN_MAX, CaptureSettings
from nsm.capture.source import shown
from nsm.errors import CaptureError, CapturePermissionError
from nsm.kernels.constants import LINK_ETHERNET, LINK_RADIOTAP, LINK_RAW, LINK_WIFI
from nsm.model.table import Array

ETH_P_ALL: Final = 3
SOL_PACKET, SO_ATTACH_FILTER = 263, 26
PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_FANOUT = 1, 5, 6, 10, 18
TPACKET_V3, PACKET_MR_PROMISC = 2, 1
FANOUT_HASH, FANOUT_FLAG_DEFRAG = 0, 0x8000  # not ROLLOVER: it breaks flow affinity (Linux commit 77f65ebd)
# Links by ARPHRD_* of linux/if_arp.h: Ethernet, loopback, 802.11, 802.11 with radiotap, tun.
LINKS: Final = {1: LINK_ETHERNET, 772: LINK_ETHERNET, 801: LINK_WIFI, 803: LINK_RADIOTAP, 65534: LINK_RAW}


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
    if settings.filter or settings.snaplen < SNAPLEN_MAX:
        attach_filter(sock, live_filter(settings.filter, link, settings.snaplen))
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


def live_filter(expression: str, link: int, snaplen: int = SNAPLEN_MAX) -> Array:
    """The program of a filter for a live interface, as ``compile_filter`` makes it; CaptureError when it is wrong."""
    if "vlan" in expression.split():
        raise CaptureError(
            "the filter word 'vlan' does not work on a live interface: the kernel takes the tag out of the frame",
            where="capture filter", mend="leave it out and filter by vlan:N on the page",
        )  # fmt: skip
    return compile_filter(expression, link, snaplen)


def attach_filter(sock: socket.socket, program: Array) -> None:
    """Let the kernel drop what the program does not accept."""
    code = b"".join(struct.pack("HBBI", *map(int, row)) for row in program)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(buffer)))
