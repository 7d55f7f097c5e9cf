"""Raw sockets of Linux for probes and their answers, with filters in the kernel so that a busy host does not drown them.

A raw socket is given every segment that the machine receives; a classic BPF program (McCanne, Jacobson, USENIX 1993) of
six instructions lets through those to our source ports. Constants: Linux include/uapi/linux/{filter,icmp,icmpv6,in6}.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import socket
import struct
from typing import Final

from nsm.errors import ScanError, ScanPermissionError
from nsm.scan.pacing import TRIES_MAX

SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
SOL_RAW, ICMP_FILTER = 255, 1
ICMP6_FILTER: Final = 1
RECEIVE_BYTES: Final = 16 << 20  # ours: answers to a full window, in the kernel's way of counting, several times
PORT_FIRST, PORT_LAST = 33_000, 60_000  # ours: among the ephemeral ports of Linux
PLACES_TRIED: Final = 50
FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})  # no room for a packet in the kernel's buffers

_LOAD_HEADER_LENGTH, _LOAD_HALF, _LOAD_HALF_AT_X = 0xB1, 0x28, 0x48  # x = IPv4 header's length; from 0; from x
_AT_LEAST, _ABOVE, _RETURN = 0x35, 0x25, 0x06


def may_open() -> bool:
    """Whether this process may open raw sockets (CAP_NET_RAW)."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()
    except OSError:
        return False
    return True


def open_tcp(version: int, first_port: int) -> socket.socket:
    """A raw TCP socket that receives what goes to TRIES_MAX ports from ``first_port`` on; ScanError when there is none."""
    sock = _open(version, socket.IPPROTO_TCP, nonblocking=True)
    # An IPv4 raw socket sees the IP header first, an IPv6 one does not (raw(7), RFC 3542, section 3).
    load = [(_LOAD_HEADER_LENGTH, 0, 0, 0), (_LOAD_HALF_AT_X, 0, 0, 2)] if version == 4 else [(_LOAD_HALF, 0, 0, 2)]
    rows = [
        *load,
        (_AT_LEAST, 0, 2, first_port),
        (_ABOVE, 1, 0, first_port + TRIES_MAX - 1),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    buffer = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(rows), ctypes.addressof(buffer)))
    _empty(sock)
    return sock


def open_icmp(version: int, *kinds: int) -> socket.socket:
    """A raw ICMP socket that receives the message types ``kinds`` alone."""
    sock = _open(version, socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6, nonblocking=True)
    if version == 4:  # a set bit blocks; types above 31 always pass
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("I", 0xFFFFFFFF & ~sum(1 << kind for kind in kinds)))
    else:
        blocked = [0xFFFFFFFF] * 8
        for kind in kinds:
            blocked[kind >> 5] &= ~(1 << (kind & 31))
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("8I", *blocked))
    _empty(sock)
    return sock


def _open(version: int, proto: int, *, nonblocking: bool) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_RAW, proto)
    except PermissionError as error:
        raise ScanPermissionError(
            "cannot send probes of our own: permission denied", where=f"raw socket, uid {os.geteuid()}",
            mend="sudo nsm scan ...   or   nsm scan --method connect ...   (needs no privilege)",
        ) from error  # fmt: skip
    except OSError as error:
        raise ScanError(f"cannot open a raw socket: {error.strerror}", where=f"IPv{version}") from error
    sock.setblocking(not nonblocking)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
    except OSError:  # needs CAP_NET_ADMIN; else as much as everyone may have
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    return sock


def _empty(sock: socket.socket) -> None:
    """Read away what came before the filter was set."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(100_000):
            sock.recv(1)


def reserve_ports(version: int, seed: int) -> tuple[int, list[socket.socket]]:
    """(first of TRIES_MAX source ports in a row, sockets that hold them).

    Bound and never listening: no other program is given such a port, and the kernel resets what answers it.
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    rng = random.Random(seed)  # noqa: S311  # a place, not a secret
    for _ in range(PLACES_TRIED):
        first = rng.randrange(PORT_FIRST, PORT_LAST - TRIES_MAX)
        held: list[socket.socket] = []
        try:
            for port in range(first, first + TRIES_MAX):
                held.append(socket.socket(family, socket.SOCK_STREAM))
                if version == 6:
                    held[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                held[-1].bind(("", port))
        except OSError:
            for sock in held:
                sock.close()
            continue
        return first, held
    raise ScanError(f"there are no {TRIES_MAX} free source ports in a row", where=f"ports {PORT_FIRST} to {PORT_LAST}")
