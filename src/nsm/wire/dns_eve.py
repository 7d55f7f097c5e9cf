"""EVE objects of DNS messages: ``dns`` in its format version 3, and the form in which LLMNR and mDNS are written.

Suricata user guide, "EVE JSON format", event type dns.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from nsm.model.protocol import Record
from nsm.wire.dns_message import (
    AAAA,
    CNAME,
    MX,
    NAME_CHARS_MAX,
    NS,
    NULL,
    OPT,
    PTR,
    SOA,
    SOA_NUMBERS,
    SRV,
    SRV_HEAD,
    SSHFP,
    TXT,
    TYPE_NAMES,
    A,
    DnsError,
    Message,
    Question,
    Resource,
    ipv4_text,
    ipv6_full,
    read_name,
    strings,
    text,
)

# IANA, "DNS RCODEs".
RCODE_NAMES: Final = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE", 16: "BADVERS/BADSIG", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE",
    20: "BADNAME", 21: "BADALG", 22: "BADTRUNC",
}  # fmt: skip
GROUPED: Final = frozenset((A, AAAA, CNAME, MX, NS, NULL, PTR, TXT, SOA, SRV, SSHFP))
NAME_TYPES: Final = frozenset((CNAME, NS, PTR, MX))
LOWER_NAMES: Final = {number: name.lower() for number, name in TYPE_NAMES.items()}


RECORDS_SHOWN_MAX: Final = 1024  # ours: of a section; a message of 64 KB can repeat a long name 5,000 times


class Soa(Record):
    """Data of a SOA record."""

    mname: str
    rname: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int
    mname_truncated: bool = False


class Srv(Record):
    """Data of a SRV record."""

    priority: int
    weight: int
    port: int
    name: str


class Sshfp(Record):
    """Data of a SSHFP record."""

    fingerprint: str
    algo: int
    type: int


class Query(Record):
    """One question."""

    rrname: str
    rrtype: str
    rrname_truncated: bool = False


class Answer(Record):
    """A record of any section."""

    rrname: str
    rrtype: str
    ttl: int
    rdata: str | None = None
    rdata_truncated: bool = False
    soa: Soa | None = None
    srv: Srv | None = None
    sshfp: Sshfp | None = None
    opt: list[dict[str, Any]] | None = None
    rrname_truncated: bool = False


class Dns(Record):
    """A DNS message, version 3."""

    version: int
    type: str
    id: int
    flags: str
    opcode: int
    rcode: str
    tx_id: int | None = None
    qr: bool = False
    aa: bool = False
    tc: bool = False
    rd: bool = False
    ra: bool = False
    z: bool = False
    queries: list[Query] | None = None
    answers: list[Answer] | None = None
    authorities: list[Answer] | None = None
    additionals: list[Answer] | None = None
    grouped: dict[str, list[Any]] | None = None


class Multicast(Record):
    """A message of LLMNR or mDNS."""

    type: str
    id: int | None = None
    flags: list[str] | None = None
    opcode: int | None = None
    rcode: int | None = None
    queries: list[Query] | None = None
    answers: list[dict[str, Any]] | None = None
    authorities: list[dict[str, Any]] | None = None
    additionals: list[dict[str, Any]] | None = None


def type_name(rrtype: int) -> str:
    """IANA's name, else the number."""
    return TYPE_NAMES.get(rrtype) or str(rrtype)


def _cut(name: str) -> tuple[str, bool]:
    return (name, False) if len(name) <= NAME_CHARS_MAX else (name[:NAME_CHARS_MAX], True)


def _query(question: Question) -> Query:
    if len(question.name) <= NAME_CHARS_MAX:
        return Query(question.name, type_name(question.rrtype))
    return Query(question.name[:NAME_CHARS_MAX], type_name(question.rrtype), True)


def _soa(message: Message, at: int, end: int) -> Soa:
    mname, at = read_name(message.data, at, message.names, message.oddities)
    rname, at = read_name(message.data, at, message.names, message.oddities)
    if at + SOA_NUMBERS.size > end:
        raise DnsError("malformed_data")
    name, truncated = _cut(text(mname))
    serial, refresh, retry, expire, minimum = SOA_NUMBERS.unpack_from(message.data, at)
    return Soa(name, _cut(text(rname))[0], serial, refresh, retry, expire, minimum, truncated)


