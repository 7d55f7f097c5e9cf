"""What is sent to UDP ports so that the usual services answer: the shortest correct request of each protocol.

Written from the standards named beside them. None changes anything at the receiver, and none holds a password or a
community. A port that is not here gets an empty datagram.
"""

from __future__ import annotations

import struct
from typing import Final


def _ber(tag: int, *parts: bytes) -> bytes:
    """A value in the basic encoding (X.690, section 8.1) of less than 128 bytes."""
    body = b"".join(parts)
    return bytes((tag, len(body))) + body


# RFC 1035, section 4.1: id, recursion wanted, one question; the root's name servers (type NS, class IN).
DNS: Final = struct.pack("!6H", 0x4E53, 0x0100, 1, 0, 0, 0) + b"\x00" + struct.pack("!HH", 2, 1)
# RFC 6762: the services of the link, with an answer to us alone wanted (QU, section 5.4).
MDNS: Final = (
    struct.pack("!6H", 0, 0, 1, 0, 0, 0)
    + b"\x09_services\x07_dns-sd\x04_udp\x05local\x00"
    + struct.pack("!HH", 12, 0x8001)
)
# RFC 4795: as DNS without recursion, a name that a host may know.
LLMNR: Final = struct.pack("!6H", 0x4E53, 0, 1, 0, 0, 0) + b"\x09localhost\x00" + struct.pack("!HH", 1, 1)
# RFC 1002, section 4.2.17: node status of "*", in the encoding of its section 4.1.
NETBIOS: Final = (
    struct.pack("!6H", 0x4E53, 0, 1, 0, 0, 0) + b"\x20CK" + b"A" * 30 + b"\x00" + struct.pack("!HH", 0x21, 1)
)
# RFC 5905, section 7.3: version 4, mode 3 (client).
NTP: Final = b"\x23" + bytes(47)
# RFC 3412 and RFC 3414, section 4: engine discovery; SNMPv3, no user, no engine, reportable, an empty get.
SNMP: Final = _ber(
    0x30, _ber(2, b"\x03"), _ber(0x30, _ber(2, b"NS"), _ber(2, b"\x05\xdc"), _ber(4, b"\x04"), _ber(2, b"\x03")),
    _ber(4, _ber(0x30, _ber(4), _ber(2, b"\0"), _ber(2, b"\0"), _ber(4), _ber(4), _ber(4))),
    _ber(0x30, _ber(4), _ber(4), _ber(0xA0, _ber(2, b"NS"), _ber(2, b"\0"), _ber(2, b"\0"), _ber(0x30))),
)  # fmt: skip
# RFC 1350, section 5: read a file that is not there; the error is the answer.
TFTP: Final = b"\x00\x01nsm-no-such-file\x00octet\x00"
# UPnP Device Architecture 2.0, section 1.3.2.
SSDP: Final = (
    b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n'
)
# RFC 5531, section 9 and RFC 1833: call of procedure 0 (null) of the port mapper (program 100000, version 2).
RPC: Final = struct.pack("!10I", 0x4E534D00, 0, 2, 100_000, 2, 0, 0, 0, 0, 0)
# The same for NFS, program 100003 version 3 (RFC 1813).
NFS: Final = struct.pack("!10I", 0x4E534D01, 0, 2, 100_003, 3, 0, 0, 0, 0, 0)
# RFC 3261, section 11.
SIP: Final = (
    b"OPTIONS sip:nsm@localhost SIP/2.0\r\nVia: SIP/2.0/UDP localhost;branch=z9hG4bKnsm;rport\r\nMax-Forwards: 0\r\n"
    b"To: <sip:nsm@localhost>\r\nFrom: <sip:nsm@localhost>;tag=nsm\r\nCall-ID: nsm\r\nCSeq: 1 OPTIONS\r\n"
    b"Contact: <sip:nsm@localhost>\r\nContent-Length: 0\r\n\r\n"
)
# RFC 7252, sections 3 and 7: confirmable GET .well-known/core.
COAP: Final = b"\x40\x01\x4e\x53\xbb.well-known\x04core"
# RFC 8489, section 5: binding request with the magic cookie.
STUN: Final = struct.pack("!HHI", 1, 0, 0x2112A442) + b"netsecmonito"
# RFC 7296, section 3.1: IKE_SA_INIT without any payload; the answer is an error notice.
IKE: Final = b"nsm-nsm-" + bytes(8) + struct.pack("!BBBBII", 0, 0x20, 34, 0x08, 0, 28)
# RFC 3948, section 2.2: the same behind four zero bytes.
IKE_NAT: Final = bytes(4) + IKE
# OpenVPN protocol: P_CONTROL_HARD_RESET_CLIENT_V2 (opcode 7, key 0), session id, no acknowledgements, packet 0.
OPENVPN: Final = b"\x38" + b"nsm-scan" + b"\x00" + bytes(4)
# RFC 9000, section 17.2.1 and 6: a long header of a version that is reserved to force version negotiation, 1,200 bytes.
QUIC: Final = (b"\xc0\x1a\x2a\x3a\x4a\x08nsm-scan\x08nsm-scan").ljust(1_200, b"\x00")
# memcached, protocol.txt: the frame header of UDP, then a command.
MEMCACHED: Final = struct.pack("!4H", 1, 0, 1, 0) + b"version\r\n"
# RFC 4511, section 4.5.1, over UDP as [MS-ADTS], section 6.3.3: search of the root entry for no attribute.
CLDAP: Final = _ber(
    0x30, _ber(2, b"\x01"), _ber(
        0x63, _ber(4), _ber(10, b"\0"), _ber(10, b"\0"), _ber(2, b"\0"), _ber(2, b"\0"), _ber(1, b"\0"),
        _ber(0x87, b"objectClass"), _ber(0x30),
    ),
)  # fmt: skip
# RFC 2661, section 5.8: a hello cannot come first, so a SCCRQ with its message type alone; a stop is the answer.
L2TP: Final = struct.pack("!6H", 0xC802, 20, 0, 0, 0, 0) + struct.pack("!HHHH", 0x8008, 0, 0, 1)
# IPMI 2.0, section 13.2.3: RMCP presence ping of ASF.
RMCP: Final = bytes.fromhex("0600ff06000011be80000000")
# [MC-SQLR], section 2.2.2: all instances.
SQL_BROWSER: Final = b"\x02"
# BACnet, ASHRAE 135 annex J, is not asked: identity reads of industrial devices need to be wanted.

BY_PORT: Final = {
    7: b"nsm\r\n", 13: b"\r\n", 17: b"\r\n", 19: b"\r\n", 37: b"", 53: DNS, 69: TFTP, 111: RPC, 123: NTP,
    137: NETBIOS, 161: SNMP, 389: CLDAP, 443: QUIC, 500: IKE, 623: RMCP, 1194: OPENVPN, 1434: SQL_BROWSER,
    1701: L2TP, 1900: SSDP, 2049: NFS, 3478: STUN, 4500: IKE_NAT, 5060: SIP, 5353: MDNS, 5355: LLMNR, 5683: COAP,
    11211: MEMCACHED,
}  # fmt: skip


def payload_of(port: int) -> bytes:
    """What is sent to a port."""
    return BY_PORT.get(port, b"")
