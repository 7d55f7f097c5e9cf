"""Records of a capture file from a batch: the inverse of ``index``; tests/capture/test_writing.py reads them back.

Written are little-endian pcap with nanoseconds (draft-ietf-opsawg-pcap) and pcapng enhanced packet blocks
(draft-ietf-opsawg-pcapng, section 4.3) of one interface whose time unit is the nanosecond.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.constants import LINK_ETHERNET
from nsm.kernels.jit import get, inline, kernel, put

PCAP, PCAPNG = 0, 1
BYTES, WHY = 0, 1  # positions in ``state``
ALL, ROOM, TIME = 0, 1, 2  # values of state[WHY]
TAG_AT: Final = 12  # bytes of hardware addresses before the place of an 802.1Q tag


@inline
def _put32(out, at, value):
    put(out, at, np.uint8(value & 0xFF))
    put(out, at + 1, np.uint8((value >> 8) & 0xFF))
    put(out, at + 2, np.uint8((value >> 16) & 0xFF))
    put(out, at + 3, np.uint8((value >> 24) & 0xFF))


@inline
def _copy(data, source, out, at, count):
    for k in range(count):
        put(out, at + k, get(data, source + k))


@kernel
def pack(data, ts_ns, offset, caplen, wirelen, links, vlan, first, count, form, snaplen, until, room, out, state):
    """Write packets first..count-1 as records to ``out``; return the first packet that was not written.

    A tag that the kernel took out of an Ethernet frame is put back.

    In:  columns of PacketBatch; form i64: PCAP | PCAPNG; snaplen i64: bytes kept of a frame;
         until i64: ns, a packet of this time or later is not written; room i64: bytes that may be written
    Out: out u8[room + 4]: a tag that the snaplen cuts is written whole first;
         state i64[2]: bytes written, why it ended: ALL | ROOM | TIME
    """
    at = np.int64(0)
    why = np.int64(ALL)
    number = first
    while number < count:
        ts = get(ts_ns, number)
        if ts >= until:
            why = np.int64(TIME)
            break
        source, size = get(offset, number), np.int64(get(caplen, number))
        tag = np.int64(get(vlan, number))
        tagged = tag != 0 and size >= TAG_AT and np.int64(get(links, number)) == LINK_ETHERNET
        total = size + 4 if tagged else size
        kept = total if total < snaplen else snaplen
        padding = (4 - kept % 4) % 4 if form == PCAPNG else np.int64(0)
        record = (32 if form == PCAPNG else 16) + kept + padding
        if at + record > room:
            why = np.int64(ROOM)
            break
        if form == PCAPNG:
            _put32(out, at, 6)
            _put32(out, at + 4, record)
            _put32(out, at + 8, 0)
            _put32(out, at + 12, (ts >> 32) & 0xFFFFFFFF)
            _put32(out, at + 16, ts & 0xFFFFFFFF)
            head = np.int64(20)
        else:
            _put32(out, at, (ts // 1_000_000_000) & 0xFFFFFFFF)
            _put32(out, at + 4, ts % 1_000_000_000)
            head = np.int64(8)
        _put32(out, at + head, kept)
        _put32(out, at + head + 4, np.int64(get(wirelen, number)))
        body = at + head + 8
        if tagged and kept >= TAG_AT + 4:
            _copy(data, source, out, body, TAG_AT)
            _put32(out, body + TAG_AT, 0x0081 | (tag & 0x0F00) << 8 | (tag & 0xFF) << 24)
            _copy(data, source + TAG_AT, out, body + TAG_AT + 4, kept - TAG_AT - 4)
        elif tagged and kept > TAG_AT:
            _copy(data, source, out, body, TAG_AT)
            _put32(out, body + TAG_AT, 0x0081 | (tag & 0x0F00) << 8 | (tag & 0xFF) << 24)
        else:
            _copy(data, source, out, body, kept)
        if form == PCAPNG:
            for k in range(padding):
                put(out, body + kept + k, np.uint8(0))
            _put32(out, at + record - 4, record)
        at += record
        number += 1
    put(state, BYTES, at)
    put(state, WHY, why)
    return number
