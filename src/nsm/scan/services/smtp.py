"""SMTP and submission: greeting and extensions. RFC 5321; STARTTLS: RFC 3207. No sender or recipient is named."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, product_of, recognised, reply

READY: Final = 220  # RFC 5321, section 4.2.3
GREETINGS: Final = frozenset({READY, 421, 554})  # not now; not for you
PRODUCTS: Final = (
    ("Exim", r"Exim ([\d.]+\w*)"),
    ("Postfix", r"\bPostfix\b(?: ([\d.]+))?"),
    ("Sendmail", r"Sendmail ([\d.]+)"),
    ("OpenSMTPD", r"OpenSMTPD"),
    ("Microsoft Exchange", r"Microsoft ESMTP MAIL Service(?:, Version: ([\d.]+))?"),
    ("Haraka", r"Haraka(?:/| )?([\d.]+)?"),
    ("MailEnable", r"MailEnable"),
    ("aiosmtpd", r"Python SMTP ([\d.]+)"),
)


def talk(place: Place) -> Talk:
    """Read the greeting, then EHLO under a name that claims nothing (RFC 2606: .invalid)."""
    heard = Heard()
    code, text = yield from reply(heard)
    if code not in GREETINGS or "FTP" in text:
        return None
    banner = f"{code} {text}".encode()
    hello, extensions = yield from reply(heard, b"EHLO nsm.invalid\r\n")
    if hello not in (250, 501, 502, 503, 504, 550, 554) and "SMTP" not in text:
        return None
    if hello != 250 and "SMTP" not in text:
        return None
    words = [line.partition(" ")[0].upper() for line in extensions.split("\n")[1:]]
    methods = next((line[5:] for line in extensions.split("\n") if line.upper().startswith("AUTH ")), "")
    facts = details(starttls="STARTTLS" in words, auth=methods, extensions=words)
    product, version = product_of(text, PRODUCTS)
    yield from reply(heard, b"QUIT\r\n")
    return recognised("smtp", product, version, how="banner", confidence=1.0, banner=banner, facts=facts)


SPEC: Final = ServiceSpec(name="smtp", talk=talk, ports=(25, 587, 465, 2525), speaks_first=True)
