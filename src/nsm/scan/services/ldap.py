"""LDAP: the root DSE, which every server shows to everyone. RFC 4511, section 4.5; RFC 4512, section 5.1."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.ber import INTEGER, OCTET_STRING, SEQUENCE, SET, encode, integer, items, message
from nsm.scan.talking import Asking, Heard, clean, details, recognised

ENUMERATED, BOOLEAN = 0x0A, 0x01
SEARCH, ENTRY, DONE = 0x63, 0x64, 0x65  # RFC 4511, appendix B
EXTENDED_ANSWER: Final = 0x78  # also the notice of disconnection, section 4.4.1
PRESENT: Final = 0x87
MESSAGES_MAX: Final = 4  # ours
VALUES_MAX: Final = 8  # ours: values of one attribute that are kept


def root_search() -> bytes:
    """A search of the empty name itself for all attributes, users' and operational ones."""
    wanted = b"".join(encode(OCTET_STRING, name) for name in (b"*", b"+"))
    search = encode(
        SEARCH, encode(OCTET_STRING), encode(ENUMERATED, b"\0"), encode(ENUMERATED, b"\0"), integer(0), integer(5),
        encode(BOOLEAN, b"\0"), encode(PRESENT, b"objectClass"), encode(SEQUENCE, wanted),
    )  # fmt: skip
    return encode(SEQUENCE, integer(1), search)


def attributes(entry: bytes) -> dict[str, list[str]]:
    """Attribute -> values of a SearchResultEntry; names in lower case."""
    parts = list(items(entry))
    found: dict[str, list[str]] = {}
    if len(parts) < 2 or parts[1][0] != SEQUENCE:
        raise MalformedError("scan.ldap_entry")
    for tag, one in items(parts[1][1]):
        pair = list(items(one))
        if tag == SEQUENCE and len(pair) == 2 and pair[0][0] == OCTET_STRING and pair[1][0] == SET:
            values = [clean(value) for _, value in items(pair[1][1])]
            found[clean(pair[0][1], 64).lower()] = values[:VALUES_MAX]
    return found


def product_by(found: dict[str, list[str]]) -> tuple[str, str]:
    """(product, version) by what the root DSE holds."""
    vendor, version = "".join(found.get("vendorname", [])[:1]), "".join(found.get("vendorversion", [])[:1])
    if vendor:
        return vendor, version
    if "OpenLDAProotDSE" in found.get("objectclass", []) or "OpenLDAProotDSE" in found.get("structuralobjectclass", []):
        return "OpenLDAP", ""
    if "forestfunctionality" in found or "isglobalcatalogready" in found:
        return "Active Directory", ""
    return "", ""


def _answers(heard: Heard) -> Asking[tuple[bool, dict[str, list[str]]]]:
    """(Is it LDAP?, attributes)."""
    send, seen = root_search(), False
    for _ in range(MESSAGES_MAX):
        try:
            parts = list(items((yield from message(heard, send))))
        except MalformedError:
            return seen, {}
        send = b""
        if len(parts) < 2 or parts[0][0] != INTEGER:
            return seen, {}
        seen = seen or parts[1][0] in (ENTRY, DONE, EXTENDED_ANSWER)
        if parts[1][0] == ENTRY:
            return True, attributes(parts[1][1])
        if parts[1][0] in (DONE, EXTENDED_ANSWER):
            return True, {}
    return seen, {}


def talk(place: Place) -> Talk:
    """One search without a name."""
    heard = Heard()
    seen, found = yield from _answers(heard)
    if not seen:
        return None
    product, version = product_by(found)
    facts = details(
        naming_contexts=found.get("namingcontexts"), versions=found.get("supportedldapversion"),
        mechanisms=found.get("supportedsaslmechanisms"), host=found.get("dnshostname"),
        starttls="1.3.6.1.4.1.1466.20037" in found.get("supportedextension", []),
    )  # fmt: skip
    return recognised("ldap", product, version, confidence=1.0 if found else 0.8, facts=facts)


SPEC: Final = ServiceSpec(name="ldap", talk=talk, ports=(389, 636, 3268, 3269))
