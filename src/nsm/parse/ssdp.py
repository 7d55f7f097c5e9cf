"""SSDP, recognised: HTTP's head in a datagram. UPnP Device Architecture 2.0, section 1.

EVE and Zeek write nothing of it.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

STARTS: Final = (b"M-SEARCH * HTTP/1.", b"NOTIFY * HTTP/1.")  # UPnP Device Architecture 2.0, sections 1.2.2 and 1.3.2
ANSWER: Final = b"HTTP/1.1 200 OK\r\n"


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A search, a notice, or an answer that names a search target."""
    if data.startswith(STARTS):
        return Match.YES
    if data.startswith(ANSWER):
        upper = data[:1024].upper()
        return Match.YES if b"\r\nUSN:" in upper or b"\r\nST:" in upper else Match.NO
    return Match.NO


SPEC: Final = ProtocolSpec(name="ssdp", transports=("udp",), ports=(1900,), probe=probe, first=b"MNH", weight=5)
