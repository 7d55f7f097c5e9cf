"""rsync daemon: protocol version and the modules that it lists to everyone. rsyncd.conf(5); the greeting as rsync sends it."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, recognised

MODULES_MAX: Final = 32  # ours
OURS: Final = b"@RSYNCD: 31.0 md5\n#list\n"


def talk(place: Place) -> Talk:
    """Read the greeting, then ask for the list; an empty list is an answer too."""
    heard = Heard()
    greeting = yield from heard.line()
    found = re.match(rb"@RSYNCD: (\d+)(?:\.(\d+))?", greeting)
    if found is None:
        return None
    modules: list[str] = []
    line = yield from heard.line(OURS)
    while line and not line.startswith(b"@RSYNCD: EXIT") and len(modules) < MODULES_MAX:
        if not line.startswith(b"@"):
            modules.append(clean(line.partition(b"\t")[0], 64).strip())
        line = yield from heard.line()
    facts = details(protocol=int(found[1]), modules=[name for name in modules if name], listed=bool(modules))
    return recognised("rsync", "rsync", how="banner", confidence=1.0, banner=greeting, facts=facts)


SPEC: Final = ServiceSpec(name="rsync", talk=talk, ports=(873,), speaks_first=True)