def value(message: Message, resource: Resource) -> Any:
    """What the record says: text, a Soa, Srv or Sshfp, a list of texts of TXT, options of OPT; None when it says nothing."""
    rrtype = resource.rrtype
    data, at, end = message.data, resource.at, resource.end
    size = end - at
    if rrtype == A and size == 4:
        return ipv4_text(data[at:end])
    if rrtype == AAAA and size == 16:
        return ipv6_full(data[at:end])
    if rrtype in NAME_TYPES and size:
        return message.name(at + 2 if rrtype == MX else at)
    if rrtype == TXT:
        return [text(part) for part in strings(data, at, end)]
    if rrtype == SOA:
        return _soa(message, at, end)
    if rrtype == SRV and size >= 7:
        priority, weight, port = SRV_HEAD.unpack_from(data, at)
        return Srv(priority, weight, port, _cut(message.name(at + 6))[0])
    if rrtype == SSHFP and size > 2:
        return Sshfp(data[at + 2 : end].hex(":"), data[at], data[at + 1])
    if rrtype == NULL:
        return text(data[at:end])
    if rrtype == OPT:
        return _options(data, at, end)
    return None


def _options(data: bytes, at: int, end: int) -> list[dict[str, Any]]:
    """EDNS options, RFC 6891, section 6.1.2."""
    options = []
    while at + 4 <= end:
        code, size = data[at] << 8 | data[at + 1], data[at + 2] << 8 | data[at + 3]
        options.append({"code": code, "data": data[at + 4 : min(end, at + 4 + size)].hex()})
        at += 4 + size
    return options


def _texts(message: Message, resource: Resource, grouped: dict[str, list[Any]] | None) -> list[Answer]:
    """A TXT record: one answer for each of its strings."""
    found = [text(part) for part in strings(message.data, resource.at, resource.end)[:RECORDS_SHOWN_MAX]]
    if grouped is not None:
        grouped.setdefault("TXT", []).extend(found)
    return [_rare_answer(resource.name, "TXT", resource.ttl, part) for part in found]


def _answer(message: Message, resource: Resource, grouped: dict[str, list[Any]] | None) -> Answer:
    rrtype = resource.rrtype
    name, ttl = resource.name, resource.ttl
    kind = TYPE_NAMES.get(rrtype) or str(rrtype)
    try:
        said = value(message, resource)
    except DnsError:
        said = None
    if said is not None and grouped is not None and rrtype in GROUPED:
        if kind in grouped:
            grouped[kind].append(said)
        else:
            grouped[kind] = [said]
    if type(said) is str and len(said) <= NAME_CHARS_MAX and len(name) <= NAME_CHARS_MAX:
        return Answer(name, kind, ttl, said)
    return _rare_answer(name, kind, ttl, said)


def _rare_answer(name: str, kind: str, ttl: int, said: Any) -> Answer:
    name, truncated = _cut(name)
    rdata: str | None = None
    rdata_truncated = False
    if isinstance(said, str):
        rdata, rdata_truncated = _cut(said)
    soa = said if isinstance(said, Soa) else None
    srv = said if isinstance(said, Srv) else None
    sshfp = said if isinstance(said, Sshfp) else None
    options = said if isinstance(said, list) and kind == "OPT" else None
    return Answer(name, kind, ttl, rdata, rdata_truncated, soa, srv, sshfp, options, truncated)


def _section(message: Message, resources: list[Resource]) -> list[Answer] | None:
    """The records of a section; an OPT without options says nothing and is left out."""
    kept: list[Answer] = []
    for resource in resources[:RECORDS_SHOWN_MAX]:
        if resource.rrtype == TXT:
            kept.extend(_texts(message, resource, None))
        elif resource.rrtype != OPT or resource.end - resource.at >= 4:
            kept.append(_answer(message, resource, None))
    return kept or None


