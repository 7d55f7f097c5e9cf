"""POP3: greeting and capabilities. RFC 1939; CAPA: RFC 2449; STLS: RFC 2595."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, product_of, recognised

CAPABILITIES_MAX: Final = 32  # ours
PRODUCTS: Final = (
    ("Dovecot", r"\bDovecot\b"),
    ("Courier", r"\bCourier\b"),
    ("Microsoft Exchange", r"Microsoft Exchange"),
    ("Cyrus", r"Cyrus POP3 v?([\d.]+)"),
    ("Qpopper", r"Qpopper \(version ([\d.]+)"),
)


def talk(place: Place) -> Talk:
    """Read "+OK", then CAPA: IMPLEMENTATION names the server."""
    heard = Heard()
    greeting = yield from heard.line()
    if not greeting.startswith((b"+OK", b"-ERR")):
        return None
    answer = yield from heard.line(b"CAPA\r\n")
    capabilities: list[str] = []
    while answer.startswith(b"+OK") and len(capabilities) < CAPABILITIES_MAX:
        line = yield from heard.line()
        if not line or line == b".":
            break
        capabilities.append(clean(line, 128))
    if not answer.startswith((b"+OK", b"-ERR")):
        return None
    implementation = next((item[15:] for item in capabilities if item.startswith("IMPLEMENTATION ")), "")
    product, version = product_of(f"{clean(greeting)} {implementation}", PRODUCTS)
    facts = details(stls="STLS" in capabilities, implementation=implementation, capabilities=capabilities)
    yield from heard.ask(b"QUIT\r\n")
    return recognised("pop3", product, version, how="banner", confidence=1.0, banner=greeting, facts=facts)


SPEC: Final = ServiceSpec(name="pop3", talk=talk, ports=(110, 995), speaks_first=True)
