"""SMB 2 and 3: dialect, signing, identity, time; the server's names and build from its NTLM challenge. [MS-SMB2], [MS-NLMP].

A session is begun and not finished: the challenge comes before any name is given.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Asking, Fields, Heard, details, recognised

DIALECTS: Final = (0x0202, 0x0210, 0x0300, 0x0302)  # [MS-SMB2] 2.2.3; 3.1.1 would need contexts
DIALECT_NAMES: Final = {0x0202: "2.0.2", 0x0210: "2.1", 0x0300: "3.0", 0x0302: "3.0.2", 0x0311: "3.1.1", 0x02FF: "2.x"}
NEGOTIATE, SESSION_SETUP = 0, 1  # [MS-SMB2] 2.2.1.2
SIGNING_REQUIRED: Final = 2  # [MS-SMB2] 2.2.4
MESSAGE_BYTES_MAX: Final = 8_192  # ours
EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)  # [MS-DTYP] 2.3.3: FILETIME, 100 ns
NTLM_NEGOTIATE: Final = b"NTLMSSP\0" + bytes.fromhex("0100000005820802" + "00" * 24)  # [MS-NLMP] 2.2.1.1
# The same within SPNEGO: RFC 4178, section 4.2; the OIDs of SPNEGO and NTLMSSP.
SPNEGO: Final = bytes.fromhex("604806062b0601050502a03e303ca00e300c060a2b06010401823702020aa22a0428") + NTLM_NEGOTIATE
PAIRS: Final = {1: "netbios_name", 2: "netbios_domain", 3: "dns_name", 4: "dns_domain"}  # [MS-NLMP] 2.2.2.1


def message(command: int, number: int, body: bytes) -> bytes:
    """A request with its header and length. [MS-SMB2] 2.1 and 2.2.1.2."""
    head = (
        b"\xfeSMB" + (64).to_bytes(2, "little") + bytes(6) + command.to_bytes(2, "little") + (31).to_bytes(2, "little")
    )
    head += bytes(8) + number.to_bytes(8, "little") + bytes(32)
    return (len(head) + len(body)).to_bytes(4, "big") + head + body


def _read(heard: Heard, send: bytes) -> Asking[bytes]:
    """A whole answer, with its SMB header."""
    head = yield from heard.exactly(4, send)
    size = int.from_bytes(head[1:], "big")
    if head[0] or not 64 <= size <= MESSAGE_BYTES_MAX:
        raise MalformedError("scan.smb_length")
    answer = yield from heard.exactly(size)
    if answer[:4] != b"\xfeSMB":
        raise MalformedError("scan.smb_magic")
    return answer


def challenge_facts(data: bytes) -> tuple[str, dict[str, str]]:
    """(build, names) of an NTLM challenge somewhere in the data. [MS-NLMP] 2.2.1.2."""
    at = data.find(b"NTLMSSP\0\x02\0\0\0")
    if at < 0:
        return "", {}
    fields = Fields(data[at:])
    fields.take(12 + 8 + 4 + 8 + 8)
    size, _, offset = fields.little(2), fields.little(2), fields.little(4)
    version = fields.take(8)
    build = f"{version[0]}.{version[1]}.{int.from_bytes(version[2:4], 'little')}"
    names: dict[str, str] = {}
    pairs = Fields(data[at + offset : at + offset + size])
    while pairs.left >= 4 and (kind := pairs.little(2)):
        value = pairs.take(pairs.little(2))
        if kind in PAIRS:
            names[PAIRS[kind]] = value.decode("utf-16-le", "replace")
    return build, details(**names)


def _session(heard: Heard) -> Asking[tuple[str, dict[str, str]]]:
    body = bytes.fromhex("1900000100000000000000005800") + len(SPNEGO).to_bytes(2, "little") + bytes(8)
    try:
        return challenge_facts((yield from _read(heard, message(SESSION_SETUP, 1, body + SPNEGO))))
    except MalformedError:
        return "", {}


def talk(place: Place) -> Talk:
    """Negotiate, then begin a session."""
    heard = Heard()
    dialects = b"".join(item.to_bytes(2, "little") for item in DIALECTS)
    body = (36).to_bytes(2, "little") + len(DIALECTS).to_bytes(2, "little") + bytes.fromhex("0100000000000000")
    answer = yield from _read(heard, message(NEGOTIATE, 0, body + b"nsm-asks-who-is\0" + bytes(8) + dialects))
    fields = Fields(answer)
    fields.take(64 + 2)
    security, dialect = fields.little(2), fields.little(2)
    fields.take(2)
    guid, _ = uuid.UUID(bytes_le=fields.take(16)), fields.take(16)
    clock = fields.little(8)
    build, names = yield from _session(heard)
    facts = details(
        dialect=DIALECT_NAMES.get(dialect, f"{dialect:#06x}"), guid=guid, build=build,
        signing="required" if security & SIGNING_REQUIRED else "optional",
        clock=(EPOCH + timedelta(microseconds=clock // 10)).isoformat("T", "seconds") if 0 < clock < 2**57 else "",
    )  # fmt: skip
    # Samba always tells version 6.1 and build 0; no Windows has build 0.
    product = "" if not build else "Samba" if build.endswith(".0") else "Windows SMB"
    version = build if product == "Windows SMB" else ""
    return recognised("microsoft-ds", product, version, confidence=1.0, facts=facts | names)


SPEC: Final = ServiceSpec(name="microsoft-ds", talk=talk, ports=(445, 139))
