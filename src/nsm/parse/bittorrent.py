"""BitTorrent between peers, recognised: the handshake over TCP, uTP and local search over UDP. BEP 3, BEP 14, BEP 29.

EVE and Zeek write nothing of it; the hash table is a protocol of its own.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

HANDSHAKE: Final = b"\x13BitTorrent protocol"  # BEP 3
LOCAL_SEARCH: Final = b"BT-SEARCH * HTTP/1."  # BEP 14
UTP: Final = Struct("!BBHIIIHH")  # BEP 29, "header format"
UTP_SYN: Final = 0x41  # type 4, version 1
UTP_VERSION: Final = 1
UTP_EXTENSIONS: Final = (0, 1, 2, 3)


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The handshake; or uTP's first packet, whose fields have known values."""
    if data.startswith((HANDSHAKE, LOCAL_SEARCH)):
        return Match.YES
    if data and HANDSHAKE.startswith(data):
        return Match.MORE
    if len(data) >= UTP.size:
        kind, extension, _, _, difference, _, number, acknowledged = UTP.unpack_from(data)
        known = extension in UTP_EXTENSIONS and not difference and number == 1 and not acknowledged
        if kind == UTP_SYN and known and (len(data) == UTP.size) == (extension == 0):
            return Match.YES
        if port and kind & 15 == UTP_VERSION and kind >> 4 < 5 and extension in UTP_EXTENSIONS:
            return Match.YES
    return Match.NO


SPEC: Final = ProtocolSpec(
    name="bittorrent", transports=("tcp", "udp"), ports=(6881, 6882, 6883, 6889), probe=probe, weight=8
)
