"""NTP: one ``ntp`` event and one row of ntp.log a message. RFC 5905, section 7.3; control messages: RFC 9327.

Control (mode 6) and private (mode 7) messages are recognised; they have no time stamps and no row.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from nsm.model.protocol import Conversation, Interval, Match, ProtocolSpec, Record, Row, Side, Time
from nsm.wire.dns_message import ipv4_text

MESSAGE: Final = Struct("!BBbbII4sQQQQ")  # RFC 5905, figure 8
CONTROL_BYTES_MIN: Final = 8  # RFC 9327, section 2; private requests have as many
TO_UNIX_S: Final = 2_208_988_800  # RFC 5905, section 6: from 1900 to 1970
MAC_BYTES: Final = (0, 4, 20, 24)  # RFC 7822, section 3: what may stand behind extensions as authentication
EXTENSIONS_MAX: Final = 64  # ours


class Ntp(Record):
    """A message."""

    version: int
    mode: int
    stratum: int
    reference_id: str


class NtpRow(Row):
    """A line of ntp.log."""

    version: int
    mode: int
    stratum: int
    poll: Interval
    precision: Interval
    root_delay: Interval
    root_disp: Interval
    ref_id: str
    ref_time: Time
    org_time: Time
    rec_time: Time
    xmt_time: Time
    num_exts: int


def _time(stamp: int) -> Time:
    """Seconds since 1970 of a 32.32 stamp; zero stays zero."""
    return Time((stamp >> 32) - TO_UNIX_S + (stamp & 0xFFFFFFFF) / 4294967296) if stamp else Time(0.0)


def extensions(data: bytes) -> int:
    """How many extension fields stand behind the message, RFC 7822, section 3."""
    at = MESSAGE.size
    count = 0
    while len(data) - at not in MAC_BYTES and len(data) - at >= 16 and count < EXTENSIONS_MAX:
        size = data[at + 2] << 8 | data[at + 3]
        if size < 16 or size > len(data) - at:
            break
        at += size
        count += 1
    return count


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A plausible first byte and size, on the port."""
    if not port or len(data) < CONTROL_BYTES_MIN:
        return Match.NO
    version, mode = (data[0] >> 3) & 7, data[0] & 7
    if mode >= 6:
        return Match.YES if 1 <= version <= 4 else Match.NO
    return Match.YES if 1 <= version <= 4 and mode and len(data) >= MESSAGE.size and data[1] <= 16 else Match.NO


class NtpParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._events = conv.wants("ntp")

    def feed(self, side: Side, data: bytes) -> int:
        """Read one message."""
        conv = self._conv
        mode = data[0] & 7 if data else 0
        if mode >= 6:
            return len(data)
        if len(data) < MESSAGE.size:
            conv.anomaly("malformed_data", side=side)
            return len(data)
        first, stratum, poll, precision, delay, dispersion, ident, reference, origin, received, sent = (
            MESSAGE.unpack_from(data)
        )
        version = (first >> 3) & 7
        if self._events:
            conv.emit("ntp", {"ntp": Ntp(version, mode, stratum, ident.hex(":"))}, sender=side)
        if conv.rows:
            named = stratum > 1 and version >= 3
            conv.row(
                NtpRow(
                    version,
                    mode,
                    stratum,
                    Interval(2.0**poll),
                    Interval(2.0**precision),
                    Interval(delay / 65536),
                    Interval(dispersion / 65536),
                    ipv4_text(ident) if named else ident.decode("utf-8", "surrogateescape"),
                    _time(reference),
                    _time(origin),
                    _time(received),
                    _time(sent),
                    extensions(data),
                )
            )
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """Datagrams have none."""
        return False

    def finish(self) -> None:
        """Nothing is open."""


SPEC: Final = ProtocolSpec(
    name="ntp",
    transports=("udp",),
    ports=(123,),
    probe=probe,
    on_port=True,
    parser=NtpParser,
    service="ntp",
    kinds=("ntp",),
)
