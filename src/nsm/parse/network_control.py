"""Signatures of what networks say among themselves: routing, measurement, time, management, tunnels, voice."""

from __future__ import annotations

from typing import Final

from nsm.wire.signature import BOTH, TCP, UDP, be16, be32, le32, part, signature, starts


def _netflow(data: bytes, port: bool) -> bool:
    """Cisco NetFlow 1, 5, 7 and 9 (RFC 3954, section 5.1), IPFIX (RFC 7011, section 3.1)."""
    version, count = be16(data, 0), be16(data, 2)
    if version == 5:
        return 0 < count <= 30 and len(data) == 24 + 48 * count
    if version == 10:
        return count == len(data)
    if version == 9:
        return 0 < count <= 200 and (port or be16(data, 20) in {0, 1} or be16(data, 20) >= 256)
    return port and version in {1, 7} and 0 < count <= 60


def _sflow(data: bytes, port: bool) -> bool:
    """SFlow version 5, section 5: version, type of the agent's address."""
    return be32(data, 0) in {2, 4, 5} and be32(data, 4) in {1, 2} and (port or be32(data, 0) == 5)


def _gtp(data: bytes, port: bool) -> bool:
    """3GPP TS 29.060, section 6; TS 29.274, section 5.1; TS 32.295, section 6.1."""
    version = data[0] >> 5
    return port and (
        (version == 1 and be16(data, 2) <= len(data) - 8) or (version == 2 and be16(data, 2) <= len(data) - 4)
    )


def _pfcp(data: bytes, port: bool) -> bool:
    """3GPP TS 29.244, section 7.2.2."""
    return port and data[0] >> 5 == 1 and be16(data, 2) == len(data) - 4


def _bfd(data: bytes, port: bool) -> bool:
    """RFC 5880, section 4.1."""
    return port and data[0] >> 5 == 1 and data[3] == len(data)


def _ptp(data: bytes, port: bool) -> bool:
    """IEEE 1588, section 13.3."""
    return port and data[1] & 0x0F in {1, 2} and be16(data, 2) <= len(data)


def _slp(data: bytes, port: bool) -> bool:
    """RFC 2608, section 8."""
    return data[0] in {1, 2} and 1 <= data[1] <= 11 and (
        int.from_bytes(data[2:5], "big") == len(data) if data[0] == 2 else port and be16(data, 2) == len(data)
    )  # fmt: skip


def _nat_pmp(data: bytes, port: bool) -> bool:
    """RFC 6886, section 3; PCP, RFC 6887, section 7."""
    return port and (
        (data[0] == 0 and data[1] & 0x7F <= 2) or (data[0] == 2 and data[1] & 0x7F <= 3 and len(data) >= 24)
    )


def _wsd(data: bytes, port: bool) -> bool:
    """WS-Discovery 1.1: SOAP in UDP."""
    return data.lstrip().startswith((b"<?xml", b"<soap", b"<s:Env", b"<SOAP-ENV")) and (port or b"discovery" in data)


def _hsrp(data: bytes, port: bool) -> bool:
    """RFC 2281, section 5; version 2 in TLVs."""
    return port and ((data[0] == 0 and data[1] <= 3) or data[0] in {1, 2, 3, 4})


def _xdmcp(data: bytes, port: bool) -> bool:
    """XDMCP 1.1, section 4."""
    return data[:2] == b"\0\1" and be16(data, 2) <= 13 and be16(data, 4) == len(data) - 6


def _capwap(data: bytes, port: bool) -> bool:
    """RFC 5415, section 4: preamble of version 0, clear or in DTLS."""
    return port and data[0] in {0, 1}


def _lisp(data: bytes, port: bool) -> bool:
    """RFC 9301, section 5: the type of a control message; RFC 9300, section 5.1: flags of data."""
    return port and (data[0] >> 4 in {1, 2, 3, 4, 5, 6, 7, 8} or data[0] & 0x88 != 0)


_RESET: Final = (0x38, 0x40, 0x50)  # opcodes 7, 8 and 10, key 0
_SESSION_END: Final = 9  # opcode and session identifier
_EARLY: Final = 0x0F000001  # packet number of a first reset that wants early negotiation
_YEAR_2001: Final = 1_000_000_000  # before OpenVPN; no clock that is set says less


