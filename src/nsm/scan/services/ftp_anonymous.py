"""FTP with the name "anonymous": is everyone let in? RFC 1635. Only with the consent "anonymous"."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, details, recognised, reply

LOGGED_IN: Final = 230  # RFC 959, section 5.4
NEED_PASSWORD: Final = 331


def talk(place: Place) -> Talk:
    """Log in without a secret and leave again; nothing is listed or fetched."""
    heard = Heard()
    code, text = yield from reply(heard)
    if code != 220 or "SMTP" in text:
        return None
    code, _ = yield from reply(heard, b"USER anonymous\r\n")
    if code == NEED_PASSWORD:
        code, _ = yield from reply(heard, b"PASS nsm@\r\n")
    if code not in (LOGGED_IN, 530, 331, 332, 421, 500):
        return None
    yield from reply(heard, b"QUIT\r\n")
    return recognised("ftp", how="banner", facts=details(anonymous="let in" if code == LOGGED_IN else "refused"))


SPEC: Final = ServiceSpec(name="ftp", talk=talk, ports=(21,), speaks_first=True, consent="anonymous")
