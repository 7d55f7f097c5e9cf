"""Facts without names and addresses: each becomes a pseudonym that stays the same in every report of this store.

The pseudonym is a keyed hash, so that nobody without the key finds an address by trying all of them. The key is made at
first use and lies beside the reports, readable by the owner alone.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.report.facts import Facts

KEY_FILE: Final = "pseudonym.key"
KEY_BYTES: Final = 32
# Anything that may be an IPv6 address, an IPv4 address or a hardware address; what it is, is tried.
_PLACE: Final = re.compile(
    r"(?<![\w.])(?:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]+(?:%\w+)?|\d{1,3}(?:\.\d{1,3}){3})(?![\w:]|\.\d)"
)
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")


def key_of(folder: Path) -> bytes:
    """The key of a store; made when there is none."""
    path = folder / KEY_FILE
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(KEY_BYTES)
        file.write(key)
    return key


def redacted(facts: Facts, key: bytes) -> Facts:
    """The same facts with pseudonyms in place of addresses, hardware addresses and known names, in every text."""
    said = (*facts.names.values(), *(one.name for one in facts.hosts_new), *_targets(facts),
            *(place.name for place in facts.scope))  # fmt: skip
    names = sorted({name for name in said if name}, key=len)
    known = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in reversed(names))) if names else None

    def pseudonym(kind: str, value: str) -> str:
        return f"{kind}-{hmac.digest(key, value.lower().encode(), 'sha256').hex()[:8]}"

    def clean(text: str) -> str:
        text = known.sub(lambda match: pseudonym("name", match[0]), text) if known else text
        return _PLACE.sub(lambda match: _pseudonym_of(match[0], pseudonym), text)

    period, version = msgspec.to_builtins(facts.period), facts.version
    plain = _mapped(msgspec.to_builtins(facts), clean)
    plain |= {"period": period, "version": version, "redacted": True}
    return msgspec.convert(plain, Facts)


def _targets(facts: Facts) -> list[str]:
    """Names that scans were asked for."""
    words = [word for scan in facts.scans for word in scan.targets.split()]
    return [word for word in words if not _PLACE.search(word) and any(map(str.isalpha, word))]


def _pseudonym_of(found: str, pseudonym: Callable[[str, str], str]) -> str:
    if _MAC.fullmatch(found):
        return pseudonym("device", found)
    try:
        place = ipaddress.ip_address(found.rstrip(":."))
    except ValueError:
        return found  # a time, a version
    tail = found[len(found.rstrip(":.")) :]
    return pseudonym("host", str(place)) + tail


def _mapped(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key) if isinstance(key, str) else key: _mapped(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(item, clean) for item in value]
    return value
