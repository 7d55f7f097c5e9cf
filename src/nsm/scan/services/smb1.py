"""SMB 1: is the old protocol still accepted? [MS-CIFS] 2.2.4.52. A server without it closes the connection."""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised

NEGOTIATE: Final = 0x72  # [MS-CIFS] 2.2.2.1
NO_DIALECT: Final = 0xFFFF
DIALECT: Final = b"\x02NT LM 0.12\0"  # [MS-CIFS] 1.7
MESSAGE_BYTES_MAX: Final = 4_096  # ours


def talk(place: Place) -> Talk:
    """Offer the one dialect of SMB 1."""
    heard = Heard()
    head = (
        b"\xffSMB"
        + bytes((NEGOTIATE,))
        + bytes(4)
        + bytes.fromhex("1801c8")
        + bytes(12)
        + bytes.fromhex("fffe")
        + bytes(6)
    )
    body = b"\0" + len(DIALECT).to_bytes(2, "little") + DIALECT
    start = yield from heard.exactly(4, (len(head) + len(body)).to_bytes(4, "big") + head + body)
    size = int.from_bytes(start[1:], "big")
    if start[0] or not 35 <= size <= MESSAGE_BYTES_MAX:
        raise MalformedError("scan.smb_length")
    answer = yield from heard.exactly(size)
    if answer[:5] != b"\xffSMB" + bytes((NEGOTIATE,)):
        return None
    failed = answer[5:9] != bytes(4) or answer[32] == 0
    chosen = int.from_bytes(answer[33:35], "little")
    return recognised("microsoft-ds", facts=details(smb1=not failed and chosen != NO_DIALECT))


SPEC: Final = ServiceSpec(name="microsoft-ds", talk=talk, ports=(445, 139))
