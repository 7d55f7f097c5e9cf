"""Git's own daemon: asked for a repository that is not there. Git's gitprotocol-pack(5), "Git Transport"."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, recognised


def pkt_line(data: bytes) -> bytes:
    """Four hexadecimal digits of length, themselves included. gitprotocol-common(5)."""
    return f"{len(data) + 4:04x}".encode() + data


def talk(place: Place) -> Talk:
    """The refusal is the daemon's own."""
    heard = Heard()
    question = b"git-upload-pack /nsm-none\0host=" + (place.name or place.address).encode("ascii", "replace") + b"\0"
    head = yield from heard.exactly(8, pkt_line(question))
    if not re.fullmatch(rb"[0-9a-f]{4}ERR ", head):
        return None
    text = yield from heard.peek(min(512, max(0, int(head[:4], 16) - 8)))
    return recognised("git", "git daemon", banner=head + text, facts=details(refused=clean(text)))


SPEC: Final = ServiceSpec(name="git", talk=talk, ports=(9418,))
