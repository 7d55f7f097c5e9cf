"""IMAP: greeting, capabilities, and what the server says of itself. RFC 3501; ID: RFC 2971."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Asking, Heard, clean, details, product_of, recognised

LINES_MAX: Final = 16  # ours: untagged lines before the answer
PRODUCTS: Final = (
    ("Dovecot", r"\bDovecot\b(?:.*version ([\d.]+))?"),
    ("Cyrus IMAP", r"\bCyrus IMAP v?([\d.]+)?"),
    ("Courier-IMAP", r"\bCourier-IMAP\b"),
    ("Microsoft Exchange", r"Microsoft Exchange"),
    ("UW IMAP", r"IMAP4rev1 (20\d\d\.\d+)"),
)


def command(heard: Heard, tag: bytes, text: bytes) -> Asking[list[bytes]]:
    """Send a command; the lines of its answer, the last one carries the tag."""
    lines = [(yield from heard.line(tag + b" " + text + b"\r\n"))]
    while lines[-1] and not lines[-1].startswith(tag + b" ") and len(lines) < LINES_MAX:
        lines.append((yield from heard.line()))
    return lines


def talk(place: Place) -> Talk:
    """Read "* OK", then CAPABILITY and ID."""
    heard = Heard()
    greeting = yield from heard.line()
    if not greeting.startswith((b"* OK", b"* PREAUTH", b"* BYE")):
        return None
    lines = yield from command(heard, b"a", b"CAPABILITY")
    words = next((clean(line, 1_024).split()[2:] for line in lines if line.startswith(b"* CAPABILITY")), [])
    facts = details(starttls="STARTTLS" in words, login_disabled="LOGINDISABLED" in words, capabilities=words)
    told = ""
    if "ID" in words:
        lines = yield from command(heard, b"b", b"ID NIL")
        told = next((clean(line) for line in lines if line.startswith(b"* ID")), "")
    name = re.search(r'"name" "([^"]{1,64})"', told)
    version = re.search(r'"version" "([^"]{1,64})"', told)
    product, number = product_of(clean(greeting), PRODUCTS)
    product, number = (name[1] if name else product), (version[1] if version else number)
    yield from heard.ask(b"c LOGOUT\r\n")
    return recognised("imap", product, number, how="banner", confidence=1.0, banner=greeting, facts=facts)


SPEC: Final = ServiceSpec(name="imap", talk=talk, ports=(143, 993), speaks_first=True)
