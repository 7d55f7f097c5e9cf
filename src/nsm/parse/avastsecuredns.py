"""Avast Secure DNS, recognised: DNSCrypt whose certificate is asked for under a name of its own.

DNSCrypt protocol, section 9, with the provider's name in the place of "dnscrypt-cert".
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

CERTIFICATE: Final = b"\x012\x09securedns\x05avast\x03com\0"  # labels of the name, "2.securedns.avast.com"
NAME_AT: Final = 12  # RFC 1035, section 4.1.1


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The name of the certificate, in any case."""
    if len(data) < NAME_AT + len(CERTIFICATE):
        return Match.NO
    return Match.YES if data[NAME_AT : NAME_AT + len(CERTIFICATE)].lower() == CERTIFICATE else Match.NO


SPEC: Final = ProtocolSpec(name="avastsecuredns", transports=("udp",), ports=(443,), probe=probe, weight=4)
