"""DNS over UDP. RFC 1035, section 4.2.1; the questions are in ``nsm.scan.dns_message``."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.dns_message import ROOT_ID, ROOT_QUESTION, VERSION_ID, VERSION_QUESTION, Answer, service_of


def talk(place: Place) -> Talk:
    """Ask for the version, then for the root's name servers: is recursion offered?"""
    version = Answer((yield VERSION_QUESTION), VERSION_ID)
    try:
        root = Answer((yield ROOT_QUESTION), ROOT_ID)
    except MalformedError:
        root = None
    return service_of(version, root)


SPEC: Final = ServiceSpec(name="dns", talk=talk, ports=(53, 5353, 5355), transport="udp")
