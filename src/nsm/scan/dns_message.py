"""The two questions that a name server is asked, and what its answers say. RFC 1035; CHAOS TXT version.bind: RFC 4892.

Names in answers are skipped, never followed: only TXT data and the header's flags are of interest.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.scan import Service
from nsm.scan.talking import Fields, clean, details, product_of, recognised

VERSION_ID: Final = 0x6E31  # ours: an identity of the question, to know its answer by
ROOT_ID: Final = 0x6E32
TXT, NS = 16, 2  # RFC 1035, section 3.2.2
IN, CHAOS = 1, 3  # RFC 1035, section 3.2.4
REFUSED: Final = 5  # RFC 1035, section 4.1.1
RECORDS_MAX: Final = 16  # ours: records of an answer that are looked at
PRODUCTS: Final = (  # what these servers say of themselves
    ("unbound", r"^unbound ?([\d.]+\w*)?"),
    ("dnsmasq", r"^dnsmasq-([\d.]+\w*)"),
    ("NSD", r"^NSD ([\d.]+\w*)"),
    ("Knot DNS", r"^Knot DNS ([\d.]+\w*)"),
    ("Knot Resolver", r"^Knot Resolver ?([\d.]+\w*)?"),
    ("PowerDNS", r"^PowerDNS \w+ (?:Server )?([\d.]+\w*)"),
    ("Microsoft DNS", r"^Microsoft DNS ([\d.]+)"),
    ("BIND", r"^(?:BIND )?(9\.\d+\.\d+(?:-P\d+)?)"),
)


def question(identity: int, name: str, kind: int, kind_class: int) -> bytes:
    """A question with recursion desired."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label)
    head = identity.to_bytes(2, "big") + bytes.fromhex("01000001000000000000")
    return head + labels + b"\0" + kind.to_bytes(2, "big") + kind_class.to_bytes(2, "big")


VERSION_QUESTION: Final = question(VERSION_ID, "version.bind", TXT, CHAOS)
ROOT_QUESTION: Final = question(ROOT_ID, "", NS, IN)


class Answer:
    """Flags and first TXT of an answer to one of our questions; raises MalformedError when it is none."""

    def __init__(self, data: bytes, identity: int) -> None:
        fields = Fields(data)
        if fields.big(2) != identity:
            raise MalformedError("scan.dns_identity")
        flags = fields.big(2)
        if not flags & 0x8000:
            raise MalformedError("scan.dns_not_an_answer")
        self.rcode = flags & 0x0F
        self.recursive = bool(flags & 0x0080)
        questions, answers = fields.big(2), fields.big(2)
        fields.take(4)
        self.text = ""
        self.answers = answers
        try:
            self._read(fields, questions, answers)
        except MalformedError:
            return  # cut short, as large answers over UDP are: the flags are what counts

    def _read(self, fields: Fields, questions: int, answers: int) -> None:
        for _ in range(min(questions, RECORDS_MAX)):
            _skip_name(fields)
            fields.take(4)
        for _ in range(min(answers, RECORDS_MAX)):
            _skip_name(fields)
            kind = fields.big(2)
            fields.take(6)
            data = Fields(fields.take(fields.big(2)))
            if kind == TXT and not self.text:
                self.text = clean(data.take(data.big(1)))


def _skip_name(fields: Fields) -> None:
    """Step over a name. RFC 1035, section 4.1.4: a pointer ends it."""
    for _ in range(128):
        size = fields.big(1)
        if size >= 0xC0:
            fields.take(1)
            return
        if size == 0:
            return
        fields.take(size)
    raise MalformedError("scan.dns_name")


def service_of(version: Answer, root: Answer | None) -> Service:
    """The name server that gave these answers."""
    product, number = product_of(version.text, PRODUCTS)
    open_to_us = root is not None and root.recursive and root.rcode != REFUSED
    facts = details(version_bind=version.text, recursion="offered" if open_to_us else "", rcode=version.rcode or "")
    banner = version.text.encode()
    return recognised("dns", product, number, banner=banner, facts=facts)
