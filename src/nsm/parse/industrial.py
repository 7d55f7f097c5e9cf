"""Signatures of automation, metering and building control. Sources: the standards named in each line."""

from __future__ import annotations

from typing import Final

from nsm.wire.signature import BOTH, TCP, UDP, be16, be32, le16, le32, part, signature, starts


def _tpkt_data(data: bytes) -> int:
    """Where the user data of the first COTP data unit is, -1 when none came. RFC 1006, section 6; ISO 8073, section 13.7."""
    at = 0
    for _ in range(4):
        if len(data) < at + 7 or data[at] != 3 or data[at + 1]:
            return -1
        if data[at + 5] == 0xF0:
            return at + 5 + data[at + 4]
        at += be16(data, at + 2)
    return -1


def _cotp(data: bytes, mark: int) -> bool:
    at = _tpkt_data(data)
    return 0 <= at < len(data) and data[at] == mark


def _mms(data: bytes, port: bool) -> bool:
    """ISO 9506 in ISO 8327 session units: CONNECT, ACCEPT, or give tokens and data."""
    at = _tpkt_data(data)
    return port and 0 <= at < len(data) and data[at] in {0x0D, 0x0E, 0x01}


def _iec104(data: bytes, port: bool) -> bool:
    """IEC 60870-5-104, section 5: start byte, length of the APDU, control field."""
    return data[0] == 0x68 and 4 <= data[1] <= 253 and (port or data[1] + 2 == len(data)) and (port or data[2] & 3 == 3)


def _opcua(data: bytes, port: bool) -> bool:
    """OPC 10000-6, section 7.1.2."""
    return (
        data[:3] in {b"HEL", b"ACK", b"OPN", b"MSG", b"ERR", b"RHE"}
        and data[3:4] in {b"F", b"C"}
        and le32(data, 4) < 1 << 20
    )


_ENIP: Final = (0x0004, 0x0063, 0x0064, 0x0065, 0x0066, 0x006F, 0x0070)  # ODVA volume 2, table 2-3.2


def _enip(data: bytes, port: bool) -> bool:
    size = le16(data, 2)
    fits = le16(data, 0) in _ENIP and size == len(data) - 24 and le32(data, 20) == 0
    return fits and (port or size > 0) and le32(data, 8) in {0, 1, 2, 3, 0x64, 0x65, 0x69}


def _bacnet(data: bytes, port: bool) -> bool:
    """ASHRAE 135, annex J.2."""
    return data[0] == 0x81 and data[1] <= 0x0C and be16(data, 2) == len(data)


def _coap(data: bytes, port: bool) -> bool:
    """RFC 7252, section 3."""
    return (
        port
        and data[0] >> 6 == 1
        and data[0] & 15 <= 8
        and data[1] >> 5 in {0, 2, 4, 5}
        and len(data) >= 4 + (data[0] & 15)
    )


def _synchrophasor(data: bytes, port: bool) -> bool:
    """IEEE C37.118.2, section 6.2."""
    return (
        data[0] == 0xAA
        and data[1] & 0x80 == 0
        and data[1] >> 4 <= 5
        and data[1] & 15 in {1, 2}
        and be16(data, 2) == len(data)
    )


_SOMEIP_ASK: Final = frozenset(
    (0x00, 0x01, 0x02, 0x20, 0x21, 0x22)
)  # request, no return, notification; 0x20: in segments
_SOMEIP_ANSWER: Final = frozenset((0x80, 0x81, 0xA0, 0xA1))
_SOMEIP_CODES: Final = 0x5E  # the last return code that a service may define


def _someip(data: bytes, port: bool) -> bool:
    """AUTOSAR PRS_SOMEIPProtocol, section 4.1: the length covers what follows, or another message is behind it."""
    end = 8 + be32(data, 4)
    fits = end == len(data) or (end + 16 <= len(data) and data[end + 12] == 1)
    if end < 16 or data[12] != 1 or data[:2] == b"\0\0" or not fits:
        return False
    return (data[14] in _SOMEIP_ASK and data[15] == 0) or (data[14] in _SOMEIP_ANSWER and data[15] <= _SOMEIP_CODES)


def _ads(data: bytes, port: bool) -> bool:
    """Beckhoff AMS/TCP header."""
    return data[:2] == b"\0\0" and le32(data, 2) == len(data) - 6 and len(data) >= 38


def _knx(data: bytes, port: bool) -> bool:
    """EN 50090-6: KNXnet/IP header."""
    return data[:2] == b"\x06\x10" and be16(data, 4) == len(data)


def _hart(data: bytes, port: bool) -> bool:
    """HART-IP header: version 1, message type, message identifier."""
    return port and data[0] == 1 and data[1] <= 3 and data[2] in {0, 1, 2, 3} and be16(data, 6) == len(data)


def _hdlc(data: bytes, port: bool) -> bool:
    """IEC 62056-46, section 6.4.2: flag, frame format 3 with the frame's length, and a flag behind so many bytes; IEC 62056-47."""
    if data[0] == 0x7E and data[1] & 0xF0 == 0xA0:
        end = ((data[1] & 7) << 8 | data[2]) + 1
        return part(data, end, 1) == b"\x7e"
    return port and data.startswith((b"\0\1\0", b"/?"))


def _hislip(data: bytes, port: bool) -> bool:
    """IVI-6.1, section 2.4: "HS", type of message, control code, parameter, length of 64 bits."""
    return data[:2] == b"HS" and data[2] <= 36 and data[8:12] == b"\0\0\0\0"


def _cip_io(data: bytes, port: bool) -> bool:
    """ODVA volume 2, section 2-6: two items, a sequenced address first."""
    return le16(data, 0) == 2 and le16(data, 2) == 0x8002 and le16(data, 4) == 8


SPECS: Final = (
    signature("s7comm", TCP, lambda data, port: _cotp(data, 0x32), 102, least=8, weight=4),
    signature("s7comm-plus", TCP, lambda data, port: _cotp(data, 0x72), 102, least=8, weight=4),
    signature("mms", TCP, _mms, 102, least=8, weight=3),
    signature("iec104", TCP, _iec104, 2404, first=b"\x68"),
    signature("opcua", TCP, _opcua, 4840, least=8, weight=6, first=b"\x41\x45\x48\x4d\x4f\x52"),
    signature("enip", BOTH, _enip, 44818, least=24, weight=2),
    signature("cip", UDP, _cip_io, 2222, least=14),
    signature("bacnet", UDP, _bacnet, 47808, weight=2, first=b"\x81"),
    signature("coap", UDP, _coap, 5683, 61616, on_port=True),
    signature("synchrophasor", BOTH, _synchrophasor, 4712, 4713, least=14, weight=1, first=b"\xaa"),
    signature("someip", BOTH, _someip, 30490, 30491, 30501, least=16),
    signature("ads", TCP, _ads, 48898, least=38, first=b"\x00"),
    signature("knx", BOTH, _knx, 3671, least=6, weight=3, first=b"\x06"),
    signature("hart-ip", BOTH, _hart, 5094, least=8, on_port=True),
    signature("ether-s-bus", UDP, lambda data, port: port and be32(data, 0) == len(data), 5050, least=8, on_port=True),
    signature("ethersio", UDP, starts(b"ESIO"), 6060, weight=4),
    signature("iec62056", BOTH, _hdlc, 4059, least=8, weight=1),
    signature("c1222", BOTH, lambda data, port: port and data[0] == 0x60, 1153, on_port=True),
    signature("hislip", TCP, _hislip, 4880, least=16, weight=1, first=b"\x48"),
)  # fmt: skip
