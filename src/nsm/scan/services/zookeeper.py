"""ZooKeeper: the four letters srvr. ZooKeeper Administrator's Guide, "The Four Letter Words"."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, recognised


def talk(place: Place) -> Talk:
    """The word srvr is the one word that is allowed unless it was forbidden; the refusal is an answer too."""
    heard = Heard()
    line = yield from heard.line(b"srvr")
    found = re.match(rb"Zookeeper version: v?(\d[\d.]{0,20})", line)
    if found is None:
        if b"srvr is not executed because it is not in the whitelist" not in line:
            return None
        return recognised("zookeeper", "ZooKeeper", banner=line)
    rest = (yield from heard.rest(1_024)).decode("ascii", "replace")
    mode = re.search(r"^Mode: (\w+)", rest, re.MULTILINE)
    facts = details(build=clean(line), mode=mode[1] if mode else "")
    return recognised("zookeeper", "ZooKeeper", found[1].decode(), confidence=1.0, banner=line, facts=facts)


SPEC: Final = ServiceSpec(name="zookeeper", talk=talk, ports=(2181,))