def _openvpn_replay(data: bytes, at: int) -> bool:
    """A first packet's number and time, as tls-auth and tls-crypt have them."""
    return (1 <= be32(data, at) <= 16 or be32(data, at) == _EARLY) and be32(data, at + 4) >= _YEAR_2001


def _openvpn_acks(data: bytes, at: int) -> int:
    """Where the acknowledgements and a packet number of 0 behind them end, 0: there are none."""
    if at >= len(data) or data[at] > 4:
        return 0
    end = at + 1 + 4 * data[at] + (8 if data[at] else 0)
    return end + 4 if part(data, end, 4) == b"\0\0\0\0" else 0


def _openvpn_message(data: bytes) -> bool:
    """A hard reset, after OpenVPN's "Network protocol": opcode, session, ..., acknowledgements, packet number 0.

    Between stand, as the keys are: nothing, an HMAC with its packet's number and time (tls-auth), or these and an HMAC (tls-crypt).
    """
    if data[0] not in _RESET or len(data) < 14 or not any(data[1:_SESSION_END]):
        return False
    if _openvpn_acks(data, _SESSION_END) == len(data):
        return True
    if len(data) >= 54 and _openvpn_replay(data, _SESSION_END):
        return True
    return any(  # an HMAC of 16, 20, 32, 48 or 64 bytes
        _openvpn_replay(data, at) and _openvpn_acks(data, at + 8) == len(data) for at in (25, 29, 41, 57, 73)
    )


def _openvpn_udp(data: bytes, port: bool) -> bool:
    return _openvpn_message(data) or (port and data[0] >> 3 in range(1, 12))


def _openvpn_tcp(data: bytes, port: bool) -> bool:
    return 14 <= be16(data, 0) <= len(data) - 2 and _openvpn_message(data[2 : 2 + be16(data, 0)])


def _megaco(data: bytes, port: bool) -> bool:
    """ITU-T H.248.1, annex B."""
    return data.startswith((b"!/", b"MEGACO/")) or (port and data.lstrip().startswith(b"!"))


def _mgcp(data: bytes, port: bool) -> bool:
    """RFC 3435, section 3.2."""
    return (
        data[:5] in {b"AUEP ", b"AUCX ", b"CRCX ", b"DLCX ", b"MDCX ", b"NTFY ", b"RQNT ", b"RSIP ", b"EPCF "}
        and b"MGCP " in data[:256]
    )


def _iax(data: bytes, port: bool) -> bool:
    """RFC 5456, section 8.1: a full frame of IAX control."""
    return (
        len(data) >= 12 and data[0] & 0x80 != 0 and data[10] == 6 and data[11] <= 40 and (port or data[8:10] == b"\0\0")
    )


def _teredo(data: bytes, port: bool) -> bool:
    """RFC 4380, section 5.1.1."""
    return port and (data[0] >> 4 == 6 or data[:2] in {b"\0\0", b"\0\1"})


def _mpeg_ts(data: bytes, port: bool) -> bool:
    """ISO 13818-1, section 2.4.3: packets of 188 bytes."""
    return data[0] == 0x47 and len(data) % 188 == 0 and all(data[at] == 0x47 for at in range(0, len(data), 188))


_ROUGHTIME: Final = (b"NONC", b"SIG\0", b"VER\0", b"PAD\xff", b"SREP", b"ROOT", b"ZZZZ", b"TYPE", b"SRV\0")


def _roughtime(data: bytes, port: bool) -> bool:
    """Roughtime, "Messages": count of tags, an offset for each but the first, the tags; newer ones in a frame with a name."""
    if data.startswith(b"ROUGHTIM"):
        return True
    count = le32(data, 0)
    return 1 <= count <= 16 and part(data, 4 * count, 4) in _ROUGHTIME and be32(data, 4 * count - 4) != 0


def _eaq(data: bytes, port: bool) -> bool:
    """The line quality measurement of Brazil's EAQ: number, seconds, microseconds, flags."""
    return port and len(data) == 16 and be32(data, 0) < 1 << 16 and be32(data, 8) < 1_000_000 and be16(data, 12) == 0


_PORTMAPPER: Final = 100_000  # RFC 1833, section 3: asked where one of those is
_RPC_PROGRAMS: Final = (100_005, 100_021)  # RFC 1813, appendix I: mount; appendix II: locks
_NFS_PROGRAMS: Final = (100_003, *_RPC_PROGRAMS)


