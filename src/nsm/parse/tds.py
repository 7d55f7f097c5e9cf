"""TDS (Microsoft SQL Server, Sybase): recognised by its first message. [MS-TDS], section 2.2.3 and 2.2.6.

Recognising is all: queries are private content, and logins after the first message are in TLS.
"""

from __future__ import annotations

from typing import Final

from nsm.model.protocol import Match, ProtocolSpec, Side

HEAD_BYTES: Final = 8  # [MS-TDS], section 2.2.3.1
LOGIN_7: Final = 0x10  # section 2.2.3.1.1
PRELOGIN: Final = 0x12
ANSWER: Final = 0x04
_BATCH: Final = 0x01
_CALL: Final = 0x03


def probe(data: bytes, side: Side, port: bool) -> Match:
    """A packet head; a login is known by what follows it, other messages need the port."""
    if len(data) < HEAD_BYTES + 5:
        return Match.MORE if not data or data[0] in {LOGIN_7, PRELOGIN, ANSWER, _BATCH, _CALL} else Match.NO
    size = data[2] << 8 | data[3]
    if data[1] > 0x1F or size < HEAD_BYTES or data[7] != 0:
        return Match.NO
    if data[0] in {PRELOGIN, ANSWER} and data[8] == 0 and size <= 1024:
        # The first option is the version, of six bytes, behind the list of options. Section 2.2.6.5.
        offset, length = data[9] << 8 | data[10], data[11] << 8 | data[12]
        return Match.YES if length == 6 and HEAD_BYTES + offset + length <= size else Match.NO
    if data[0] == LOGIN_7:
        return Match.YES if int.from_bytes(data[8:12], "little") == size - HEAD_BYTES or port else Match.NO
    return Match.YES if port and data[0] in {_BATCH, _CALL, ANSWER} else Match.NO


SPEC: Final = ProtocolSpec(name="tds", transports=("tcp",), ports=(1433,), probe=probe)
