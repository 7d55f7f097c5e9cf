"""What both sides of capsules share: the question, which records answer it, the file they become."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

BEFORE_MAX, AFTER_MAX = 20, 30  # storage.md 10
CAPSULE_BYTES_MAX: Final = 64 * 1024
AFTER_S: Final = 2.0  # what follows an alert is waited for


class Request(msgspec.Struct, frozen=True):
    """Which packets: those between two addresses (one may be empty: any) around a time (us)."""

    alert_id: str
    ts: int
    src: str
    dst: str


def time_of(record: bytes) -> int:
    """The time of a record, ns."""
    high, low = struct.unpack_from("<II", record, 12)
    return int(high << 32 | low)


def around(records: list[bytes], ts_us: int) -> list[bytes]:
    """Of records, those nearest to a time, oldest first; bounded in number before and after it, and in bytes."""
    ordered = sorted(records, key=time_of)
    middle = bisect.bisect_right(ordered, ts_us * 1000 + 999, key=time_of)
    kept, size = [], 0
    for record in ordered[max(0, middle - BEFORE_MAX) : middle + AFTER_MAX]:
        size += len(record)
        if size > CAPSULE_BYTES_MAX - 256:  # room for the blocks at the beginning
            break
        kept.append(record)
    return kept


def pcapng(records: Sequence[bytes], link: int, interface: str, snaplen: int) -> bytes:
    """A capture file of these records. draft-ietf-opsawg-pcapng, sections 4.1 and 4.2."""
    name = interface.encode()[:64]
    options = _option(2, name) + _option(9, b"\x09") + _option(0)  # if_name; if_tsresol: 10^-9 s
    section = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    return section + _block(1, struct.pack("<HHI", link, 0, snaplen) + options) + b"".join(records)


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length
