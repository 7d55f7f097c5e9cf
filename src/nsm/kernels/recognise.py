"""What the first payload of one direction looks like: a signature, not a parser. Names: nsm.model.flow.APPS.

Content decides; ports only where the content alone is too weak (DNS, NTP, SNMP, DHCP have no magic). Each test reads below
``stop`` alone.
"""

from __future__ import annotations

import numpy as np

from nsm.kernels.jit import get, inline, ld16, ld32

# Codes: positions in nsm.model.flow.APPS.
(
    NONE, HTTP, TLS, SSH, DNS, QUIC, SMTP, FTP, POP3, IMAP, NTP, DHCP, SNMP, SMB, RDP, SIP, BITTORRENT, STUN, MDNS, LLMNR,
    POSTGRESQL, REDIS, WIREGUARD, RTSP, MQTT, LDAP, SSDP, VNC, TELNET,
) = range(29)  # fmt: skip


@inline
def _word(data, at):
    return np.int64(ld32(data, at))


@inline
def _dns(data, at, stop):
    """A header with one question or none, no absurd counts, and a first label that fits (RFC 1035, section 4.1)."""
    if at + 12 > stop:
        return False
    flags, questions = np.int64(ld16(data, at + 2)), np.int64(ld16(data, at + 4))
    answers, others = np.int64(ld16(data, at + 6)), np.int64(ld16(data, at + 8))
    if (flags >> 11) & 0xF > 5 or questions > 8 or answers > 256 or others > 64 or questions + answers == 0:
        return False
    return at + 13 > stop or questions == 0 or np.int64(get(data, at + 12)) < 0x40


@inline
def _quic(data, at, stop):
    """A long header with a version that was ever deployed (RFC 9000, section 17.2; RFC 9369)."""
    if at + 7 > stop or np.int64(get(data, at)) & 0x80 == 0:
        return False
    version = _word(data, at + 1)
    known = version in (1, 0x6B3343CF) or version >> 8 in (0xFF0000, 0xFACEB0)
    return known and np.int64(get(data, at + 5)) <= 20


@inline
def _http(first, second):
    """The beginning of a request line or a status line (RFC 9112, section 2.1)."""
    if first == 0x48545450:  # HTTP
        return second >> 24 == 0x2F
    if first in (0x47455420, 0x48454144, 0x504F5354, 0x50555420):  # GET_ HEAD POST PUT_
        return True
    if first == 0x44454C45 or first == 0x4F505449 or first == 0x434F4E4E or first == 0x50415443:  # DELE OPTI CONN PATC
        return second >> 24 in (0x54, 0x4F, 0x45, 0x48)
    return first in (0x50524F50, 0x54524143)  # PROP TRAC


@inline
def _text(data, at, stop, first, second, dport, sport):
    """Protocols that greet in words."""
    if _http(first, second):
        return np.int64(SSDP if dport == 1900 or sport == 1900 else HTTP)
    if first == 0x5353482D:  # SSH-
        return np.int64(SSH)
    if first in (0x45484C4F, 0x48454C4F):  # EHLO HELO
        return np.int64(SMTP)
    if first in (0x32323020, 0x3232302D):  # "220 ", "220-"
        return np.int64(SMTP if sport in (25, 465, 587, 2525) else (FTP if sport in (21, 990) else NONE))
    if first in (0x55534552, 0x46454154) and dport == 21:  # USER FEAT
        return np.int64(FTP)
    if first == 0x2B4F4B20 or (first >> 8 == 0x2B4F4B and sport in (110, 995)):  # +OK
        return np.int64(POP3 if sport in (110, 995) else NONE)
    if first == 0x2A204F4B:  # * OK
        return np.int64(IMAP)
    if first in (0x5349502F, 0x494E5649, 0x52454749) and second >> 24 in (0x32, 0x54, 0x53):  # SIP/2 INVIT REGIS
        return np.int64(SIP)
    if first in (0x4D2D5345, 0x4E4F5449):  # M-SE NOTI
        return np.int64(SSDP if 1900 in (dport, sport) else NONE)
    if first == 0x52545350:  # RTSP
        return np.int64(RTSP)
    if first == 0x52464220:  # "RFB "
        return np.int64(VNC)
    if first == 0x13426974 and second == 0x546F7272:  # \x13BitTorr
        return np.int64(BITTORRENT)
    return np.int64(NONE)


@inline
def recognise(data, at, stop, proto, sport, dport):
    """The code of a payload at ``at``; NONE when it is not known. sport: of its sender."""
    if at + 8 > stop:
        return np.int64(NONE)
    first, second = _word(data, at), _word(data, at + 4)
    if proto == 6:
        if first >> 16 in (0x1603, 0x1503) and np.int64(get(data, at + 2)) <= 4:
            return np.int64(TLS)
        known = _text(data, at, stop, first, second, dport, sport)
        if known != NONE:
            return known
        if second in (0xFF534D42, 0xFE534D42, 0xFD534D42) and first >> 24 == 0:
            return np.int64(SMB)
        if first >> 16 == 0x0300 and np.int64(get(data, at + 5)) in (0xE0, 0xD0):  # TPKT, X.224 connection
            return np.int64(RDP)
        if first >> 24 == 0x10 and at + 10 <= stop and _word(data, at + 4) in (0x4D515454, 0x4D514973):
            return np.int64(MQTT)
        if second == 0x00030000 and first < 10_000:
            return np.int64(POSTGRESQL)
        if first >> 24 == 0x2A and dport == 6379:
            return np.int64(REDIS)
        if first >> 24 == 0x30 and 389 in (dport, sport):
            return np.int64(LDAP)
        if first >> 24 == 0xFF and 23 in (dport, sport):
            return np.int64(TELNET)
        if 53 in (dport, sport) and _dns(data, at + 2, stop):
            return np.int64(DNS)
        return np.int64(NONE)
    if dport in (53, 5353, 5355) or sport in (53, 5353, 5355):
        if _dns(data, at, stop):
            return np.int64(MDNS if 5353 in (dport, sport) else (LLMNR if 5355 in (dport, sport) else DNS))
        return np.int64(NONE)
    if _quic(data, at, stop):
        return np.int64(QUIC)
    if second == 0x2112A442 and first >> 30 == 0:
        return np.int64(STUN)
    if 123 in (dport, sport) and stop - at >= 48 and 1 <= (np.int64(get(data, at)) >> 3 & 7) <= 4:
        return np.int64(NTP)
    if dport in (67, 68) and stop - at >= 240 and _word(data, at + 236) == 0x63825363:
        return np.int64(DHCP)
    if first >> 24 == 0x30 and (dport in (161, 162) or sport in (161, 162)):
        return np.int64(SNMP)
    if (first == 0x01000000 and stop - at == 148) or (first == 0x02000000 and stop - at == 92):
        return np.int64(WIREGUARD)
    return _text(data, at, stop, first, second, dport, sport)
