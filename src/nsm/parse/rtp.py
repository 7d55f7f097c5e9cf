"""RTP and RTCP, recognised: there is no magic, so a second packet has to bear out what the first looks like. RFC 3550, RFC 3551.

EVE and Zeek write nothing of them.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.signature import UDP, be16, part, signature

HEADER_BYTES: Final = 12  # RFC 3550, section 5.1
FRAME_BYTES: Final = 2  # RFC 4571, section 2
CONTRIBUTORS_MAX: Final = 2  # ours: mixers of more are rare
SEQUENCE_STEP_MAX: Final = 100  # RFC 3550, appendix A.1: MAX_MISORDER
# RFC 3551, section 6: the types that have a meaning.
PAYLOAD_TYPES: Final = frozenset(
    (0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 18, 26, 31, 32, 33, 34, *range(96, 128))
)
G711: Final = (0, 8)
G711_STEP: Final = 40  # RFC 3551, section 4.5.14: 8 bytes a millisecond; packets are 5 ms or a multiple of that
# Sender, receiver, feedback (RFC 4585), extended report (RFC 3611) -> least bytes.
REPORTS: Final = {200: 28, 201: 8, 205: 12, 206: 12, 207: 8}
OTHERS_END: Final = 80  # RFC 9443, section 3: STUN, ZRTP, DTLS and TURN begin with less
REPORT_BYTES_MAX: Final = 256  # ours


def _rtcp(data: bytes, port: bool) -> bool:
    """RFC 3550, section 6.4: a report comes first, as long as its count says or longer, and none of it is padding."""
    size = be16(data, 2) * 4 + 4
    if data[0] & 0xE0 != 0x80 or data[1] not in REPORTS or not 8 <= size <= min(len(data), REPORT_BYTES_MAX):
        return False
    return size >= REPORTS[data[1]] + (24 * (data[0] & 0x1F) if data[1] <= 201 else 0)


def is_rtp(data: bytes) -> bool:
    """Section 5.1: a version, few contributors, a payload type that is known, an extension and padding that fit."""
    if len(data) < HEADER_BYTES + 8 or data[0] & 0xC0 != 0x80 or data[1] & 0x7F not in PAYLOAD_TYPES:
        return False
    contributors = data[0] & 0x0F
    if data[4:12] == data[12:20] or contributors > CONTRIBUTORS_MAX:
        return False
    end = HEADER_BYTES + 4 * contributors
    if contributors and not any(data[12:16]):
        return False
    if data[0] & 0x10:
        end += 4 + 4 * be16(data, end + 2)
    if end > len(data) or (data[0] & 0x20 and not 0 < data[-1] <= len(data) - end):
        return False
    return data[1] & 0x7F not in G711 or (len(data) - end) % G711_STEP == 0


def follows(one: bytes, other: bytes) -> bool:
    """Is the other packet of the same source, and about the next?"""
    step = (be16(other, 2) - be16(one, 2)) & 0xFFFF
    if len(other) < HEADER_BYTES or one[8:12] != other[8:12] or other[0] & 0xC0 != 0x80:
        return False
    return step <= SEQUENCE_STEP_MAX or step >= 0x10000 - SEQUENCE_STEP_MAX


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A datagram that may be RTP; sources choose their numbers at random, so 0 is none."""
    return Match.YES if is_rtp(data) and any(data[8:12]) else Match.NO


class RtpParser:
    """Waits for the second packet of a side; a flow that is none after all is recognised anew."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._first = [b"", b""]

    def feed(self, side: Side, data: bytes) -> int:
        """Compare with the side's first; what is multiplexed with RTP (RFC 7983) is passed over."""
        conv = self._conv
        first = self._first[side]
        if len(data) < HEADER_BYTES or (first and (data[0] < OTHERS_END or 192 <= data[1] <= 223)):
            return len(data)
        if not first:
            self._first[side] = data[:HEADER_BYTES]
        elif follows(first, data):
            conv.done()
        elif not is_rtp(data):
            conv.protocol("")
            conv.switch("")
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return True

    def finish(self) -> None:
        """Nothing is open."""


def probe_framed(data: bytes, side: Side, port: bool) -> Match:
    """Over TCP, behind RFC 4571's length: a whole packet, and where there is more, its successor."""
    head = FRAME_BYTES + be16(data, 0)
    if len(data) < FRAME_BYTES + HEADER_BYTES or head > len(data) or not is_rtp(data[FRAME_BYTES:head]):
        return Match.NO
    if head == len(data):
        return Match.YES
    return Match.YES if follows(data[FRAME_BYTES:head], part(data, head + FRAME_BYTES, HEADER_BYTES)) else Match.NO


SPECS: Final = (
    signature("rtcp", UDP, _rtcp, least=8, weight=-8, first=bytes(range(0x80, 0xC0))),
    ProtocolSpec(
        name="rtp", transports=UDP, ports=(), probe=probe, first=bytes(range(0x80, 0xC0)), parser=RtpParser, weight=-9
    ),
    ProtocolSpec(name="rtp", transports=("tcp",), ports=(), probe=probe_framed, weight=-9),
)
