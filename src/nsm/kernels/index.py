"""Where the packets of a block of bytes lie: classic pcap, pcapng, and blocks of a TPACKET_V3 ring.

Each kernel walks one kind of container from ``start`` and fills the columns of a batch until the batch is
full, the bytes end, or something stands in the way; ``state`` says where it stopped and why. Lengths are
never trusted. Twins: tests/kernels/naive.py.

pcap: draft-ietf-opsawg-pcap; pcapng: draft-ietf-opsawg-pcapng; ring: Linux include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.kernels.jit import get, inline, kernel, ld16, ld16le, ld32, ld32le, put

CAPLEN_MAX: Final = 262_144  # libpcap's MAXIMUM_SNAPLEN; longer records are not believed
FRAME_MAX: Final = 65_535  # offsets inside a frame are 16 bits wide

# Positions in ``state`` (int64).
COUNT, NEXT, STATUS, CUT = 0, 1, 2, 3
# Values of state[STATUS].
MORE, FULL, BAD_LENGTH, OTHER_BLOCK, BAD_INTERFACE = 0, 1, 2, 3, 4

NS: Final = 1_000_000_000
# In the year 2255. What int64 holds above it is room for time-outs and the next tick, which are added without a test.
TS_MAX: Final = 9_000_000_000_000_000_000
WORD_MAX: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
BLOCK_PACKET, BLOCK_SIMPLE, BLOCK_ENHANCED = 2, 3, 6  # pcapng block types that carry packets
# Columns of one row of the interface table that index_pcapng reads.
IF_LINK, IF_SNAPLEN, IF_MULTIPLY, IF_DIVIDE, IF_SHIFT, IF_OFFSET, IF_WORDS = 0, 1, 2, 3, 4, 5, 8

# TPACKET_V3 header fields, by offset (struct tpacket3_hdr, sockaddr_ll behind it).
TP_NEXT, TP_SEC, TP_NSEC, TP_SNAPLEN, TP_LEN, TP_STATUS, TP_MAC, TP_VLAN = 0, 4, 8, 12, 16, 20, 24, 32
TP_PKTTYPE = 48 + 10  # sockaddr_ll follows the 48 byte header; sll_pkttype is its byte 10
TP_STATUS_VLAN_VALID, TP_STATUS_SUM_OPEN = 0x10, 0x08  # the latter is TP_STATUS_CSUMNOTREADY
PACKET_OUTGOING = 4


@inline
def _word32(data, at, swapped):
    return np.int64(ld32(data, at)) if swapped else np.int64(ld32le(data, at))


@inline
def _word16(data, at, swapped):
    return np.int64(ld16(data, at)) if swapped else np.int64(ld16le(data, at))


@inline
def _store(i, at, captured, wire, ts, link, iface, tag, ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state):
    if captured > FRAME_MAX:
        captured = np.int64(FRAME_MAX)
        put(state, CUT, get(state, CUT) + 1)
    put(ts_ns, i, ts)
    put(offset, i, at)
    put(caplen, i, np.uint32(captured))
    put(wirelen, i, np.uint32(wire if wire > captured else captured))
    put(links, i, np.uint16(link))
    put(ifaces, i, np.uint8(iface))
    put(vlan, i, np.uint16(tag))


@kernel
def index_pcap(
    data, start, stop, swapped, header_bytes, ns_per_unit, link, limit,
    ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state,
):  # fmt: skip
    """Find the records of a classic pcap in data[start:stop].

    In:  data u8[b]; swapped bool: fields are big-endian; header_bytes 16 or 24; ns_per_unit 1 or 1000;
         link i64; limit i64: rows that may be filled
    Out: ts_ns i64[n], offset i64[n], caplen u32[n], wirelen u32[n], links u16[n], ifaces u8[n], vlan u16[n],
         state i64[4]: rows, first byte not used, MORE | FULL | BAD_LENGTH, frames cut at 65,535 bytes
    """
    n = 0
    at = start
    status = np.int64(FULL)
    while n < limit:
        if at + header_bytes > stop:
            status = np.int64(MORE)
            break
        captured = _word32(data, at + 8, swapped)
        if captured > CAPLEN_MAX:
            status = np.int64(BAD_LENGTH)
            break
        if at + header_bytes + captured > stop:
            status = np.int64(MORE)
            break
        ts = _word32(data, at, swapped) * NS + _word32(data, at + 4, swapped) * ns_per_unit
        wire = _word32(data, at + 12, swapped)
        _store(n, at + header_bytes, captured, wire, ts, link, 0, 0,
               ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state)  # fmt: skip
        at += header_bytes + captured
        n += 1
    put(state, COUNT, np.int64(n))
    put(state, NEXT, at)
    put(state, STATUS, status)


@inline
def _ticks_to_ns(high, low, row, table):
    """Nanoseconds since the epoch of a pcapng time stamp, cut to 0 .. TS_MAX."""
    ticks = (np.uint64(high) << np.uint64(32)) | np.uint64(low)
    base = row * IF_WORDS
    shift = get(table, base + IF_SHIFT)
    if shift > 0:  # units of 2**-shift seconds
        s = np.uint64(shift)
        seconds = ticks >> s
        part = ticks - (seconds << s)
        if shift > 32:
            part >>= np.uint64(shift - 32)
            s = np.uint64(32)
        ns = seconds * np.uint64(NS) + ((part * np.uint64(NS)) >> s)
        if seconds > np.uint64(TS_MAX // NS):
            ns = np.uint64(TS_MAX)
    else:
        multiply = np.uint64(get(table, base + IF_MULTIPLY))
        ns = ticks * multiply // np.uint64(get(table, base + IF_DIVIDE))
        if ticks > WORD_MAX // multiply:  # the product wrapped
            ns = np.uint64(TS_MAX)
    since = np.int64(min(ns, np.uint64(TS_MAX)))
    after = get(table, base + IF_OFFSET) * NS
    if since > TS_MAX - max(after, np.int64(0)):
        return np.int64(TS_MAX)
    result = since + after
    return result if result > 0 else np.int64(0)


@kernel
def index_pcapng(
    data, start, stop, swapped, interfaces, interface_base, table, last_ts, limit,
    ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state,
):  # fmt: skip
    """Find the packet blocks of a pcapng in data[start:stop]; stop before any other block.

    In:  as index_pcap; interfaces i64: interfaces of this section; interface_base i64: number of the first;
         table i64[k * IF_WORDS]: link, snaplen, multiply, divide, shift, offset of each;
         last_ts i64: time of the packet before, for simple packet blocks, which have none
    Out: as index_pcap; status also OTHER_BLOCK (at NEXT stands a block for the caller) and BAD_INTERFACE
         (at NEXT stands a packet block that names an interface without description)
    """
    n = 0
    at = start
    last = np.int64(last_ts)
    last_ts = np.int64(last_ts)
    status = np.int64(FULL)
    while n < limit:
        if at + 12 > stop:
            status = np.int64(MORE)
            break
        kind = _word32(data, at, swapped)
        total = _word32(data, at + 4, swapped)
        if kind not in (BLOCK_ENHANCED, BLOCK_SIMPLE, BLOCK_PACKET):
            status = np.int64(OTHER_BLOCK)
            break
        head = 16 if kind == BLOCK_SIMPLE else 32
        if total < head or total % 4 or total > CAPLEN_MAX + 65_536:
            status = np.int64(BAD_LENGTH)
            break
        if at + total > stop:
            status = np.int64(MORE)
            break
        row = np.int64(0)
        ts = last
        if kind == BLOCK_SIMPLE:
            wire = _word32(data, at + 8, swapped)
            captured = min(wire, total - 16)
            if interfaces > 0 and get(table, IF_SNAPLEN) > 0:
                captured = min(captured, get(table, IF_SNAPLEN))
            payload = at + 12
        else:
            row = _word16(data, at + 8, swapped) if kind == BLOCK_PACKET else _word32(data, at + 8, swapped)
            captured = _word32(data, at + 20, swapped)
            wire = _word32(data, at + 24, swapped)
            payload = at + 28
            if captured > total - 32:
                status = np.int64(BAD_LENGTH)
                break
        if row >= interfaces:
            status = np.int64(BAD_INTERFACE)
            break
        if kind != BLOCK_SIMPLE:
            high, low = _word32(data, at + 12, swapped), _word32(data, at + 16, swapped)
            ts = _ticks_to_ns(high, low, row, table)
        number = interface_base + row
        _store(n, payload, captured, wire, ts, get(table, row * IF_WORDS), number if number < 255 else 255, 0,
               ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state)  # fmt: skip
        last_ts = np.int64(ts)
        at += total
        last = ts
        n += 1
    put(state, COUNT, np.int64(n))
    put(state, NEXT, at)
    put(state, STATUS, status)


@kernel
def index_ring_block(
    data, at, packets, block_stop, link, iface, skip_outgoing, limit,
    ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state,
):  # fmt: skip
    """Find up to ``limit`` frames of a TPACKET_V3 block, from the frame header at ``at``.

    In:  data u8[ring]; packets i64: frames left in the block; block_stop i64: first byte behind it;
         skip_outgoing bool: leave out what this host sent (loopback shows every packet twice)
    Out: as index_pcap; state[NEXT] is the next frame header, state[STATUS] the number of frames left;
         ``vlan`` has the tag that the kernel took out of the frame, identifier + 0x1000, 0 none; its 4 bytes
         count in ``wirelen``, as they were on the wire
    """
    n = 0
    left = packets
    while left > 0 and n < limit:
        if at + 68 > block_stop:
            left = np.int64(0)
            break
        captured = np.int64(ld32le(data, at + TP_SNAPLEN))
        mac = at + np.int64(ld16le(data, at + TP_MAC))
        step = np.int64(ld32le(data, at + TP_NEXT))
        if mac + captured > block_stop:
            left = np.int64(0)
            break
        if not (skip_outgoing and get(data, at + TP_PKTTYPE) == PACKET_OUTGOING):
            ts = np.int64(ld32le(data, at + TP_SEC)) * NS + np.int64(ld32le(data, at + TP_NSEC))
            tag = np.int64(0)
            wire = np.int64(ld32le(data, at + TP_LEN))
            if captured < wire and captured <= FRAME_MAX:  # longer ones are counted where they are stored
                put(state, CUT, get(state, CUT) + 1)
            if np.int64(ld32le(data, at + TP_STATUS)) & TP_STATUS_VLAN_VALID:
                tag = (np.int64(ld32le(data, at + TP_VLAN)) & 0xFFF) + 0x1000
                wire = min(wire + 4, np.int64(0xFFFFFFFF))
            _store(n, mac, captured, wire, ts, link, iface, tag,
                   ts_ns, offset, caplen, wirelen, links, ifaces, vlan, state)  # fmt: skip
            n += 1
        left -= 1
        if step == 0:  # the last, whatever number of frames was promised
            left = np.int64(0)
            break
        at += step
    put(state, COUNT, np.int64(n))
    put(state, NEXT, at)
    put(state, STATUS, left)
