"""distcc: asked to run a compiler that is not there. distcc's protocol-1 document. Only with the consent "run".

A server without a list of allowed compilers would run what it is told; the name asked for exists nowhere.
"""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised

ARGUMENTS: Final = (b"nsm-none", b"-c", b"nsm.c", b"-o", b"nsm.o")


def token(name: bytes, value: int, data: bytes = b"") -> bytes:
    """Four letters, a number of eight hexadecimal digits, data."""
    return name + f"{value:08x}".encode() + data


def talk(place: Place) -> Talk:
    """One empty file to compile; DONE and STAT are the server's own words."""
    heard = Heard()
    arguments = b"".join(token(b"ARGV", len(item), item) for item in ARGUMENTS)
    answer = yield from heard.peek(
        12, token(b"DIST", 1) + token(b"ARGC", len(ARGUMENTS)) + arguments + token(b"DOTI", 0)
    )  # fmt: skip
    if not re.fullmatch(rb"DONE0000000[123]", answer):
        return None
    return recognised("distcc", "distcc", confidence=1.0, facts=details(protocol=int(answer[-1:])))


SPEC: Final = ServiceSpec(name="distcc", talk=talk, ports=(3632,), consent="run")
