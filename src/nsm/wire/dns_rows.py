"""Zeek's dns log of a flow: answers are paired with questions by message id, first in first out.

DNS, mDNS, LLMNR and NetBIOS name service share it. Zeek, base/protocols/dns; to a multicast address nothing is paired.
"""

from __future__ import annotations

import struct
from typing import Final

from nsm.model.protocol import Conversation, Interval, Row
from nsm.wire.dns_message import (
    AAAA,
    CNAME,
    MX,
    NS,
    PTR,
    SOA,
    SRV,
    SSHFP,
    TXT,
    TYPE_NAMES,
    A,
    DnsError,
    Message,
    Resource,
    ipv4_text,
    ipv6_text,
    strings,
)

PENDING_MAX: Final = 256  # ours: questions of a flow that wait for an answer; the oldest is written without one

# What Zeek calls differently from IANA, base/protocols/dns/consts.zeek.
ZEEK_TYPE_NAMES: Final = {
    **TYPE_NAMES, 23: "NSAP-PTR", 31: "EID", 32: "NB", 40: "SINK", 41: "EDNS", 56: "NINFO", 57: "RKEY", 58: "TALINK",
    100: "DINFO", 101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32", 106: "L64", 107: "LP", 108: "EUI48",
    109: "EUI64", 255: "*", 65281: "WINS", 65282: "WINS-R", 65521: "INTEGRITY",
}  # fmt: skip
CLASS_NAMES: Final = {1: "C_INTERNET", 2: "C_CSNET", 3: "C_CHAOS", 4: "C_HESOD", 254: "C_NONE", 255: "C_ANY"}
RCODE_NAMES: Final = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSet", 9: "NOTAUTH", 10: "NOTZONE", 11: "unassigned-11", 12: "unassigned-12", 13: "unassigned-13",
    14: "unassigned-14", 15: "unassigned-15",
}  # fmt: skip
OPCODE_NAMES: Final = {
    0: "query", 1: "iquery", 2: "server-status", 3: "unassigned-3", 4: "notify", 5: "dynamic-update",
    6: "dns-stateful-operations",
}  # fmt: skip
DNAME, LOC, NSEC, DS, RRSIG, DNSKEY, NSEC3, NSEC3PARAM, SPF, CAA = (
    39,
    29,
    47,
    43,
    46,
    48,
    50,
    51,
    99,
    257,
)  # IANA, RR TYPEs
NAME_TYPES: Final = frozenset((CNAME, NS, PTR, SOA, DNAME))
SILENT: Final = frozenset((11, 41, 250))  # WKS, OPT, TSIG: Zeek has no text for them


class DnsRow(Row):
    """A line of dns.log."""

    proto: str
    trans_id: int
    rtt: Interval | None
    query: str | None
    qclass: int | None
    qclass_name: str | None
    qtype: int | None
    qtype_name: str | None
    rcode: int | None
    rcode_name: str | None
    AA: bool
    TC: bool
    RD: bool
    RA: bool
    Z: int
    answers: list[str] | None
    TTLs: list[Interval] | None
    rejected: bool
    opcode: int
    opcode_name: str


class Pending:
    """A row that is being made."""

    __slots__ = (
        "aa", "answers", "id", "opcode", "qclass", "qtype", "query", "ra", "rcode", "rd", "rejected", "rtt", "tc", "ts_us",
        "ttls", "type_name", "z",
    )  # fmt: skip

    def __init__(self, ts_us: int, ident: int, flags: int) -> None:
        self.ts_us, self.id, self.opcode = ts_us, ident, (flags >> 11) & 15
        self.query: str | None = None
        self.qclass: int | None = None
        self.qtype: int | None = None
        self.type_name: str | None = None
        self.rcode: int | None = None
        self.rtt: Interval | None = None
        self.aa = self.tc = self.rd = self.ra = self.rejected = False
        self.z = 0
        self.answers: list[str] | None = None
        self.ttls: list[Interval] | None = None


def _names_text(message: Message, resource: Resource) -> str:
    """Text of the DNSSEC and other rare types."""
    data, at, end, rrtype = message.data, resource.at, resource.end, resource.rrtype
    size = end - at
    if rrtype in (TXT, SPF):
        kind = "TXT" if rrtype == TXT else "SPF"
        return " ".join(f"{kind} {len(part)} {_raw(part)}" for part in strings(data, at, end))
    if rrtype == DNSKEY and size >= 4:
        return f"DNSKEY {data[at + 3]}"
    if rrtype == RRSIG and size >= 19:
        covered = struct.unpack_from("!H", data, at)[0]
        return f"RRSIG {covered} {message.name(at + 18).lower() or '<Root>'}"
    if rrtype == NSEC and size:
        return f"NSEC {message.name(at).lower()}"
    if rrtype == DS and size >= 4:
        return f"DS {data[at + 2]} {data[at + 3]}"
    if rrtype == SSHFP and size > 2:
        return f"SSHFP: {data[at + 2 : end].hex()}"
    if rrtype == LOC and size >= 4:
        return f"LOC:  {data[at + 1]} {data[at + 2]} {data[at + 3]}"
    if rrtype == CAA and size >= 2:
        split = min(end, at + 2 + data[at + 1])
        return f"CAA {data[at]} {_raw(data[at + 2 : split])} {_raw(data[split:end])}"
    if rrtype in (NSEC3, NSEC3PARAM):
        return ZEEK_TYPE_NAMES[rrtype]
    return "" if rrtype in SILENT else f"<unknown type={rrtype}>"


