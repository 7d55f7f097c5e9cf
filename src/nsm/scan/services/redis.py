"""Redis and its kin: does it answer without a password? Redis documentation, "RESP protocol spec"."""

from __future__ import annotations

import re
from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, recognised

PING: Final = b"*1\r\n$4\r\nPING\r\n"
INFO: Final = b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n"
ERRORS: Final = re.compile(rb"-(NOAUTH|NOPERM|DENIED|LOADING|MISCONF|MASTERDOWN|BUSY)\b")
INFO_BYTES_MAX: Final = 8_192  # ours: the section has about 700 bytes


def talk(place: Place) -> Talk:
    """PING, and INFO when that was let in."""
    heard = Heard()
    answer = yield from heard.line(PING)
    if ERRORS.match(answer):
        facts = details(refused=clean(answer), login="required" if b"NOAUTH" in answer else "")
        return recognised("redis", "Redis", banner=answer, facts=facts)
    if answer not in (b"+PONG", b"$4"):
        return None
    size = yield from heard.line(INFO)
    if not re.fullmatch(rb"\$\d{1,4}", size):
        return recognised("redis", "Redis", banner=answer, facts=details(refused=clean(size)))
    info = yield from heard.peek(min(int(size[1:]), INFO_BYTES_MAX))
    found = dict(re.findall(r"^(\w{1,40}):([^\r\n]{1,128})", info.decode("utf-8", "replace"), re.MULTILINE))
    kin = found.get("server_name", "")
    product = {"valkey": "Valkey", "keydb": "KeyDB"}.get(kin, "Redis")
    version = found.get("valkey_version") or found.get("redis_version", "")
    facts = details(
        open_to_all=True, mode=found.get("redis_mode"), os=found.get("os"), uptime_s=found.get("uptime_in_seconds")
    )
    return recognised("redis", product, version, confidence=1.0, banner=answer, facts=facts)


SPEC: Final = ServiceSpec(name="redis", talk=talk, ports=(6379, 6380))
