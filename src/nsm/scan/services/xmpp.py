"""XMPP: the head of its stream, its features or its error. RFC 6120, section 4."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, product_of, recognised

PRODUCTS: Final = (  # by the words of their errors: XMPP tells versions only to those who log in
    ("Prosody", r"This server does not serve |This host does not serve "),
    ("ejabberd", r"ejabberd|xml:lang='en' id='\d{15,}'"),
    ("Openfire", r"Openfire|id=\"[0-9a-z]{8,12}\" xml:lang=\"en\""),
)


def talk(place: Place) -> Talk:
    """Open a stream to the server under the name that we know, close it again."""
    heard = Heard()
    name = place.name or "nsm.invalid"
    opening = (
        f"<?xml version='1.0'?><stream:stream to='{name}' version='1.0' xml:lang='en' xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    start = yield from heard.until(b">", 1_024, opening.encode("ascii", "replace"))
    if b"<stream:stream" not in start:
        start += yield from heard.until(b">", 2_048)
    if b"<stream:stream" not in start or b"jabber" not in start:
        return None
    end = yield from heard.peek(2_048)
    while end and not re.search(rb"</stream:(?:features|error|stream)>", end) and (yield from heard.ask()):
        end = heard.data[:4_096]
    yield from heard.ask(b"</stream:stream>")
    text = clean(start + end, 4_096)
    served = re.search(r"\bfrom=[\"']([^\"']{1,255})", text)
    product, version = product_of(text, PRODUCTS)
    facts = details(
        host=served[1] if served else "", starttls="urn:ietf:params:xml:ns:xmpp-tls" in text,
        error=(re.search(r"<stream:error><([a-z-]{1,40})", text) or ["", ""])[1],
    )  # fmt: skip
    return recognised("xmpp-client", product, version, banner=start, facts=facts)


SPEC: Final = ServiceSpec(name="xmpp-client", talk=talk, ports=(5222, 5223, 5269))
