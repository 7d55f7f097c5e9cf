"""Content codings of HTTP and encoded parts of mail: gzip and deflate, in bounded pieces. RFC 9110 section 8.4, RFC 1950 to 1952.

Brotli and zstd are left out: what is coded so passes as it is.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from typing import Any, Final

PIECE_BYTES: Final = 65_536  # ours: of decoded data at once
BOMB_BYTES: Final = 1_048_576  # Suricata's compression-bomb-limit: below that nothing is one
BOMB_RATIO: Final = 2048  # Suricata's: decoded by encoded bytes; zlib's own maximum is near 1030
LAYERS_MAX: Final = 4  # ours: Suricata undoes two
MEMBERS_MAX: Final = 64  # ours: gzip members behind each other in one body

HEAD_BYTES: Final = 4  # of a stream, that tell which kind it is
GZIP_FLAGS: Final = 0x1F  # RFC 1952 section 2.3.1: the others are reserved, zlib refuses them, browsers do not mind
GZIP_WINDOW: Final = 31  # zlib: a window of 15 bits behind a gzip head
LZMA_BYTES_MAX: Final = 16_777_216  # ours: a dictionary of 8 MiB is what lzma writes by default

KNOWN: Final = frozenset((
    b"gzip", b"x-gzip", b"deflate", b"x-deflate", b"br", b"zstd", b"compress", b"x-compress", b"identity", b"lzma", b"",
))  # fmt: skip # IANA, "HTTP Content Coding Registry"


class Inflater:
    """One layer: gzip, zlib or raw deflate, whichever the first bytes look like; lzma where that was said.

    What is none from its first byte on passes as it is: servers say gzip and send plain text, and browsers show it.
    """

    def __init__(self, lzma_coded: bool = False) -> None:
        self._engine: Any = None
        self._lzma = lzma_coded
        self._plain = False
        self._held = b""  # until something came out: it may have to pass as it is
        self._members = 0
        self._written = self._dead = self.failed = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What these bytes give; afterwards ``failed`` says whether they were what they should be."""
        if self._plain:
            yield data
            return
        if self._dead:
            return
        if self._engine is None:
            self._held += data
            if len(self._held) < HEAD_BYTES:
                return
            data = self._begin()
        if self._lzma:
            yield from self._unpacked(data)
            return
        while data:
            try:
                piece = self._engine.decompress(data, PIECE_BYTES)
            except zlib.error:
                yield self._failure()
                return
            data = self._engine.unconsumed_tail
            if piece:
                self._written, self._held = True, b""
                yield piece
            if self._engine.eof:
                data = self._next_member()

    def _failure(self) -> bytes:
        """What has to be passed on when this is not the coding that was announced."""
        self.failed = self._dead = True
        self._plain = not self._written
        held, self._held = self._held, b""
        return held

    def _begin(self) -> bytes:
        """Choose the engine by the first bytes; what it is to read."""
        data = self._held
        if self._lzma:
            self._engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_BYTES_MAX)
            return data
        window = _window(data)
        self._engine = zlib.decompressobj(window)
        if window == GZIP_WINDOW and data[3] & ~GZIP_FLAGS:
            return data[:3] + bytes((data[3] & GZIP_FLAGS,)) + data[4:]
        return data

    def _unpacked(self, data: bytes) -> Iterator[bytes]:
        """The same of lzma, which keeps what it was given: it is asked until it wants input."""
        while not self._engine.eof:
            try:
                piece = self._engine.decompress(data, PIECE_BYTES)
            except lzma.LZMAError:
                yield self._failure()
                return
            if not piece:
                return
            self._written, self._held, data = True, b"", b""
            yield piece
        self._dead = True

    def _next_member(self) -> bytes:
        """What follows the end of a stream: another gzip member, or padding that nobody reads."""
        rest: bytes = self._engine.unused_data
        self._members += 1
        if rest[:2] == b"\x1f\x8b" and self._members < MEMBERS_MAX:
            self._engine = zlib.decompressobj(GZIP_WINDOW)
            return rest
        self._dead = True
        return b""


def _window(data: bytes) -> int:
    """The window bits that tell zlib what the stream is: gzip, zlib, or deflate alone as some servers send it."""
    if data[:2] == b"\x1f\x8b":
        return GZIP_WINDOW
    if data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0:  # RFC 1950 section 2.2
        return 15
    return -15


def layers(coding: bytes, with_lzma: bool = False) -> list[bytes]:
    """The codings of a Content-Encoding that can be undone, the last applied first; read as leniently as browsers do."""
    found = []
    for part in reversed(coding.lower().split(b",")):
        if b"gzip" in part or b"deflate" in part:
            found.append(b"gzip")
        elif with_lzma and b"lzma" in part:
            found.append(b"lzma")
    return found


class Decoder:
    """Undoes the layers of one body, a piece at a time."""

    def __init__(self, codings: list[bytes]) -> None:
        self._layers = [Inflater(coding == b"lzma") for coding in codings[:LAYERS_MAX]]
        self._read = 0
        self._written = 0
        self.is_bomb = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces; none after a failure."""
        if self.is_bomb:
            return
        self._read += len(data)
        for piece in self._through(0, data):
            self._written += len(piece)
            yield piece
            if self._written > BOMB_BYTES and self._written > self._read * BOMB_RATIO:
                self.is_bomb = True
                return

    def _through(self, layer: int, data: bytes) -> Iterator[bytes]:
        if layer == len(self._layers):
            yield data
            return
        for piece in self._layers[layer].decode(data):
            yield from self._through(layer + 1, piece)

    @property
    def failed(self) -> bool:
        """Can nothing more be decoded?"""
        return self.is_bomb or any(layer.failed for layer in self._layers)
