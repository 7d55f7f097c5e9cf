"""TLS: version, cipher, certificate. RFC 8446. What speaks inside is asked afterwards, by the one who holds the talks."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import recognised
from nsm.scan.tunnel import Tunnel


def talk(place: Place) -> Talk:
    """Shake hands without verifying; a server that refuses in TLS is TLS too."""
    tunnel = Tunnel(place.name)
    done = yield from tunnel.handshake()
    if not done and not tunnel.is_tls:
        return None
    return recognised("tls", confidence=1.0 if done else 0.8, facts=tunnel.facts())


SPEC: Final = ServiceSpec(
    name="tls",
    talk=talk,
    ports=(
        443,
        8443,
        993,
        995,
        465,
        636,
        853,
        990,
        563,
        989,
        992,
        5061,
        5223,
        5269,
        5671,
        5986,
        6697,
        8883,
        9443,
        3269,
        2376,
    ),
)
