"""The first bytes of capture files, for what reads them and for what only keeps them.

pcap: draft-ietf-opsawg-pcap, section 4; pcapng: draft-ietf-opsawg-pcapng, section 4.1; gzip: RFC 1952, section 2.3.1.
"""

from __future__ import annotations

import zlib
from typing import Final

# Magic number -> (big-endian, nanoseconds per unit of time, bytes of a record's header).
PCAP_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": (False, 1000, 16),
    b"\xa1\xb2\xc3\xd4": (True, 1000, 16),
    b"\x4d\x3c\xb2\xa1": (False, 1, 16),
    b"\xa1\xb2\x3c\x4d": (True, 1, 16),
    b"\x34\xcd\xb2\xa1": (False, 1000, 24),  # "modified" libpcap of the 1990s
    b"\xa1\xb2\xcd\x34": (True, 1000, 24),
}
PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"
GZIP_MAGIC: Final = b"\x1f\x8b"
ENDINGS: Final = ("pcap", "pcapng", "pcap.gz", "pcapng.gz")
HEAD_BYTES: Final = 65_536  # ours: a gzip header with a long file name in it fits


def ending_of(head: bytes) -> str:
    """The ending for a file that begins so, one of ``ENDINGS``; empty for what is no capture, or compressed by others."""
    packed = head.startswith(GZIP_MAGIC)
    magic = _unpacked(head) if packed else head[:4]
    form = "pcap" if magic in PCAP_MAGICS else "pcapng" if magic == PCAPNG_MAGIC else ""
    return f"{form}.gz" if form and packed else form


def seems(head: bytes) -> str:
    """What a file that is no capture seems to be, as the end of a sentence."""
    if not head:
        return "it is empty"
    if head.startswith(GZIP_MAGIC):
        return "it is packed with gzip, and inside is none"
    if head.startswith(b"\x7fELF"):
        return "it is a program"
    if head[:1] in b"{[":
        return "it looks like JSON"
    if all(32 <= byte < 127 or byte in b"\r\n\t" for byte in head[:16]):
        return "it looks like text"
    return f"it begins with {head[:4].hex(' ')}"


def _unpacked(head: bytes) -> bytes:
    """Up to four bytes of what gzip has packed."""
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 4)
    except zlib.error:
        return b""
