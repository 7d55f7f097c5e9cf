"""STUN and TURN over TCP. RFC 8489, section 6.2.2; the question is in ``nsm.scan.stun_message``."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.stun_message import BINDING, service_of
from nsm.scan.talking import Heard


def talk(place: Place) -> Talk:
    """A binding request; the length stands in the header."""
    heard = Heard()
    head = yield from heard.exactly(20, BINDING)
    size = int.from_bytes(head[2:4], "big")
    return service_of(head + (yield from heard.exactly(min(size, 2_048))))


SPEC: Final = ServiceSpec(name="stun", talk=talk, ports=(3478, 5349))
