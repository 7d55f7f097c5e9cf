"""How long the configured resolver takes for a question (RFC 1035, section 4) over UDP."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from typing import Final

import msgspec

TYPE_NS, CLASS_IN = 2, 1  # RFC 1035, section 3.2
RECURSION_DESIRED, RESPONSE = 0x0100, 0x8000
PORT: Final = 53
ANSWER_BYTES_MAX: Final = 4_096
STRAYS_MAX: Final = 16  # datagrams to our port that answer nothing of ours


class Asked(msgspec.Struct, frozen=True):
    """``time_s`` None: no answer. ``rcode``: 0 it answered; 2 it could not; 5 it would not."""

    time_s: float | None
    rcode: int = 0


def question(name: str, number: int) -> bytes:
    """The query for the name servers of ``name``; ValueError for what is no name."""
    labels = [label.encode("idna") if not label.isascii() else label.encode() for label in name.split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(map(len, labels)) + len(labels) > 253:
        raise ValueError(f"not a name: {name[:40]!r}")
    body = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return struct.pack("!6H", number, RECURSION_DESIRED, 1, 0, 0, 0) + body + struct.pack("!HH", TYPE_NS, CLASS_IN)


def rcode_of(query: bytes, answer: bytes) -> int | None:
    """The rcode of an answer to this query; None when it is none."""
    if len(answer) < 12 or answer[:2] != query[:2]:
        return None
    flags, questions = struct.unpack_from("!HH", answer, 2)
    if not flags & RESPONSE:
        return None
    # A server that refuses may leave the question out; one that repeats it must repeat ours.
    if questions and answer[12 : len(query)].lower() != query[12:].lower():
        return None
    return int(flags & 0x0F)


async def ask(address: str, name: str, timeout_s: float, port: int = PORT) -> Asked:
    """Ask once. A resolver that cannot be reached is one without an answer."""
    loop = asyncio.get_running_loop()
    query = question(name, int.from_bytes(os.urandom(2), "big"))
    try:
        found = socket.getaddrinfo(address, port, flags=socket.AI_NUMERICHOST, type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(found[4])
            async with asyncio.timeout(timeout_s):
                begun = time.monotonic()
                await loop.sock_sendall(sock, query)
                for _ in range(STRAYS_MAX):
                    rcode = rcode_of(query, await loop.sock_recv(sock, ANSWER_BYTES_MAX))
                    if rcode is not None:
                        return Asked(time.monotonic() - begun, rcode)
    except (OSError, TimeoutError):
        pass
    return Asked(None)