def _raw(data: bytes) -> str:
    """Bytes as a Zeek string: what is no UTF-8 is kept as surrogates, which the writer escapes."""
    return data.decode("utf-8", "surrogateescape")


def answer_text(message: Message, resource: Resource) -> str:
    """A record as Zeek's ``answers`` shows it, "" where it shows none."""
    rrtype, at, end = resource.rrtype, resource.at, resource.end
    if rrtype == A and end - at == 4:
        return ipv4_text(message.data[at:end])
    if rrtype == AAAA and end - at == 16:
        return ipv6_text(message.data[at:end])
    try:
        if rrtype in NAME_TYPES:
            return message.name(at).lower()
        if rrtype == MX:
            return message.name(at + 2).lower()
        if rrtype == SRV:
            return message.name(at + 6).lower()
        return _names_text(message, resource)
    except DnsError:
        return ""


class DnsRows:
    """The rows of one flow. ``paired``: False for multicast, where each message is a row."""

    def __init__(self, conv: Conversation, paired: bool = True, netbios: bool = False) -> None:
        self._conv = conv
        self._paired = paired
        self._netbios = netbios
        self._waiting: dict[int, list[Pending]] = {}
        self._waiting_count = 0

    def message(self, message: Message, query: str | None = None) -> None:
        """Take a message in; ``query`` is its name where it is not the first question's."""
        now = self._conv.ts_us
        flags = message.flags
        response = flags & 0x8000
        pending = self._matching(message.id) if response else None
        if pending is None:
            pending = Pending(now, message.id, flags)
        if response:
            pending.rcode = flags & 15
            self._reply(message, pending, now)
        elif message.questions:
            self._question(message, pending, query)
        if response or not self._paired:
            self._write(pending)
            return
        if self._waiting_count >= PENDING_MAX:
            self.finish()
        self._waiting.setdefault(message.id, []).append(pending)
        self._waiting_count += 1

    def finish(self) -> None:
        """Write what was never answered."""
        for queue in self._waiting.values():
            for pending in queue:
                self._write(pending)
        self._waiting.clear()
        self._waiting_count = 0

    def _matching(self, ident: int) -> Pending | None:
        queue = self._waiting.get(ident)
        if not queue:
            return None
        self._waiting_count -= 1
        found = queue.pop(0)
        if not queue:
            del self._waiting[ident]
        return found

    def _question(self, message: Message, pending: Pending, query: str | None) -> None:
        question = message.questions[0]
        flags = message.flags
        pending.rd, pending.tc = (flags & 0x0100) != 0, (flags & 0x0200) != 0
        pending.z = (flags >> 4) & 7
        pending.qclass, pending.qtype = question.rrclass, question.rrtype
        pending.type_name = ZEEK_TYPE_NAMES.get(question.rrtype) or f"query-{question.rrtype}"
        if self._netbios and question.rrtype == SRV:
            pending.type_name = "NBSTAT"  # RFC 1002, section 4.2.1.2: the number that SRV got later
        pending.query = (query if query is not None else question.name).lower()

    def _reply(self, message: Message, pending: Pending, now: int) -> None:
        flags = message.flags
        if message.answers:
            pending.aa, pending.ra = (flags & 0x0400) != 0, (flags & 0x0080) != 0
            if now > pending.ts_us and pending.rtt is None:
                pending.rtt = Interval((now - pending.ts_us) / 1_000_000)
            if pending.query is None:
                pending.query = message.answers[0].name.lower()
            for resource in message.answers:
                said = answer_text(message, resource)
                if said:
                    if pending.answers is None or pending.ttls is None:
                        pending.answers, pending.ttls = [], []
                    pending.answers.append(said)
                    pending.ttls.append(Interval(float(resource.ttl)))
        if message.questions:
            nothing = not (message.answers or message.authorities or message.additionals)
            pending.rejected = nothing and (flags & 15) != 0
        else:
            pending.rejected = (flags & 15) != 0 and not message.answers

    def _write(self, row: Pending) -> None:
        qclass, rcode = row.qclass, row.rcode
        self._conv.row(
            DnsRow(
                self._conv.transport, row.id, row.rtt, row.query, qclass,
                None if qclass is None else CLASS_NAMES.get(qclass) or f"qclass-{qclass}", row.qtype, row.type_name, rcode,
                None if rcode is None else RCODE_NAMES.get(rcode) or f"rcode-{rcode}", row.aa, row.tc, row.rd, row.ra, row.z,
                row.answers, row.ttls, row.rejected, row.opcode,
                OPCODE_NAMES.get(row.opcode) or f"opcode-{row.opcode}",
            ),
            row.ts_us,
        )  # fmt: skip
