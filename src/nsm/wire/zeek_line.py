"""A line of a Zeek log in its TSV form. Facts: Zeek's ASCII writer, src/util.cc get_escaped_string."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from nsm.model.protocol import Row

UNSET, EMPTY = "-", "(empty)"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ODD: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_ODD_INSIDE: Final = re.compile(r"[\x00-\x1f\x7f\\,\ud800-\udfff]")
SURROGATES: Final = 0xDC00  # what "surrogateescape" makes of bytes that are no UTF-8


def uid(flow_id: int, letter: str = "C") -> str:
    """A connection's uid: a letter and base-62 digits of the flow_id, spread over 17 places."""
    number = flow_id * 0x9E3779B97F4A7C15F39CC0605CEDC835 & ((1 << 101) - 1)
    digits = []
    for _ in range(17):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return letter + "".join(digits)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if char == "\\":
        return "\\\\"
    code = ord(char)
    return f"\\x{code - SURROGATES if code >= SURROGATES else code:02x}"


def escaped(text: str, inside: bool = False) -> str:
    """Text of a column, or of an element of a set or vector (``inside``)."""
    if text in (UNSET, EMPTY):
        return f"\\x{ord(text[0]):02x}{text[1:]}"
    return (_ODD_INSIDE if inside else _ODD).sub(_escaped, text)


def cell(value: Any, inside: bool = False) -> str:
    """A value as it is written: None unset, floats with six places, truth T or F, collections joined by commas."""
    if value is None:
        return UNSET
    if isinstance(value, str):
        return escaped(value, inside) if value else EMPTY
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, list | tuple):
        return ",".join([cell(item, True) for item in value]) if value else EMPTY
    if isinstance(value, frozenset | set):
        return ",".join(sorted(cell(item, True) for item in value)) if value else EMPTY
    return str(value)


def line_of(row: Row) -> str:
    """The columns behind ts, uid and id.*, joined by tabs."""
    return "\t".join([cell(value) for value in msgspec.structs.astuple(row)])
