"""SIP over TCP. RFC 3261, section 18; the question is in ``nsm.scan.sip_message``."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.sip_message import options, service_of
from nsm.scan.talking import Heard


def talk(place: Place) -> Talk:
    """OPTIONS, and the head of the answer."""
    heard = Heard()
    if (yield from heard.peek(8, options(place, "TLS" if place.tls else "TCP"))) != b"SIP/2.0 ":
        return None
    return service_of((yield from heard.until(b"\n\r\n", 8_192)))


SPEC: Final = ServiceSpec(name="sip", talk=talk, ports=(5060, 5061))
