"""IRC: the server's welcome. RFC 2812, section 5.1: 004 names the version. A nickname is taken for a second, no password."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, product_of, recognised

LINES_MAX: Final = 32  # ours: notices before the welcome
OURS: Final = b"NICK nsmprobe\r\nUSER nsm 0 * :nsm\r\n"
PRODUCTS: Final = (
    ("ngIRCd", r"^ngircd-([\d.]+\w*)"),
    ("UnrealIRCd", r"^UnrealIRCd-([\d.]+\w*)"),
    ("InspIRCd", r"^InspIRCd-([\d.]+)"),
    ("Ergo", r"^(?:ergo|oragono)-v?([\d.]+)"),
    ("Solanum", r"^solanum-([\d.]+)"),
    ("Hybrid", r"^(?:ircd-)?hybrid-([\d.]+)"),
)
LINE: Final = re.compile(rb"(?::(\S+) )?([A-Z]{3,12}|\d{3})(?: (.*))?$")
OWN_VERBS: Final = frozenset({b"NOTICE", b"CAP", b"ERROR", b"PING"})


def talk(place: Place) -> Talk:
    """Register, answer a PING when there is one, and leave after 004: closing the connection is leaving."""
    heard = Heard()
    line = yield from heard.line(OURS)
    server, version, known = "", "", 0
    first = line
    for _ in range(LINES_MAX):
        found = LINE.match(line)
        if found is None:
            break
        verb, rest = found[2], found[3] or b""
        known += (verb in OWN_VERBS and bool(rest)) or (verb.isdigit() and found[1] is not None)
        if verb == b"004":
            words = clean(rest).split()
            server, version = (*words[1:3], "", "")[:2]
            break
        if verb == b"ERROR":
            break
        line = yield from heard.line(b"PONG " + rest + b"\r\n" if verb == b"PING" else b"")
    if not known:
        return None
    product, number = product_of(version, PRODUCTS)
    return recognised("irc", product or version, number, banner=first, facts=details(server=server, software=version))


SPEC: Final = ServiceSpec(name="irc", talk=talk, ports=(6667, 6668, 6669, 6697, 194))
