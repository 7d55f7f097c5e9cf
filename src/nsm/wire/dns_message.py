"""Messages of the domain name system: header, questions, resource records. RFC 1035, section 4.

DNS, mDNS, LLMNR, NetBIOS and DNS over HTTPS share it. Names stay bytes until they are wanted as text, since most names of a
message are the same pointer to its question; the question itself repeats in query and answer and is remembered by its bytes.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address
from struct import Struct
from typing import Final

import msgspec

HEADER_BYTES: Final = 12  # RFC 1035, section 4.1.1
FLAG_RESPONSE: Final = 0x8000
FLAG_Z: Final = 0x0040
OPCODE_MAX: Final = 6  # IANA "DNS OpCodes": DSO is the last assigned
NAME_CHARS_MAX: Final = 1025  # as Suricata: longer names are cut and marked
LABELS_MAX: Final = 255  # ours, as Suricata: RFC 1035 allows 127
JUMPS_MAX: Final = 255  # ours: a pointer chain longer than that is a loop
REMEMBERED: Final = 4096  # ours: questions and addresses that repeat, about 1 MB

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
NULL: Final = 10
WKS: Final = 11
PTR: Final = 12
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
SSHFP: Final = 44

HEADER: Final = Struct("!HHHHHH")
QUESTION_TAIL: Final = Struct("!HH")
RECORD_HEAD: Final = Struct("!HHIH")
POINTED_RECORD: Final = Struct("!HHHIH")  # a record whose name is one pointer
SOA_NUMBERS: Final = Struct("!IIIII")
SRV_HEAD: Final = Struct("!HHH")
POINTER_TO_QUESTION: Final = 0xC000 | HEADER_BYTES


class DnsError(Exception):
    """The message ends early or points outside itself; ``slug`` is Suricata's name for it."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


class Question(msgspec.Struct, frozen=True):
    """What was asked; ``end``: where it ends in the message."""

    name: str
    rrtype: int
    rrclass: int
    end: int


class Resource(msgspec.Struct, frozen=True):
    """A resource record; its data are ``[at:end]`` of the message."""

    name: str
    rrtype: int
    rrclass: int
    ttl: int
    at: int
    end: int


class Message(msgspec.Struct):
    """A message; ``oddities`` are the names of what is wrong in it without stopping the parser."""

    data: bytes
    id: int
    flags: int
    questions: list[Question]
    answers: list[Resource]
    authorities: list[Resource]
    additionals: list[Resource]
    names: dict[int, bytes]
    oddities: list[str]

    def name(self, at: int) -> str:
        """The name at that offset; DnsError when there is none."""
        return text(read_name(self.data, at, self.names, self.oddities)[0])


def escaped(raw: bytes) -> str:
    """Bytes that are no UTF-8 as text: what is not printable ASCII  as its hexadecimal escape."""
    return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw)


