"""memcached: its version, which it tells to everyone whom it lets in. memcached's doc/protocol.txt."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised


def talk(place: Place) -> Talk:
    """One word."""
    heard = Heard()
    answer = yield from heard.line(b"version\r\n")
    found = re.match(rb"VERSION (\S{1,40})$", answer)
    if found is None:
        if answer == b"CLIENT_ERROR unauthenticated":
            return recognised("memcache", "memcached", banner=answer, facts=details(login="required"))
        return None
    facts = details(open_to_all=True)
    return recognised(
        "memcache", "memcached", found[1].decode("ascii", "replace"), confidence=1.0, banner=answer, facts=facts
    )


SPEC: Final = ServiceSpec(name="memcache", talk=talk, ports=(11211,))
