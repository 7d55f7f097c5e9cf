"""ASN.1 BER, as much of it as LDAP and SNMP need. ITU-T X.690, section 8.

Lengths are definite and at most four bytes long; there is no recursion, so nesting costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nsm.errors import MalformedError
from nsm.scan.talking import Asking, Fields, Heard

INTEGER: Final = 0x02  # X.690, section 8.3 and the universal tags of X.680, section 8.4
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_ID: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31
ITEMS_MAX: Final = 256  # ours: parts of one value that are looked at


def encode(tag: int, *contents: bytes) -> bytes:
    """One value; contents up to 65,535 bytes."""
    body = b"".join(contents)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    return bytes((tag, 0x82)) + len(body).to_bytes(2, "big") + body


def integer(value: int) -> bytes:
    """An INTEGER that is not negative."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def object_id(text: str) -> bytes:
    """An OBJECT IDENTIFIER. X.690, section 8.19."""
    first, second, *rest = (int(part) for part in text.split("."))
    out = bytearray()
    for number in (first * 40 + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(number & 0x7F | 0x80)
        out += bytes(reversed(septets))
    return encode(OBJECT_ID, bytes(out))


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, contents) of the values that follow each other; raises MalformedError."""
    fields = Fields(data)
    for _ in range(ITEMS_MAX):
        if not fields.left:
            return
        tag, size = fields.big(1), fields.big(1)
        if size & 0x80:
            count = size & 0x7F
            if not 1 <= count <= 4:
                raise MalformedError("scan.ber_length")
            size = fields.big(count)
        yield tag, fields.take(size)


def inside(data: bytes, tag: int) -> bytes:
    """The contents of the first value, which has to have this tag; raises MalformedError."""
    for found, contents in items(data):
        if found == tag:
            return contents
        break
    raise MalformedError("scan.ber_tag")


def number_of(contents: bytes) -> int:
    """The value of an INTEGER's contents; those longer than eight bytes are malformed."""
    if not 1 <= len(contents) <= 8:
        raise MalformedError("scan.ber_integer")
    return int.from_bytes(contents, "big", signed=True)


def message(heard: Heard, send: bytes = b"") -> Asking[bytes]:
    """The contents of the next SEQUENCE on a connection, after sending."""
    head = yield from heard.exactly(2, send)
    if head[0] != SEQUENCE:
        raise MalformedError("scan.ber_tag")
    size = head[1]
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise MalformedError("scan.ber_length")
        size = int.from_bytes((yield from heard.exactly(count)), "big")
    return (yield from heard.exactly(size))
