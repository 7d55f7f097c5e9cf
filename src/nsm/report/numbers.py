"""Numbers and times as a person reads them: units always said, unknown is "not measured", never 0."""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "not measured"
BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
COUNT_UNITS: Final = ("", " k", " M", " G", " T")
MINUTE_US: Final = 60_000_000


def count(value: float | None) -> str:
    """1,234 below ten thousand, then 12.3 k."""
    if value is None:
        return UNKNOWN
    if abs(value) < 10_000:
        return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
    return _scaled(float(value), 1_000, COUNT_UNITS)


def exact(value: int) -> str:
    """1,234,567."""
    return f"{value:,}"


def size(value: float | None) -> str:
    """Bytes in IEC units: 3.9 MiB."""
    if value is None:
        return UNKNOWN
    return (
        f"{value:.0f} B"
        if abs(value) < 1_024
        else _scaled(float(value), 1_024, tuple(f" {unit}" for unit in BYTE_UNITS))
    )


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    at = 0
    while abs(value) >= base - 0.05 and at < len(units) - 1:
        value /= base
        at += 1
    return f"{value:.1f}{units[at]}"


def share(value: float | None) -> str:
    """A share of 0 to 1 in percent, one digit; 99.96 is never rounded up to all, nor 0.04 down to none."""
    if value is None:
        return UNKNOWN
    percent = round(100 * value, 1)
    if percent >= 100 > 100 * value:
        return "> 99.9 %"
    return "< 0.1 %" if percent == 0 < value else f"{percent:.1f} %"


def change(now: float | None, before: float | None) -> str:
    """Relative change: +14.2 %, "new" from nothing, "not measured" when one is unknown."""
    if now is None or before is None:
        return UNKNOWN
    if now == before:
        return "0.0 %"
    if before == 0:
        return "new"
    return f"{100 * (now - before) / before:+,.1f} %"


def length(us: int) -> str:
    """A length of time: 45 s, 30 min, 24 h, 7 d."""
    if us < 2 * MINUTE_US:
        return f"{us / 1e6:.0f} s"
    minutes = us // MINUTE_US
    if minutes < 180 and minutes % 60:
        return f"{minutes} min"
    if minutes % 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = minutes // 60
    return f"{hours // 24} d" if hours >= 48 and hours % 24 == 0 else f"{hours} h"


def plural(number: int, word: str, words: str = "") -> str:
    """1 host, 2 hosts."""
    return f"{count(number)} {word if number == 1 else words or f'{word}s'}"
