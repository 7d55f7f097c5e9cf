"""SOCKS 5: which log-in does it want? Method 0 is none. RFC 1928, section 3. No connection onward is asked for."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised

GREETING: Final = bytes.fromhex("0503000102")  # version 5; none, GSSAPI, name and password
METHODS: Final = {0: "none", 1: "GSSAPI", 2: "name and password", 0xFF: "none of ours"}


def talk(place: Place) -> Talk:
    """Two bytes come back, and no more."""
    heard = Heard()
    answer = yield from heard.exactly(2, GREETING)
    if answer[0] != 5 or answer[1] not in METHODS or heard.data:
        return None
    facts = details(version=5, login=METHODS[answer[1]], open_to_all=answer[1] == 0)
    return recognised("socks", confidence=0.9, facts=facts)


SPEC: Final = ServiceSpec(name="socks", talk=talk, ports=(1080, 9050))
