"""DHCPv6, recognised. RFC 8415, section 8.

Left out: EVE and Zeek write nothing of it.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

MESSAGE_TYPE_MAX: Final = 13  # RFC 8415, section 7.3
RELAY_TYPES: Final = (12, 13)
HEADER_BYTES: Final = 4  # RFC 8415, section 8
RELAY_HEADER_BYTES: Final = 34  # RFC 8415, section 9


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A message type and options whose lengths fill the datagram."""
    if not port or len(data) < HEADER_BYTES or not 1 <= data[0] <= MESSAGE_TYPE_MAX:
        return Match.NO
    at = RELAY_HEADER_BYTES if data[0] in RELAY_TYPES else HEADER_BYTES
    while at + 4 <= len(data):
        at += 4 + (data[at + 2] << 8 | data[at + 3])
    return Match.YES if at == len(data) else Match.NO


SPEC: Final = ProtocolSpec(name="dhcpv6", transports=("udp",), ports=(546, 547), probe=probe, on_port=True)
