"""What decoding saw besides flows: malformed packets, large ones, odd fragments, and ARP. All of it is rare, so NumPy does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from nsm.decode.rows import DecodedRows
from nsm.kernels.decode import ARP_ROW, K1, OTHER
from nsm.kernels.decode import FLOW as FLOW_ROW
from nsm.kernels.layers import FRAGMENT, LARGE
from nsm.model.address import V4_PREFIX
from nsm.model.batch import PacketBatch
from nsm.model.table import Array, Rows
from nsm.model.traffic import ANOMALY, ARP, FRAGMENT_TOO_LARGE, LARGE_PACKET, TINY_FRAGMENT

# Name of each bit of ``bads``: Suricata's decoder events.
NAMES: Final = (
    "decoder.ethernet.pkt_too_small", "decoder.vlan.header_too_small", "decoder.mpls.header_too_small",
    "decoder.ppp.pkt_too_small", "decoder.pppoe.pkt_too_small", "decoder.sll.pkt_too_small",
    "decoder.ltnull.pkt_too_small", "decoder.ieee80211.pkt_too_small", "decoder.ipv4.pkt_too_small",
    "decoder.ipv4.wrong_ip_version", "decoder.ipv4.hlen_too_small", "decoder.ipv4.iplen_smaller_than_hlen",
    "decoder.ipv4.trunc_pkt", "decoder.ipv6.pkt_too_small", "decoder.ipv6.wrong_ip_version", "decoder.ipv6.trunc_pkt",
    "decoder.ipv6.trunc_exthdr", "decoder.tcp.pkt_too_small", "decoder.tcp.hlen_too_small", "decoder.udp.pkt_too_small",
    "decoder.udp.len_invalid", "decoder.icmpv4.pkt_too_small", "decoder.icmpv6.pkt_too_small",
    "decoder.sctp.pkt_too_small", "decoder.gre.pkt_too_small", "decoder.gre.wrong_version",
    "decoder.tunnel.pkt_too_small", "decoder.too_many_layers", "decoder.ipv4.csum_invalid", "decoder.l4.csum_invalid",
)  # fmt: skip
ICMP_TYPE, ICMP_CODE = "decoder.icmpv4.unknown_type", "decoder.icmpv4.unknown_code"
# Type -> highest code (RFC 792, RFC 950, RFC 1256; IANA's codes of 3); -1: no type that anybody uses.
ICMP_CODES: Final = np.full(256, -1, np.int16)
ICMP_CODES[[0, 4, 8, 10, 13, 14, 15, 16, 17, 18]] = 0
ICMP_CODES[[3, 5, 9, 11, 12]] = (15, 3, 16, 1, 2)
ANOMALY_BITS: Final = (1 << len(NAMES)) - 1
TINY_FRAGMENT_BYTES: Final = 256  # RFC 1858, section 3: a first fragment must hold the transport header; ours, generous
EVENTS_PER_SECOND_MAX: Final = 100  # of one name; the rest of that second is counted in SECOND rows


class RateLimit:
    """At most so many of one name in one second of packet time; the same choice for any split of the packets."""

    def __init__(self, per_second: int = EVENTS_PER_SECOND_MAX) -> None:
        self._per_second = per_second
        self._seen: dict[tuple[str, int], int] = {}
        self.dropped = 0

    def allows(self, name: str, second: int) -> bool:
        """Count one; False when there were enough."""
        if len(self._seen) > 10_000:
            self._seen.clear()
        count = self._seen.get((name, second), 0) + 1
        self._seen[name, second] = count
        self.dropped += count > self._per_second
        return count <= self._per_second


def odd_icmp(batch: PacketBatch, rows: DecodedRows) -> dict[int, str]:
    """Row -> event of each ICMP message of a type or code that RFC 792, 950 and 1256 do not have."""
    count = rows.count
    mask = ((rows.key[:count] >> np.uint64(32)) & np.uint64(0xFF) == 1) & (rows.kinds[:count] == FLOW_ROW)
    index = np.flatnonzero(mask & (rows.bads[:count] & (ANOMALY_BITS | FRAGMENT) == 0))
    if not len(index):
        return {}
    packet = rows.pkt[index]
    start = batch.offset[packet] + rows.l3s[index]
    at = start + (batch.data[start] & 15).astype(np.int64) * 4
    fits = (batch.data[start] >> 4 == 4) & (at + 1 < batch.offset[packet] + batch.caplen[packet])
    index, at = index[fits], at[fits]
    kinds, codes = batch.data[at], batch.data[at + 1]
    odd = codes > ICMP_CODES[kinds]
    return {
        row: ICMP_CODE if ICMP_CODES[kind] >= 0 else ICMP_TYPE
        for row, kind in zip(index[odd].tolist(), kinds[odd].tolist(), strict=True)
    }


def event_names(
    batch: PacketBatch, rows: DecodedRows, index: Array, icmp: Mapping[int, str]
) -> list[tuple[int, str, int]]:
    """(row, name, value) of every event of the rows ``index``, in order."""
    found: list[tuple[int, str, int]] = []
    for row, bad in zip(index.tolist(), rows.bads[index].tolist(), strict=True):
        size = int(rows.plens[row])
        found.extend((row, name, size) for bit, name in enumerate(NAMES) if bad >> bit & 1)
        if row in icmp:
            found.append((row, icmp[row], size))
        if bad & LARGE:
            found.append((row, LARGE_PACKET, size))
        if bad & FRAGMENT and int(rows.key[row]) >> 56 == 4:
            at = int(batch.offset[rows.pkt[row]]) + int(rows.l3s[row]) + 6
            field = int(batch.data[at]) << 8 | int(batch.data[at + 1])
            if (field & 0x1FFF) * 8 + size > 65_535:
                found.append((row, FRAGMENT_TOO_LARGE, size))
            elif field & 0x2000 and int(rows.iplens[row]) < TINY_FRAGMENT_BYTES:
                found.append((row, TINY_FRAGMENT, size))
    return found


def parts_of(rows: DecodedRows, index: Array) -> Array:
    """int64: the part of each row's flow, as ``part_of`` of nsm.kernels.table says it in the flow kernel."""
    mixed = rows.a_lo[index]
    for column in (rows.b_lo, rows.key):
        mixed = (mixed ^ column[index]) * K1
        mixed ^= mixed >> np.uint64(32)
    return (mixed >> np.uint64(61)).astype(np.int64)


