"""Subversion's svnserve: its greeting with protocol versions and abilities. Subversion's libsvn_ra_svn/protocol."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, recognised

GREETING: Final = re.compile(rb"\( success \( (\d{1,3}) (\d{1,3}) \( [^()]*\) \( ([a-z0-9 -]{0,512})\) \) \)")


def talk(place: Place) -> Talk:
    """Read; the answer would name an address, and nothing more could be learned."""
    heard = Heard()
    start = yield from heard.peek(11)
    if start != b"( success (":
        return None
    while not (found := GREETING.match(heard.data)) and (yield from heard.ask()):
        pass
    if found is None:
        return None
    facts = details(protocol=f"{int(found[1])} to {int(found[2])}", abilities=clean(found[3]).split())
    return recognised("svn", "Subversion svnserve", how="banner", confidence=1.0, banner=found[0], facts=facts)


SPEC: Final = ServiceSpec(name="svn", talk=talk, ports=(3690,), speaks_first=True)
