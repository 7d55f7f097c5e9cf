"""ASN.1 basic encoding: tag, length, value. ITU-T X.690, section 8.

Only what network protocols use: one-byte tags and definite lengths.
"""

from __future__ import annotations

from typing import Final

INTEGER: Final = 0x02  # X.680, section 8.6: universal tags
OCTETS: Final = 0x04
OID: Final = 0x06
SEQUENCE: Final = 0x30
OID_BYTES_MAX: Final = 128  # ours: longer ones are cut
LENGTH_BYTES_MAX: Final = 4  # ours: nothing on the wire is longer than 4 GB


class BerError(Exception):
    """The bytes end early or are no BER."""


def head(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(tag, start, end of the value) of the element at ``at``; BerError when it does not fit before ``end``."""
    if at + 2 > end:
        raise BerError
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count <= LENGTH_BYTES_MAX or at + count > end:
            raise BerError
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > end:
        raise BerError
    return tag, at, at + size


def expect(data: bytes, at: int, end: int, wanted: int) -> tuple[int, int]:
    """(start, end) of the value of the element, which has that tag; else BerError."""
    tag, first, last = head(data, at, end)
    if tag != wanted:
        raise BerError
    return first, last


def integer(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(value, offset behind it) of the INTEGER at ``at``."""
    first, last = expect(data, at, end, INTEGER)
    if not 0 < last - first <= 16:
        raise BerError
    return int.from_bytes(data[first:last], "big", signed=True), last


def oid_text(raw: bytes) -> str:
    """An object identifier in dots."""
    if not raw:
        return ""
    parts: list[int] = []
    value = 0
    for byte in raw[:OID_BYTES_MAX]:
        value = (value & 0xFFFFFFFFFFFFFFFF) << 7 | byte & 0x7F
        if byte < 0x80:
            parts.append(value)
            value = 0
    if not parts:
        return ""
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - 40 * first, *parts[1:])))
