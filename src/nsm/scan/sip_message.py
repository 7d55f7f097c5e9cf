"""The question that SIP servers are asked over TCP and UDP, and its answer. RFC 3261, section 11."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place
from nsm.model.scan import Service
from nsm.scan.talking import clean, details, product_of, recognised

PRODUCTS: Final = (
    ("Asterisk", r"\bAsterisk(?: PBX)? ?([\d.]+)?"),
    ("FreeSWITCH", r"\bFreeSWITCH(?:-mod_sofia/)?([\d.]+)?"),
    ("Kamailio", r"\bkamailio \(([\d.]+)"),
    ("OpenSIPS", r"\bOpenSIPS \(([\d.]+)"),
    ("FRITZ!OS", r"\bFRITZ!OS"),
)


def options(place: Place, transport: str) -> bytes:
    """OPTIONS to the server itself; answers come back over the same connection (RFC 3581, rport)."""
    host = f"[{place.address}]" if ":" in place.address else place.address
    lines = (
        f"OPTIONS sip:{host}:{place.port} SIP/2.0", f"Via: SIP/2.0/{transport} nsm.invalid;branch=z9hG4bKnsm;rport",
        "Max-Forwards: 70", f"To: <sip:{host}>", "From: <sip:nsm@nsm.invalid>;tag=nsm", "Call-ID: nsm@nsm.invalid",
        "CSeq: 1 OPTIONS", "Contact: <sip:nsm@nsm.invalid>", "Accept: application/sdp", "Content-Length: 0", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode("ascii", "replace")


def service_of(head: bytes) -> Service | None:
    """The server by the head of its answer; None when it is no SIP."""
    status = re.match(rb"SIP/2\.0 (\d{3}) ", head)
    if status is None:
        return None
    headers: dict[str, str] = {}
    for line in head.split(b"\n")[1:64]:
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(clean(name, 64).lower(), clean(value))
    software = headers.get("server") or headers.get("user-agent", "")
    product, version = product_of(software, PRODUCTS)
    facts = details(status=int(status[1]), software=software, allow=headers.get("allow"))
    return recognised("sip", product, version, confidence=1.0, banner=head, facts=facts)