def text(raw: bytes) -> str:
    """Bytes of a name or a text as EVE shows them."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return escaped(raw)


@lru_cache(REMEMBERED)
def ipv4_text(raw: bytes) -> str:
    """Dotted form of four bytes."""
    return "%d.%d.%d.%d" % (raw[0], raw[1], raw[2], raw[3])


@lru_cache(REMEMBERED)
def ipv6_text(raw: bytes) -> str:
    """The short form of 16 bytes, RFC 5952."""
    return str(IPv6Address(raw))


def ipv6_full(raw: bytes) -> str:
    """All eight groups with four digits, as EVE prints addresses."""
    return raw.hex(":", 2)


def read_name(data: bytes, at: int, known: dict[int, bytes], oddities: list[str]) -> tuple[bytes, int]:
    """(labels joined by dots, offset behind the name). ``known``: names by offset, so that a pointer is followed once."""
    labels: list[bytes] = []
    targets: list[tuple[int, int]] = []
    end = -1
    tail = b""
    try:
        while True:
            size = data[at]
            if size == 0:
                if end < 0:
                    end = at + 1
                break
            if size < 0x40:
                label = data[at + 1 : at + 1 + size]
                if len(label) < size:
                    raise DnsError("malformed_data")
                labels.append(label)
                at += 1 + size
                if len(labels) > LABELS_MAX:
                    raise DnsError("too_many_labels")
                continue
            if size < 0xC0:
                raise DnsError("malformed_data")
            if end < 0:
                end = at + 2
            at = (size & 0x3F) << 8 | data[at + 1]
            if at in known:
                tail = known[at]
                break
            targets.append((at, len(labels)))
            if len(targets) > JUMPS_MAX:
                raise DnsError("infinite_loop")
    except IndexError:
        raise DnsError("malformed_data") from None
    if tail:
        labels.append(tail)
    for target, first in targets:
        known[target] = b".".join(labels[first:])[: NAME_CHARS_MAX + 1]
    name = b".".join(labels)
    if len(name) > NAME_CHARS_MAX:
        name = name[: NAME_CHARS_MAX + 1]
        if "name_too_long" not in oddities:
            oddities.append("name_too_long")
    return name, end


@lru_cache(REMEMBERED)
def _plain_question(wire: bytes) -> Question | None:
    """The question of these bytes, that follow a header, when they are all of it and hold no pointer."""
    at = 0
    last = len(wire) - 5
    labels = []
    while at < last:
        size = wire[at]
        if size == 0 or size > 63:
            return None
        labels.append(wire[at + 1 : at + 1 + size])
        at += 1 + size
    if at != last:
        return None
    rrtype, rrclass = QUESTION_TAIL.unpack_from(wire, last + 1)
    return Question(text(b".".join(labels)), rrtype, rrclass, HEADER_BYTES + len(wire))


def _questions(data: bytes, count: int, known: dict[int, bytes], oddities: list[str]) -> tuple[list[Question], int]:
    if count == 1:
        end = data.find(b"\0", HEADER_BYTES) + 5
        if HEADER_BYTES + 5 <= end <= len(data) and end < 300:
            question = _plain_question(data[HEADER_BYTES:end])
            if question is not None:
                return [question], end
    at = HEADER_BYTES
    found = []
    for _ in range(count):
        name, at = read_name(data, at, known, oddities)
        if at + 4 > len(data):
            raise DnsError("malformed_data")
        rrtype, rrclass = QUESTION_TAIL.unpack_from(data, at)
        at += 4
        found.append(Question(text(name), rrtype, rrclass, at))
    return found, at


def _resources(message: Message, at: int, count: int, into: list[Resource]) -> int:
    """Read ``count`` records; DnsError when the message ends before."""
    data = message.data
    size = len(data)
    questions = message.questions
    for _ in range(count):
        if at + 12 <= size and data[at] == 0xC0 and data[at + 1] == HEADER_BYTES and len(questions) == 1:
            _, rrtype, rrclass, ttl, length = POINTED_RECORD.unpack_from(data, at)
            name = questions[0].name
            at += 12
        else:
            raw, at = read_name(data, at, message.names, message.oddities)
            if at + 10 > size:
                raise DnsError("malformed_data")
            rrtype, rrclass, ttl, length = RECORD_HEAD.unpack_from(data, at)
            name = text(raw)
            at += 10
        end = at + length
        if end > size:
            raise DnsError("malformed_data")
        into.append(Resource(name, rrtype, rrclass, ttl, at, end))
        at = end
    return at


def parse(data: bytes) -> Message:
    """The message in ``data``; DnsError when its header, questions or answers cannot be read.

    Authorities and additionals that cannot be read are an oddity: the rest is of use.
    """
    if len(data) < HEADER_BYTES:
        raise DnsError("malformed_data")
    ident, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    known: dict[int, bytes] = {}
    oddities: list[str] = []
    asked, at = _questions(data, questions, known, oddities)
    message = Message(data, ident, flags, asked, [], [], [], known, oddities)
    if answers:
        at = _resources(message, at, answers, message.answers)
    if authorities or additionals:
        slug = "invalid_authorities"
        try:
            at = _resources(message, at, authorities, message.authorities)
            slug = "invalid_additionals"
            _resources(message, at, additionals, message.additionals)
        except DnsError:
            oddities.append(slug)
    return message


def looks_like(data: bytes, strict: bool) -> bool:
    """Do these bytes begin a message? ``strict``: nothing else, as a port, says so."""
    if len(data) < HEADER_BYTES:
        return False
    _, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    if (flags >> 11) & 15 > OPCODE_MAX and strict:
        return False
    response = flags & FLAG_RESPONSE
    left = len(data) - HEADER_BYTES
    if questions * 5 > left or answers * 11 > left or authorities > 500 or additionals > 500:
        return False
    if (not response and answers > 32) or (not questions and not response and not answers):
        return False
    if (questions * 5 + (answers + authorities + additionals) * 11) > left and strict:
        return False
    if strict and (questions != 1 or flags & 0x7870 or (not response and (flags & 0x0480 or answers))):
        return False
    try:
        asked, _ = _questions(data, questions, {}, [])
    except DnsError:
        return False
    if strict:
        question = asked[0]
        named = question.name.isascii() and question.name.isprintable() and "." in question.name
        return named and question.rrtype in NAMED_TYPES and question.rrclass in (1, 255)
    return bool(asked) or bool(response)


def may_begin(data: bytes, size: int) -> bool:
    """Can these be the first bytes of a message of ``size`` bytes? For one that is not all there."""
    if len(data) < HEADER_BYTES or size < HEADER_BYTES:
        return False
    _, flags, questions, answers, authorities, additionals = HEADER.unpack_from(data)
    records = answers + authorities + additionals
    fits = questions * 5 + records * 11 <= size - HEADER_BYTES and (questions or answers)
    return bool(fits) and (flags >> 11) & 15 <= OPCODE_MAX and bool(flags & FLAG_RESPONSE or not answers)


# Names of record types: IANA, "Resource Record (RR) TYPEs".
TYPE_NAMES: Final = {
    1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL", 11: "WKS", 12: "PTR",
    13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25", 20: "ISDN", 21: "RT", 22: "NSAP",
    23: "NSAPPTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA", 29: "LOC", 30: "NXT", 33: "SRV", 34: "ATMA",
    35: "NAPTR", 36: "KX", 37: "CERT", 38: "A6", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY",
    46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA",
    55: "HIP", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB", 65: "HTTPS", 99: "SPF",
    249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 253: "MAILB", 254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA",
    32768: "TA", 32769: "DLV",
}  # fmt: skip
NAMED_TYPES: Final = frozenset(TYPE_NAMES)


def strings(data: bytes, at: int, end: int) -> list[bytes]:
    """The character strings of a TXT record, RFC 1035, section 3.3.14; a last one that is cut off is cut."""
    found = []
    while at < end:
        size = data[at]
        found.append(data[at + 1 : min(end, at + 1 + size)])
        at += 1 + size
    return found
