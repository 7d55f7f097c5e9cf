"""The question that STUN and TURN servers are asked over TCP and UDP, and its answer. RFC 8489, sections 5 and 14."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.scan import Service
from nsm.scan.talking import Fields, clean, details, product_of, recognised

COOKIE: Final = bytes.fromhex("2112a442")
IDENTITY: Final = b"nsm-asks-who"
BINDING: Final = bytes.fromhex("00010000") + COOKIE + IDENTITY
ANSWERS: Final = frozenset({0x0101, 0x0111})  # success, error
SOFTWARE: Final = 0x8022
ATTRIBUTES_MAX: Final = 24  # ours
PRODUCTS: Final = (
    ("coturn", r"(?i)^coturn-([\d.]+)"),
    ("restund", r"^restund v([\d.]+)"),
    ("eturnal", r"^eturnal ([\d.]+)"),
)


def service_of(data: bytes) -> Service:
    """The server that gave this answer; raises MalformedError when it is none."""
    fields = Fields(data)
    kind, size = fields.big(2), fields.big(2)
    if kind not in ANSWERS or fields.take(16) != COOKIE + IDENTITY:
        raise MalformedError("scan.stun_answer")
    attributes, software = Fields(fields.take(size)), ""
    for _ in range(ATTRIBUTES_MAX):
        if attributes.left < 4:
            break
        attribute, length = attributes.big(2), attributes.big(2)
        value = attributes.take(length)
        attributes.take(min(attributes.left, -length % 4))
        if attribute == SOFTWARE:
            software = clean(value)
    product, version = product_of(software, PRODUCTS)
    return recognised(
        "stun", product, version, confidence=1.0, banner=software.encode(), facts=details(software=software)
    )
