"""Telnet, recognised by the negotiation of options. RFC 854; RFC 855.

Left out on purpose: what is typed. EVE and Zeek write nothing of it.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

IAC: Final = 255  # RFC 854, "TELNET command structure"
COMMANDS: Final = frozenset((250, 251, 252, 253, 254))  # SB, WILL, WONT, DO, DONT
OPTION_MAX: Final = 49  # IANA, "Telnet Options", without those of vendors
COMMAND_BYTES: Final = 3


def probe(data: bytes, side: Side, port: bool) -> Match:
    """Commands with options at the very start; on the port one is enough, elsewhere two."""
    if not data or data[0] != IAC:
        return Match.NO
    wanted = 1 if port else 2
    for number in range(wanted):
        at = number * COMMAND_BYTES
        if len(data) < at + COMMAND_BYTES:
            return Match.MORE
        if data[at] != IAC or data[at + 1] not in COMMANDS or data[at + 2] > OPTION_MAX:
            return Match.NO
    return Match.YES


SPEC: Final = ProtocolSpec(name="telnet", transports=("tcp",), ports=(23,), probe=probe, weight=2)
