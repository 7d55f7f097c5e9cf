"""PostgreSQL: what it answers to a version of the protocol that is none. PostgreSQL manual, "Message Formats".

The error's file, line and routine are the server's own, so a line number tells the release where it was measured.
"""

from __future__ import annotations

from typing import Final

from nsm.errors import MalformedError
from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Fields, Heard, clean, details, recognised

START: Final = bytes.fromhex("0000000900ff000000")  # protocol 255.0, no parameters
MESSAGE_BYTES_MAX: Final = 4_096  # ours
FIELDS_MAX: Final = 24  # ours
RELEASES: Final[dict[tuple[str, str], str]] = {}  # (file, line) -> release; measured on running servers


def talk(place: Place) -> Talk:
    """Start with an impossible version and read the refusal."""
    heard = Heard()
    head = yield from heard.exactly(5, START)
    size = int.from_bytes(head[1:], "big")
    if head[:1] != b"E" or not 5 <= size <= MESSAGE_BYTES_MAX:
        raise MalformedError("scan.pg_error")
    fields = Fields((yield from heard.exactly(size - 4)))
    found: dict[str, str] = {}
    while (kind := fields.big(1)) and len(found) < FIELDS_MAX:
        found[chr(kind)] = clean(fields.until_zero())
    if "M" not in found or "C" not in found or len(found["C"]) != 5:
        return None
    release = RELEASES.get((found.get("F", ""), found.get("L", "")), "")
    facts = details(
        message=found["M"], source=f"{found.get('F', '')}:{found.get('L', '')} {found.get('R', '')}", language=found.get("S")
    )  # fmt: skip
    return recognised("postgresql", "PostgreSQL", release, confidence=1.0, banner=found["M"].encode(), facts=facts)


SPEC: Final = ServiceSpec(name="postgresql", talk=talk, ports=(5432, 5433))
