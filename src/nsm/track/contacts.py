"""Contacts: the first thing known of a flow, as detectors of scans want it. Count failures, not fan-out.

A contact *failed* when nobody answered or the answer was a refusal. What belongs to a conversation that began before the
capture, answers of servers, and group addresses are no contacts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP
from nsm.model.address import text
from nsm.model.flow import MARK_LATE_ANSWER, Outcome, Report
from nsm.model.table import Array, Rows

FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
FLAGS: Final = FIN | SYN | RST | PSH | ACK | URG
NULL_SCAN, FIN_SCAN, XMAS_SCAN, ACK_SCAN, MAIMON_SCAN, WINDOWLESS = 0, FIN, FIN | PSH | URG, ACK, FIN | ACK, SYN | FIN
STEALTH: Final = (NULL_SCAN, FIN_SCAN, XMAS_SCAN, WINDOWLESS, SYN | RST)  # nothing that a TCP stack sends to begin with
QUIET: Final = (ACK_SCAN, MAIMON_SCAN)  # a stack sends these too, so they count only alone and without payload
TRACEROUTE: Final = (33_434, 33_534)  # UDP ports of traceroute(8)
TRACEROUTE_TTL_MAX: Final = 30  # traceroute(8) gives up after so many hops; ordinary senders begin at 64 and more
V4_HIGH: Final = np.uint64(0xFFFF)

Address = tuple[int, int]


class Contact(NamedTuple):
    """One flow's beginning. ``ts`` us: when it was known; ``first`` us: when it began."""

    ts: int
    first: int
    src: Address
    dst: Address
    sport: int
    dport: int
    proto: int
    failed: bool
    refused: bool
    late: bool
    flags: int
    flow_id: int

    @property
    def src_text(self) -> str:
        """The source's address."""
        return text(*self.src)

    @property
    def dst_text(self) -> str:
        """The destination's address."""
        return text(*self.dst)


def group_address(hi: Array, lo: Array, proto: Array) -> Array:
    """bool[n]: multicast (RFC 1112, RFC 4291), broadcast, or of UDP an address that ends in 255."""
    v4 = (hi == 0) & (lo >> np.uint64(32) == V4_HIGH)
    first = (lo >> np.uint64(24)) & np.uint64(0xFF)
    many4 = v4 & ((first >= 224) | ((proto == PROTO_UDP) & (lo & np.uint64(0xFF) == 255)))
    found: Array = many4 | (~v4 & (hi >> np.uint64(56) == 0xFF))
    return found


def failures(rows: Rows) -> tuple[Array, Array]:
    """(contact bool[n], failed bool[n]) of FLOW rows: which rows are contacts, and which of them failed."""
    proto, outcome, flags = rows["proto"], rows["outcome"], rows["tcp_first"] & FLAGS
    opened = (rows["report"] == Report.OPENED) & ~group_address(rows["dst_hi"], rows["dst_lo"], proto)
    bad = (outcome == Outcome.UNANSWERED) | (outcome == Outcome.REFUSED)
    alone = (rows["payload_s"] == 0) & (rows["pkts_s"] <= 2)
    begins = (flags & (SYN | ACK | FIN | RST)) == SYN
    tcp = (proto == PROTO_TCP) & (begins | np.isin(flags, STEALTH) | (np.isin(flags, QUIET) & alone))
    port = rows["dst_port"]
    trace = (port >= TRACEROUTE[0]) & (port <= TRACEROUTE[1]) & (rows["ttl_min_s"] <= TRACEROUTE_TTL_MAX)
    udp = (proto == PROTO_UDP) & ~trace
    icmp = ((proto == PROTO_ICMP) & (rows["src_port"] == 8)) | ((proto == PROTO_ICMPV6) & (rows["src_port"] == 128))
    contact = opened & (tcp | udp | icmp)
    return contact, contact & bad


def contacts(rows: Rows) -> list[Contact]:
    """The contacts among FLOW rows, in their order; made once for all detectors that ask."""
    found: list[Contact] = rows.once("contacts", lambda flows: list(_contacts(flows)))
    return found


def _contacts(rows: Rows) -> Iterator[Contact]:
    contact, failed = failures(rows)
    index = np.flatnonzero(contact)
    if not len(index):
        return
    part = rows.take(index)
    late = (part["marks"] & MARK_LATE_ANSWER) != 0
    columns = [
        part["emit_us"], part["ts"] - part["dur_us"].astype(np.int64), part["src_hi"], part["src_lo"], part["dst_hi"],
        part["dst_lo"], part["src_port"], part["dst_port"], part["proto"], failed[index],
        part["outcome"] == Outcome.REFUSED, late, part["tcp_first"] & FLAGS, part["flow_id"],
    ]  # fmt: skip
    for ts, first, shi, slo, dhi, dlo, sport, dport, proto, bad, refused, was_late, flags, flow_id in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        yield Contact(ts, first, (shi, slo), (dhi, dlo), sport, dport, proto, bad, refused, was_late, flags, flow_id)
