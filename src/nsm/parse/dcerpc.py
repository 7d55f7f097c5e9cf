"""DCE/RPC over TCP (version 5) and UDP (version 4): one event per call. C706, chapter 12; [MS-RPCE].

What calls mean and how they are paired over TCP is in ``wire.dcerpc``, which named pipes of SMB use too.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.protocol import Conversation, Match, ProtocolSpec, Side
from nsm.wire.dcerpc import HEAD_BYTES, TYPES, Association, Dcerpc, Fragments, uuid_text

UDP_HEAD_BYTES: Final = 80  # C706, section 12.5.1
UDP_CALLS_MAX: Final = 64  # ours: open calls of a flow of datagrams
# IEC 61158-6-10: interfaces DEA0000x-6C97-11D1-8271-..., as they are from their second field on
PROFINET_LITTLE: Final = b"\x97\x6c\xd1\x11\x82\x71\x00\xa0\x24\x42\xdf\x7d"
PROFINET_BIG: Final = b"\x6c\x97\x11\xd1\x82\x71\x00\xa0\x24\x42\xdf\x7d"
_UDP_REQUEST: Final = 0
_UDP_RESPONSE: Final = 2


def probe(data: bytes, side: Side, port: bool) -> Match:
    """The common head: version, type, flags, data representation."""
    if data[:1] == b"\4" and len(data) >= UDP_HEAD_BYTES:
        known = data[1] <= 10 and data[4] & 0xEE == 0 and data[5] <= 3
        size = int.from_bytes(data[74:76], "little" if data[4] & 0x10 else "big")
        return Match.YES if known and UDP_HEAD_BYTES + size <= len(data) else Match.NO
    if not b"\5\0".startswith(data[:2]) and not b"\5\1".startswith(data[:2]):
        return Match.NO
    if len(data) < HEAD_BYTES:
        return Match.MORE
    size = int.from_bytes(data[8:10], "little" if data[4] & 0x10 else "big")
    if data[2] not in TYPES or data[4] not in {0x10, 0x00} or data[5] > 3 or data[6:8] != b"\0\0" or size < HEAD_BYTES:
        return Match.NO
    return Match.YES


class DcerpcParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        self._udp = conv.transport == "udp"
        self._association = Association(conv)
        self._calls: dict[tuple[str, int], Dcerpc] = {}

    def feed(self, side: Side, data: bytes) -> int:
        """Read whole PDUs, or one datagram."""
        if self._udp:
            self._datagram(side, data)
            return len(data)
        at, end = 0, len(data)
        while at + HEAD_BYTES <= end:
            size = Association.size_of(data, at)
            if at + size > end:
                break
            self._emit(self._association.pdu(side, data[at : at + size]))
            at += size
        return at

    def _emit(self, call: Dcerpc | None) -> None:
        if call is not None and self._conv.wants("dcerpc"):
            self._conv.emit("dcerpc", {"dcerpc": call})

    def _datagram(self, side: Side, data: bytes) -> None:
        """C706, section 12.5: the activity and its sequence number name a call."""
        if len(data) < UDP_HEAD_BYTES or data[0] != 4:
            raise MalformedError("malformed_data")
        little = bool(data[4] & 0x10)
        activity = uuid_text(data[40:56])
        if data[28:40] == (PROFINET_LITTLE if little else PROFINET_BIG):
            self._conv.label("profinet-io")
        number = int.from_bytes(data[64:68], "little" if little else "big")
        size = int.from_bytes(data[74:76], "little" if little else "big")
        part = Fragments(frag_cnt=1, stub_data_size=size)
        if data[1] == _UDP_REQUEST:
            opnum = int.from_bytes(data[68:70], "little" if little else "big")
            if len(self._calls) >= UDP_CALLS_MAX:
                self._emit(self._calls.pop(next(iter(self._calls))))
            self._calls[activity, number] = Dcerpc(
                request="REQUEST", rpc_version="4.0", activityuuid=activity, seqnum=number,
                req=Fragments(frag_cnt=1, stub_data_size=size, opnum=opnum),
            )  # fmt: skip
        elif data[1] == _UDP_RESPONSE:
            call = self._calls.pop((activity, number), None)
            self._emit(
                Dcerpc(
                    request="REQUEST" if call is not None else "REQUEST_LOST", response="RESPONSE", rpc_version="4.0",
                    activityuuid=activity, seqnum=number, req=call.req if call is not None else None, res=part,
                )
            )  # fmt: skip

    def gap(self, side: Side, size: int) -> bool:
        """Where the next PDU begins cannot be known."""
        return False

    def finish(self) -> None:
        """Say the calls that got no answer."""
        for call in (*self._calls.values(), *self._association.rest()):
            self._emit(call)
        self._calls.clear()


SPEC: Final = ProtocolSpec(
    name="dcerpc",
    transports=("tcp", "udp"),
    ports=(135, 593),
    probe=probe,
    first=b"\x04\x05",
    parser=DcerpcParser,
    service="dce_rpc",
    kinds=("dcerpc",),
    weight=3,
)