def _nfs_helper(data: bytes, port: bool) -> bool:
    """RFC 5531, section 9: a call of version 2 to a program that goes with NFS; over TCP behind a record's mark."""
    at = 4 if data[0] & 0x80 and be32(data, 8) == 0 and be32(data, 12) == 2 else 0
    if be32(data, at + 4) or be32(data, at + 8) != 2 or be32(data, at + 16) > 4:
        return False
    program = be32(data, at + 12)
    if program != _PORTMAPPER:
        return program in _RPC_PROGRAMS
    at += 32 + be32(data, at + 28)  # behind the credentials
    return be32(data, at + 8 + be32(data, at + 4)) in _NFS_PROGRAMS


def _quic_short(data: bytes, port: bool) -> bool:
    """RFC 9000, section 17.3.1: a short packet in the middle of a connection has the fixed bit and nothing else in clear."""
    return port and data[0] & 0xC0 == 0x40 and not _openvpn_message(data)


def _h323_ras(data: bytes, port: bool) -> bool:
    """ITU-T H.225.0 RAS: gatekeeper messages."""
    return port and data[0] < 0x80 and len(data) > 10


SPECS: Final = (
    signature("netflow", UDP, _netflow, 2055, 2056, 4432, 4739, 6343, 9995, 9996, least=24),
    signature("sflow", UDP, _sflow, 6343, least=28),
    signature("gtp", UDP, _gtp, 2123, least=8, label="gtp-c"),
    signature("gtp", UDP, _gtp, 2152, least=8, label="gtp-u"),
    signature("gtp", UDP, _gtp, 3386, least=8, label="gtp-prime"),
    signature("pfcp", UDP, _pfcp, 8805, least=8, on_port=True),
    signature("bfd", UDP, _bfd, 3784, 4784, least=24, on_port=True),
    signature("ptp", UDP, _ptp, 319, 320, least=34, on_port=True),
    signature("slp", BOTH, _slp, 427, least=12, first=b"\x01\x02"),
    signature("nat-pmp", UDP, _nat_pmp, 5350, 5351, least=2, on_port=True),
    signature("wsd", UDP, _wsd, 3702, least=16, weight=2),
    signature("hsrp", UDP, _hsrp, 1985, 2029, least=12, on_port=True),
    signature("xdmcp", UDP, _xdmcp, 177, least=7, first=b"\x00"),
    signature("capwap", UDP, _capwap, 5246, 5247, least=8, on_port=True),
    signature("lisp", UDP, _lisp, 4341, 4342, least=8, on_port=True),
    signature("ipmi", UDP, lambda d, p: d[:2] == b"\x06\0" and d[3] & 0x1F in {6, 7}, 623, 664, least=4, first=b"\x06"),
    signature("openvpn", UDP, _openvpn_udp, 1194, least=14, weight=1, first=b"\x38\x40\x50"),
    signature("openvpn", TCP, _openvpn_tcp, 1194, 443, least=16, weight=1),
    signature("dnscrypt", BOTH, lambda d, p: d.startswith(b"r6fnvWj8") or d[2:10] == b"r6fnvWj8", 443, 5443, least=8, weight=9),
    signature("megaco", BOTH, _megaco, 2944, 2945, least=4),
    signature("mgcp", UDP, _mgcp, 2427, 2727, least=8, weight=4, first=bytes((65, 67, 68, 69, 77, 78, 82,))),
    signature("iax", UDP, _iax, 4569, least=12, first=bytes(range(128, 256))),
    signature("teredo", UDP, _teredo, 3544, least=40, on_port=True),
    signature("mpegts", UDP, _mpeg_ts, least=188, weight=2, first=b"\x47"),
    signature("h323", UDP, _h323_ras, 1718, 1719, least=10, on_port=True),
    signature("roughtime", UDP, _roughtime, 2002, least=32, weight=5),
    signature("eaq", UDP, _eaq, 6000, least=16, on_port=True),
    signature("nfs", BOTH, _nfs_helper, least=40, weight=9),
    signature("quic", UDP, _quic_short, 443, least=21, weight=-9, on_port=True),
    signature("bjnp", UDP, starts(b"BJNP", b"BJNB", b"MFNP"), 8611, 8612, least=8, weight=5),
    signature("tivoconnect", BOTH, starts(b"tivoconnect=", b"TiVoConnect="), 2190, least=12, weight=5),
)  # fmt: skip
