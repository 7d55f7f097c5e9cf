"""What a person can set about decoding."""

from __future__ import annotations

from typing import Final

import msgspec

from nsm.settings.section import Count, SettingsSection


class DecodeSettings(msgspec.Struct, frozen=True):
    """What the decoder looks into, and which packets it marks as large."""

    large_icmp_bytes: Count = 1_000
    """ICMP payload above which a packet is marked large; ping sends 56, path MTU tests up to 1,472."""
    large_udp_bytes: Count = 4_096
    """UDP payload above which a datagram is marked large: larger than any DNS answer that EDNS asks for."""
    teredo: bool = True
    """Look into IPv6 carried by UDP port 3544 (RFC 4380)."""
    vlan_in_flow: bool = True
    """Packets with different VLAN tags are of different flows. Off where each direction has a tag of its own."""


SETTINGS: Final = SettingsSection(name="decode", struct=DecodeSettings)
