"""NNTP: greeting and capabilities. RFC 3977, sections 5.1 and 5.2."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, product_of, recognised, reply

GREETINGS: Final = frozenset({200, 201, 400, 502})  # RFC 3977, section 5.1.1
CAPABILITIES_MAX: Final = 32  # ours
PRODUCTS: Final = (
    ("INN", r"\bINN ([\d.]+\w*)"),
    ("Leafnode", r"Leafnode NNTP Daemon, version ([\d.]+\w*)"),
    ("Diablo", r"Diablo ([\d.]+\S*)"),
    ("Microsoft NNTP Service", r"Microsoft NNTP Service"),
)


def talk(place: Place) -> Talk:
    """Read the greeting, then CAPABILITIES: IMPLEMENTATION names the server."""
    heard = Heard()
    code, text = yield from reply(heard)
    if code not in GREETINGS:
        return None
    banner = f"{code} {text}".encode()
    answer, said = yield from reply(heard, b"CAPABILITIES\r\n")
    if answer not in (101, 480, 500, 502, 400) and "NNTP" not in text.upper():
        return None
    if answer != 101 and not ("NNTP" in text.upper() or "NEWS" in text.upper() or "INN" in said + text):
        return None
    lines: list[str] = []
    while answer == 101 and len(lines) < CAPABILITIES_MAX:
        line = yield from heard.line()
        if not line or line == b".":
            break
        lines.append(clean(line, 128))
    implementation = next((item[15:] for item in lines if item.startswith("IMPLEMENTATION ")), "")
    product, version = product_of(f"{implementation} {text} {said}", PRODUCTS)
    facts = details(starttls="STARTTLS" in lines, posting=code == 200, implementation=implementation)
    yield from heard.ask(b"QUIT\r\n")
    return recognised("nntp", product, version, how="banner", confidence=1.0, banner=banner, facts=facts)


SPEC: Final = ServiceSpec(name="nntp", talk=talk, ports=(119, 433, 563), speaks_first=True)
