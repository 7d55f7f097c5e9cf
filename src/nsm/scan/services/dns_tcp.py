"""DNS over TCP. RFC 1035, section 4.2.2; the questions are in ``nsm.scan.dns_message``."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.dns_message import ROOT_ID, ROOT_QUESTION, VERSION_ID, VERSION_QUESTION, Answer, service_of
from nsm.scan.talking import Asking, Heard


def _asked(heard: Heard, question: bytes, identity: int) -> Asking[Answer]:
    size = int.from_bytes((yield from heard.exactly(2, len(question).to_bytes(2, "big") + question)), "big")
    if size < 12:  # RFC 1035, section 4.1.1: no message is shorter than its header
        raise MalformedError("scan.dns_length")
    return Answer((yield from heard.exactly(size)), identity)


def talk(place: Place) -> Talk:
    """As over UDP, each message with its length before it."""
    heard = Heard()
    version = yield from _asked(heard, VERSION_QUESTION, VERSION_ID)
    try:
        root = yield from _asked(heard, ROOT_QUESTION, ROOT_ID)
    except MalformedError:
        root = None
    return service_of(version, root)


SPEC: Final = ServiceSpec(name="dns", talk=talk, ports=(53, 853))
