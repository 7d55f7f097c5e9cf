"""DNSCrypt, recognised by the question for its certificate and by the start of an answer.

DNSCrypt protocol, version 2, sections 2 and 9.
Nothing else of it is in clear.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

CERTIFICATE: Final = b"\x012\x0ddnscrypt-cert"  # first labels of the name, "2.dnscrypt-cert"; section 9
NAME_AT: Final = 12  # RFC 1035, section 4.1.1
RESOLVER_MAGIC: Final = b"r6fnvWj8"  # section 2
TCP_PREFIX_BYTES: Final = 2  # RFC 1035, section 4.2.2


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The name of the certificate, in any case, or the magic of an answer."""
    for at in (0, TCP_PREFIX_BYTES):
        if data.startswith(RESOLVER_MAGIC, at):
            return Match.YES
        first = at + NAME_AT
        last = first + len(CERTIFICATE)
        if last <= len(data) and data[first:last].lower() == CERTIFICATE:
            return Match.YES
    return Match.NO


SPEC: Final = ProtocolSpec(name="dnscrypt", transports=("udp", "tcp"), ports=(443,), probe=probe, weight=4)
