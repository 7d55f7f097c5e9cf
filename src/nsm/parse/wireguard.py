"""WireGuard, recognised by the types and sizes of its messages. WireGuard white paper, section 5.4.

Nothing but these is in clear.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

SIZES: Final = {1: 148, 2: 92, 3: 64}  # section 5.4.2, 5.4.3, 5.4.7
TRANSPORT: Final = 4  # section 5.4.6
TRANSPORT_BYTES_MIN: Final = 32
BLOCK_BYTES: Final = 16


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A type, three zero bytes, and the size of that type; transport data on the port alone."""
    if len(data) < TRANSPORT_BYTES_MIN or data[1:4] != b"\0\0\0":
        return Match.NO
    if data[0] in SIZES:
        return Match.YES if len(data) == SIZES[data[0]] else Match.NO
    return Match.YES if data[0] == TRANSPORT and len(data) % BLOCK_BYTES == 0 and port else Match.NO


SPEC: Final = ProtocolSpec(
    name="wireguard", transports=("udp",), ports=(51820,), probe=probe,
    first=b"\x01\x02\x03\x04", weight=3
)  # fmt: skip
