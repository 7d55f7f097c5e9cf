"""TFTP: asked for a file that is not there; the error is the server's. RFC 1350, sections 4 and 5."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import clean, details, recognised

READ: Final = b"\0\x01nsm-no-such-file-7f3a\0octet\0"
CODES_MAX: Final = 8  # RFC 1350, section 5, and RFC 2347


def talk(place: Place) -> Talk:
    """One question."""
    answer = yield READ
    if len(answer) < 5 or answer[:2] != b"\0\x05" or answer[2] or answer[3] > CODES_MAX or answer[-1]:
        raise MalformedError("scan.tftp_answer")
    return recognised("tftp", confidence=0.95, facts=details(error=answer[3] or "0", text=clean(answer[4:-1])))


SPEC: Final = ServiceSpec(name="tftp", talk=talk, ports=(69,), transport="udp")
