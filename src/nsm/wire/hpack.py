"""HPACK: compressed heads of HTTP/2. RFC 7541; bounded against heads that unfold without end."""

from __future__ import annotations

from collections import deque
from typing import Final

from nsm.errors import MalformedError

TABLE_BYTES: Final = 4096  # RFC 7540 section 6.5.2: what a table may hold unless said otherwise
TABLE_BYTES_MAX: Final = 65_536  # ours: what settings and updates may raise it to
FIELDS_MAX: Final = 1024  # ours: of one head
HEAD_BYTES_MAX: Final = 262_144  # ours: of one head after unfolding
ENTRY_OVERHEAD: Final = 32  # RFC 7541 section 4.1

_STATIC_TEXT: Final = (
    ":authority|;:method|GET;:method|POST;:path|/;:path|/index.html;:scheme|http;:scheme|https;:status|200;:status|204;"
    ":status|206;:status|304;:status|400;:status|404;:status|500;accept-charset|;accept-encoding|gzip, deflate;"
    "accept-language|;accept-ranges|;accept|;access-control-allow-origin|;age|;allow|;authorization|;cache-control|;"
    "content-disposition|;content-encoding|;content-language|;content-length|;content-location|;content-range|;"
    "content-type|;cookie|;date|;etag|;expect|;expires|;from|;host|;if-match|;if-modified-since|;if-none-match|;if-range|;"
    "if-unmodified-since|;last-modified|;link|;location|;max-forwards|;proxy-authenticate|;proxy-authorization|;range|;"
    "referer|;refresh|;retry-after|;server|;set-cookie|;strict-transport-security|;transfer-encoding|;user-agent|;vary|;"
    "via|;www-authenticate|"
)  # RFC 7541 appendix A
Field = tuple[bytes, bytes]
STATIC: Final[tuple[Field, ...]] = tuple(
    (name.encode(), value.encode()) for name, _, value in (entry.partition("|") for entry in _STATIC_TEXT.split(";"))
)

# Bits of each symbol's code, as (first symbol, bits...): the code is canonical, so its lengths are all of it.
# RFC 7541 appendix B; 256 is the end of a string.
_LENGTHS: Final = bytes((
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28,
    28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13,
    6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6,
    6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23,
    23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23,
    22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21,
    22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
))  # fmt: skip
_END: Final = 256

# By state and half byte: the next state, the symbol that is complete (-1: none), and whether a string may end here.
_Step = tuple[int, bytes]


def _codes() -> list[tuple[int, int, int]]:
    """(length, code, symbol), canonical."""
    found = []
    code = last = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(_LENGTHS)):
        code <<= length - last
        found.append((length, code, symbol))
        code += 1
        last = length
    return found


def _tree() -> list[list[int]]:
    """A binary tree of the codes: a child is a node's number, or -2 - symbol for a leaf."""
    nodes: list[list[int]] = [[-1, -1]]
    for length, code, symbol in _codes():
        at = 0
        for place in range(length - 1, 0, -1):
            bit = code >> place & 1
            if nodes[at][bit] < 0:
                nodes[at][bit] = len(nodes)
                nodes.append([-1, -1])
            at = nodes[at][bit]
        nodes[at][code & 1] = -2 - symbol
    return nodes


def _steps() -> tuple[list[_Step], frozenset[int]]:
    """For node * 16 + half byte: (node afterwards, what came out), -1 for what no code allows; and where a string may end."""
    nodes = _tree()
    steps: list[_Step] = []
    for node in range(len(nodes)):
        for half in range(16):
            at, out = node, b""
            for place in (3, 2, 1, 0):
                at = nodes[at][half >> place & 1]
                if at < -1:
                    if at == -2 - _END:
                        at = -1
                    else:
                        out, at = out + bytes((-2 - at,)), 0
                if at == -1:
                    break
            steps.append((at, out))
    ends, at = {0}, 0
    for _ in range(7):  # up to seven bits of the end's code pad the last byte
        at = nodes[at][1]
        ends.add(at)
    return steps, frozenset(ends)


STEPS, ENDS = _steps()


def unhuffed(data: bytes) -> bytes:
    """A Huffman coded string. RFC 7541 section 5.2."""
    out = []
    state = 0
    for byte in data:
        state, first = STEPS[state << 4 | byte >> 4]
        if state < 0:
            raise MalformedError("invalid_header")
        state, second = STEPS[state << 4 | byte & 15]
        if state < 0:
            raise MalformedError("invalid_header")
        out.append(first)
        out.append(second)
    if state not in ENDS:
        raise MalformedError("invalid_header")
    return b"".join(out)


class Hpack:
    """One direction's decoder."""

    def __init__(self) -> None:
        self._entries: deque[Field] = deque()
        self._size = 0
        self._max = TABLE_BYTES
        self.updates: list[int] = []

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a complete block; ``updates`` are the table sizes that it set."""
        fields: list[Field] = []
        self.updates = []
        at = total = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:  # indexed: section 6.1
                index, at = _integer(block, at, 7)
                entry = self._entry(index)
            elif first & 0xE0 == 0x20:  # table size: section 6.3
                size, at = _integer(block, at, 5)
                if size > TABLE_BYTES_MAX:
                    raise MalformedError("header_integer_overflow")
                self._max = size
                self.updates.append(size)
                self._evict(0)
                continue
            else:  # literal: section 6.2
                indexed = bool(first & 0x40)
                index, at = _integer(block, at, 6 if indexed else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                entry = (name, value)
                if indexed:
                    self._add(entry)
            total += len(entry[0]) + len(entry[1])
            if len(fields) >= FIELDS_MAX or total > HEAD_BYTES_MAX:
                raise MalformedError("compression_bomb")
            fields.append(entry)
        return fields

    def _entry(self, index: int) -> Field:
        if 0 < index <= len(STATIC):
            return STATIC[index - 1]
        place = index - len(STATIC) - 1
        if 0 <= place < len(self._entries):
            return self._entries[place]
        raise MalformedError("invalid_header")

    def _add(self, entry: Field) -> None:
        size = len(entry[0]) + len(entry[1]) + ENTRY_OVERHEAD
        self._evict(size)
        if size <= self._max:
            self._entries.appendleft(entry)
            self._size += size

    def _evict(self, needed: int) -> None:
        while self._entries and self._size + needed > self._max:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """(number, where it ends). RFC 7541 section 5.1; more than 28 bits behind the prefix are refused."""
    mask = (1 << bits) - 1
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in (0, 7, 14, 21):
        if at >= len(block):
            raise MalformedError("invalid_header")
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise MalformedError("header_integer_overflow")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """(string, where it ends). RFC 7541 section 5.2."""
    if at >= len(block):
        raise MalformedError("invalid_header")
    coded = block[at] & 0x80
    size, at = _integer(block, at, 7)
    data = block[at : at + size]
    if len(data) < size:
        raise MalformedError("invalid_header")
    return (unhuffed(data) if coded else data), at + size
