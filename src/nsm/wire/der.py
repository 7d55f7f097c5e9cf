"""DER and the definite-length part of BER, as far as certificates, Kerberos and LDAP need it. X.690, section 8.

Functions over (bytes, from, to), no objects: a certificate has some hundred elements. Whatever does not fit raises
MalformedError, which the callers turn into what they say of it. Nothing here recurses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nsm.errors import MalformedError

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31

ELEMENTS_MAX: Final = 4096  # ours: of one constructed value; names of a big certificate stay below 1,000
LENGTH_BYTES_MAX: Final = 4  # ours: nothing on the wire has four gigabytes
OID_BYTES_MAX: Final = 64  # ours
OIDS_KEPT: Final = 1024  # ours: more object identifiers than a network shows

Element = tuple[int, int, int]


def element(data: bytes, at: int, end: int) -> Element:
    """(tag byte, start, end) of the value at ``at``, whose contents have to end by ``end``."""
    if at + 2 > end:
        raise MalformedError("der.truncated")
    tag = data[at]
    size = data[at + 1]
    at += 2
    if tag & 0x1F == 0x1F:
        raise MalformedError("der.high_tag")
    if size >= 0x80:
        count = size & 0x7F
        if not 0 < count <= LENGTH_BYTES_MAX or at + count > end:
            raise MalformedError("der.length")
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > end:
        raise MalformedError("der.truncated")
    return tag, at, at + size


def size_of(data: bytes, at: int, end: int) -> int:
    """Bytes of the whole value at ``at`` with its head, whether or not they are all there; 0: the head is not."""
    if at + 2 > end:
        return 0
    size = data[at + 1]
    if size < 0x80:
        return 2 + size
    count = size & 0x7F
    if not 0 < count <= LENGTH_BYTES_MAX:
        raise MalformedError("der.length")
    if at + 2 + count > end:
        return 0
    return 2 + count + int.from_bytes(data[at + 2 : at + 2 + count], "big")


def elements(data: bytes, at: int, end: int) -> list[Element]:
    """All values between ``at`` and ``end``."""
    found: list[Element] = []
    while at < end:
        item = element(data, at, end)
        found.append(item)
        at = item[2]
        if len(found) > ELEMENTS_MAX:
            raise MalformedError("der.too_many")
    return found


def expect(data: bytes, at: int, end: int, tag: int) -> Element:
    """The value at ``at``, which has to have that tag."""
    item = element(data, at, end)
    if item[0] != tag:
        raise MalformedError("der.tag")
    return item


def integer(data: bytes, start: int, end: int) -> int:
    """A signed integer's contents."""
    return int.from_bytes(data[start:end], "big", signed=True)


@lru_cache(OIDS_KEPT)
def dotted(contents: bytes) -> str:
    """An object identifier's contents as text."""
    if not contents or len(contents) > OID_BYTES_MAX or contents[-1] & 0x80:
        raise MalformedError("der.oid")
    arcs: list[int] = []
    value = 0
    for byte in contents:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
