"""SIP over UDP. RFC 3261, section 18; the question is in ``nsm.scan.sip_message``."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.sip_message import options, service_of


def talk(place: Place) -> Talk:
    """OPTIONS; a provisional answer is as good as a final one."""
    return service_of((yield options(place, "UDP"))[:8_192])


SPEC: Final = ServiceSpec(name="sip", talk=talk, ports=(5060,), transport="udp")