def anomaly_rows(
    batch: PacketBatch, rows: DecodedRows, shard: int, shards: int, limit: RateLimit
) -> tuple[Rows, Array] | None:
    """(ANOMALY rows, their records in the flow table) of this share of the batch's rows; None when nothing is odd."""
    icmp = odd_icmp(batch, rows)
    index = np.flatnonzero(rows.bads[: rows.count])
    if icmp:
        index = np.union1d(index, np.fromiter(icmp, np.int64, len(icmp)))
    if not len(index):
        return None
    seconds = batch.ts_ns[rows.pkt[index]] // 1_000_000_000
    second_of = dict(zip(index.tolist(), seconds.tolist(), strict=True))
    kept = [item for item in event_names(batch, rows, index, icmp) if limit.allows(item[1], second_of[item[0]])]
    if shards > 1:  # only now: every worker has to see the limit reached at the same event
        mine = dict(zip(index.tolist(), (parts_of(rows, index) % shards == shard).tolist(), strict=True))
        kept = [item for item in kept if mine[item[0]]]
    if not kept:
        return None
    at = np.array([item[0] for item in kept], np.int64)
    packet = rows.pkt[at]
    flip = rows.direction[at] == 1
    key = rows.key[at]
    low, high = (
        (key & np.uint64(0xFFFF)).astype(np.uint16),
        ((key >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.uint16),
    )
    made = Rows(ANOMALY, {
        "ts": batch.ts_ns[packet] // 1000,
        "event": np.array([item[1] for item in kept], object),
        "packet": packet.astype(np.uint64) + np.uint64(batch.first_number),
        "iface": batch.ifaces[packet],
        "vlan": ((key >> np.uint64(40)) & np.uint64(0xFFF)).astype(np.uint16),
        "ip_v": np.where(rows.kinds[at] == OTHER, (rows.b_lo[at] != 0) | (rows.b_hi[at] != 0), True)
        * (key >> np.uint64(56)).astype(np.uint8),
        "src_hi": np.where(flip, rows.b_hi[at], rows.a_hi[at]),
        "src_lo": np.where(flip, rows.b_lo[at], rows.a_lo[at]),
        "dst_hi": np.where(flip, rows.a_hi[at], rows.b_hi[at]),
        "dst_lo": np.where(flip, rows.a_lo[at], rows.b_lo[at]),
        "src_port": np.where(flip, low, high),
        "dst_port": np.where(flip, high, low),
        "proto": ((key >> np.uint64(32)) & np.uint64(0xFF)).astype(np.uint8),
        "value": np.array([item[2] for item in kept], np.uint32),
    }, len(kept))  # fmt: skip
    return made, rows.flow[at]


def arp_rows(batch: PacketBatch, rows: DecodedRows, shard: int, shards: int) -> Rows | None:
    """ARP rows of the batch (RFC 826; Ethernet and IPv4 addresses alone); the first worker takes them all."""
    if shard:
        return None
    index = np.flatnonzero(rows.kinds[: rows.count] == ARP_ROW)
    if not len(index):
        return None
    packet = rows.pkt[index]
    at = batch.offset[packet] + rows.l3s[index]
    fits = rows.l3s[index].astype(np.int64) + 28 <= batch.caplen[packet]
    at, packet = at[fits], packet[fits]
    body = batch.data[at[:, None] + np.arange(28)].astype(np.uint64)
    plain = (body[:, 4] == 6) & (body[:, 5] == 4)
    body, packet = body[plain], packet[plain]
    if not len(packet):
        return None
    return Rows(ARP, {
        "ts": batch.ts_ns[packet] // 1000,
        "opcode": _number(body, 6, 8).astype(np.uint16),
        "src_mac": _number(body, 8, 14),
        "dst_mac": _number(body, 18, 24),
        "src_lo": _number(body, 14, 18) | np.uint64(V4_PREFIX),
        "dst_lo": _number(body, 24, 28) | np.uint64(V4_PREFIX),
        "iface": batch.ifaces[packet],
        "vlan": batch.vlan[packet] & np.uint16(0xFFF),
    }, len(packet))  # fmt: skip


def _number(body: Array, start: int, stop: int) -> Array:
    """Big-endian number of the columns start to stop."""
    value = np.zeros(len(body), np.uint64)
    for column in range(start, stop):
        value = value << np.uint64(8) | body[:, column]
    return value
