"""Telnet: options are refused until the greeting comes. RFC 854, RFC 855."""

from __future__ import annotations

from typing import Final

from nsm.model.interfaces import Place, ServiceSpec, Talk
from nsm.scan.talking import Heard, clean, details, product_of, recognised

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240  # RFC 854
ROUNDS_MAX: Final = 6  # ours: rounds of options before the greeting
PRODUCTS: Final = (
    ("BusyBox telnetd", r"BusyBox v?([\d.]+)?"),
    ("Cisco IOS telnetd", r"User Access Verification"),
    ("MikroTik RouterOS", r"MikroTik v?([\d.]+)?"),
)


def options(data: bytes) -> tuple[bytes, bytes, int]:
    """(text without options, refusals of them, how many there were)."""
    text, answer, count, at = bytearray(), bytearray(), 0, 0
    while at < len(data):
        byte = data[at]
        if byte != IAC:
            text.append(byte)
            at += 1
            continue
        verb = data[at + 1] if at + 1 < len(data) else 0
        if verb in (DO, WILL) and at + 2 < len(data):
            answer += bytes((IAC, WONT if verb == DO else DONT, data[at + 2]))
        if verb == SB:
            end = data.find(bytes((IAC, SE)), at)
            at = end + 2 if end >= 0 else len(data)
        else:
            at += 3 if verb in (DO, DONT, WILL, WONT) else 2
        count += verb in (DO, DONT, WILL, WONT, SB)
    return bytes(text), bytes(answer), count


def talk(place: Place) -> Talk:
    """Refuse every option; what is shown then is the banner."""
    heard = Heard()
    yield from heard.ask()
    # Two zero bytes or more than options before the first IAC: something binary that only looks like it.
    if heard.data[:1] != bytes((IAC,)) and b"ogin:" not in heard.data:
        return None
    seen, count = b"", 0
    for _ in range(ROUNDS_MAX):
        text, answer, found = options(heard.take(len(heard.data)))
        seen, count = seen + text, count + found
        if b"ogin:" in seen or b"sername:" in seen or b"assword:" in seen:
            break
        if not (yield from heard.ask(answer)):
            break
    if not count and b"ogin:" not in seen:
        return None
    shown = seen.strip()
    product, version = product_of(clean(shown), PRODUCTS)
    facts = details(options=count, shown=clean(shown))
    return recognised("telnet", product, version, how="banner", confidence=0.95, banner=shown, facts=facts)


SPEC: Final = ServiceSpec(name="telnet", talk=talk, ports=(23, 2323), speaks_first=True)
