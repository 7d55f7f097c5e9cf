"""STUN and TURN over UDP. RFC 8489, section 6.2.1; the question is in ``nsm.scan.stun_message``."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.stun_message import BINDING, service_of


def talk(place: Place) -> Talk:
    """A binding request."""
    return service_of((yield BINDING))


SPEC: Final = ServiceSpec(name="stun", talk=talk, ports=(3478, 5349, 19302), transport="udp")