def dns_object(message: Message, tx_id: int | None) -> Dns:
    """The object of a ``dns`` event."""
    flags = message.flags
    answers: list[Answer] | None = None
    grouped: dict[str, list[Any]] | None = None
    if message.answers:
        grouped = {}
        answers = []
        for resource in message.answers[:RECORDS_SHOWN_MAX]:
            if resource.rrtype == TXT:
                answers.extend(_texts(message, resource, grouped))
            else:
                answers.append(_answer(message, resource, grouped))
        for answer in answers:  # EVE says only of the other sections what was cut
            if answer.rdata_truncated or answer.rrname_truncated:
                answer.rdata_truncated = answer.rrname_truncated = False
    rcode = flags & 15
    return Dns(
        3,
        "response" if flags & 0x8000 else "request",
        message.id,
        "%x" % flags,
        (flags >> 11) & 15,
        RCODE_NAMES.get(rcode) or str(rcode),
        tx_id,
        (flags & 0x8000) != 0,
        (flags & 0x0400) != 0,
        (flags & 0x0200) != 0,
        (flags & 0x0100) != 0,
        (flags & 0x0080) != 0,
        (flags & 0x0040) != 0,
        [_query(question) for question in message.questions[:RECORDS_SHOWN_MAX]] or None,
        answers,
        _section(message, message.authorities) if message.authorities else None,
        _section(message, message.additionals) if message.additionals else None,
        grouped or None,
    )


def has_type(message: Message, wanted: Collection[str]) -> bool:
    """Is one of the questions or answers of a type of that (lower case) list?"""
    for question in message.questions:
        if type_name(question.rrtype).lower() in wanted:
            return True
    return any(type_name(resource.rrtype).lower() in wanted for resource in message.answers)


def _keyed(message: Message, resource: Resource, keys: frozenset[str], ttl: bool) -> dict[str, Any]:
    """A record whose data stand under the name of its type."""
    name, truncated = _cut(resource.name)
    found: dict[str, Any] = {"rrname": name}
    if truncated:
        found["rrname_truncated"] = True
    kind = LOWER_NAMES.get(resource.rrtype, "unknown")
    if ttl:
        found["rrtype"] = kind if kind != "unknown" else str(resource.rrtype)
        found["ttl"] = resource.ttl
    try:
        said = value(message, resource)
    except DnsError:
        said = None
    if said is not None and kind in keys:
        found[kind] = said
    return found


MDNS_FLAGS: Final = ((0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"))
LLMNR_FLAGS: Final = ((0x0400, "c"), (0x0200, "tc"), (0x0100, "t"))  # RFC 4795, section 2.1.1


def multicast_object(message: Message, keys: frozenset[str], ttl: bool) -> Multicast:
    """The object of a ``mdns`` or ``llmnr`` event; of a record's data only those of a type in ``keys`` are shown."""
    flags = message.flags
    named = [name for bit, name in (LLMNR_FLAGS if ttl else MDNS_FLAGS) if flags & bit]
    queries = [Query(*_lower(question)) for question in message.questions[:RECORDS_SHOWN_MAX]]
    return Multicast(
        "response" if flags & 0x8000 else "request",
        message.id,
        named or None,
        (flags >> 11) & 15,
        None if ttl else flags & 15 or None,
        queries or None,
        [_keyed(message, resource, keys, ttl) for resource in message.answers[:RECORDS_SHOWN_MAX]] or None,
        [
            _keyed(message, resource, keys if ttl else frozenset(), ttl)
            for resource in message.authorities[:RECORDS_SHOWN_MAX]
        ]
        or None,
        [
            _keyed(message, resource, keys, ttl)
            for resource in message.additionals[:RECORDS_SHOWN_MAX]
            if resource.rrtype != OPT or resource.end - resource.at >= 4
        ]
        or None,
    )


def _lower(question: Question) -> tuple[str, str, bool]:
    name, truncated = _cut(question.name)
    return name, LOWER_NAMES.get(question.rrtype) or str(question.rrtype), truncated
