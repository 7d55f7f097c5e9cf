"""Connections to services: TCP, TLS inside of it, UDP. Every wait has an end, every read a bound.

An exchange sends and gives what comes back first, b"" when nothing does; what is missing is asked for by the talk.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Final, Protocol

from nsm.scan.talking import ANSWER_BYTES_MAX
from nsm.scan.tunnel import Tunnel

DATAGRAMS_MAX: Final = 16  # ours: answers to one question that are kept


class Line(Protocol):
    """What a talk is held over. ``closed``: the other side ended it; ``heard``: bytes that came so far."""

    closed: bool
    heard: int

    async def exchange(self, send: bytes, wait_s: float) -> bytes:
        """Send, then the first bytes that come within ``wait_s``; b"" when none do."""

    def close(self) -> None:
        """End it at once."""


class TcpLine:
    """A TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.closed = False
        self.heard = 0

    async def exchange(self, send: bytes, wait_s: float) -> bytes:
        """Send, then the first bytes that come within ``wait_s``; b"" when none do."""
        try:
            async with asyncio.timeout(wait_s):
                if send:
                    self._writer.write(send)
                    await self._writer.drain()
                got = await self._reader.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            return b""
        except OSError:
            got = b""
        self.closed = not got
        self.heard += len(got)
        return got

    def close(self) -> None:
        """End it at once; what was not sent is thrown away."""
        self._writer.transport.abort()


async def connect(address: str, port: int, wait_s: float) -> TcpLine:
    """A connection to a port; raises OSError (TimeoutError is one)."""
    async with asyncio.timeout(wait_s):
        reader, writer = await asyncio.open_connection(address, port, limit=ANSWER_BYTES_MAX)
    return TcpLine(reader, writer)


class TlsLine:
    """A TCP connection whose contents are sealed by a tunnel that has shaken hands."""

    def __init__(self, line: TcpLine, tunnel: Tunnel) -> None:
        self._line, self._tunnel = line, tunnel
        self.closed = False
        self.heard = 0

    async def exchange(self, send: bytes, wait_s: float) -> bytes:
        """As TcpLine's; records that hold no contents (tickets) are read over."""
        until = time.monotonic() + wait_s
        out = self._tunnel.seal(send)
        plain = self._tunnel.unseal(b"")  # what came together with the end of the handshake
        while not plain and (left := until - time.monotonic()) > 0:
            raw = await self._line.exchange(out, left)
            out = b""
            if not raw:
                self.closed = self._line.closed
                break
            plain = self._tunnel.unseal(raw)
        self.heard += len(plain)
        return plain

    def close(self) -> None:
        """End it at once."""
        self._line.close()


class _Inbox(asyncio.DatagramProtocol):
    """Datagrams of one address. Its port may be another one: TFTP answers from a new one (RFC 1350, section 4)."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue(DATAGRAMS_MAX)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Keep what the asked address sent."""
        if str(addr[0]).partition("%")[0] == self._address.partition("%")[0]:
            with contextlib.suppress(asyncio.QueueFull):
                self.inbox.put_nowait(data[:ANSWER_BYTES_MAX])


class UdpLine:
    """Datagrams to and from one address."""

    def __init__(self, transport: asyncio.DatagramTransport, inbox: _Inbox, address: str, port: int) -> None:
        self._transport, self._inbox, self._target = transport, inbox, (address, port)
        self.closed = False
        self.heard = 0

    async def exchange(self, send: bytes, wait_s: float) -> bytes:
        """Send, then the first datagram; after half of the time the question is sent once more, since one may be lost."""
        for _ in range(2 if send else 1):
            if send:
                self._transport.sendto(send, self._target)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s / 2):
                    got = await self._inbox.inbox.get()
                    self.heard += len(got)
                    return got
        return b""

    def close(self) -> None:
        """Give the socket back."""
        self._transport.abort()


async def udp_line(address: str, port: int) -> UdpLine:
    """A line of datagrams to a port; raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    transport, inbox = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Inbox(address), family=family, local_addr=("::" if family == socket.AF_INET6 else "0.0.0.0", 0)  # noqa: S104
    )  # fmt: skip
    return UdpLine(transport, inbox, address, port)
