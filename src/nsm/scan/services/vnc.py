"""VNC (RFB): version and security types; type 1 is none at all. RFC 6143, sections 7.1.1 and 7.1.2."""

from __future__ import annotations

import re
from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised

SECURITY: Final = {  # RFC 6143, section 7.1.2, and the registry "Remote Framebuffer Security Types"
    1: "none", 2: "VNC password", 5: "RA2", 6: "RA2ne", 16: "Tight", 17: "Ultra", 18: "TLS", 19: "VeNCrypt", 20: "SASL",
    30: "Apple", 35: "Apple account",
}  # fmt: skip


def talk(place: Place) -> Talk:
    """Say the server's version back, as far as we know it, and read what it asks for."""
    heard = Heard()
    line = yield from heard.peek(12)
    found = re.fullmatch(rb"RFB (\d{3})\.(\d{3})\n", line)
    if found is None:
        return None
    heard.take(12)
    minor = int(found[2])
    version = f"{int(found[1])}.{minor}"
    known = b"RFB 003.008\n" if minor >= 8 else b"RFB 003.007\n" if minor == 7 else b"RFB 003.003\n"
    kinds: list[int] = []
    try:
        if minor >= 7:
            count = (yield from heard.exactly(1, known))[0]
            kinds = list((yield from heard.exactly(count)))
        else:
            kinds = [int.from_bytes((yield from heard.exactly(4, known)), "big")]
    except MalformedError:
        pass  # the version alone is enough to know it
    facts = details(
        protocol=version, security=[SECURITY.get(kind, str(kind)) for kind in kinds], open_to_all=1 in kinds
    )
    return recognised("rfb", how="banner", confidence=1.0, banner=line, facts=facts)


SPEC: Final = ServiceSpec(name="rfb", talk=talk, ports=(5900, 5901, 5902, 5903), speaks_first=True)
