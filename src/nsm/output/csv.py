"""Rows as CSV (RFC 4180 with Unix line ends): any record type, addresses as text, times in ISO 8601.

Texts that a spreadsheet would run as a formula get a leading ``'`` (OWASP, CSV injection), control characters are
escaped. Written column by column: a dictionary for each row would cost several times as much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from nsm.model.address import texts
from nsm.model.table import TEXT, Array, Rows, Table

TIMES: Final = ("ts", "emit_us")  # columns that are us UTC
ADDRESS_NAMES: Final = {"src": "src_ip", "dst": "dest_ip"}  # as in EVE
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
# C0 and C1 controls, DEL, what ends a line or turns the direction of text (Unicode Technical Report 36), surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_QUOTED: Final = re.compile('[",]|^ | $')


def neutral(text: str) -> str:
    """The text as a CSV cell, quotes included, that no spreadsheet runs and no terminal obeys."""
    safe = ("'" if text.startswith(_FORMULA_STARTS) else "") + display_safe(text)
    return '"' + safe.replace('"', '""') + '"' if _QUOTED.search(safe) else safe


def display_safe(text: str) -> str:
    r"""The text with control and direction characters written as ``\x1b`` or ``\u202e``."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _columns(table: Table) -> Iterator[tuple[str, str]]:
    """(name in the file, column it is made of); an address is made of its ``_lo``."""
    for column in table.columns:
        name = column.name
        if name.endswith("_lo"):
            stem = name.removesuffix("_lo")
            yield ADDRESS_NAMES.get(stem, stem), name
        elif not name.endswith("_hi"):
            yield name, name


def csv_header(table: Table) -> str:
    """The first line, line end included."""
    return ",".join(name for name, _ in _columns(table)) + "\n"


def csv_lines(rows: Rows) -> Iterator[str]:
    """One line for each row, line end included."""
    cells = [_cells(rows, origin) for _, origin in _columns(rows.table)]
    for row in zip(*cells, strict=True):
        yield ",".join(row) + "\n"


def _cells(rows: Rows, name: str) -> list[str]:
    if name.endswith("_lo"):
        high = name.removesuffix("_lo") + "_hi"
        # ARP has IPv4 alone, mapped: no upper half.
        upper = rows[high] if high in rows.table.names else np.zeros(len(rows), np.uint64)
        return texts(upper, rows[name])
    array = rows[name]
    if name in TIMES:
        return _times(array)
    if rows.table.column(name).dtype == TEXT:
        known: dict[str, str] = {}
        return [known.get(text) or known.setdefault(text, neutral(text)) for text in array.tolist()]
    return list(map(str, array.tolist()))


def _times(us: Array) -> list[str]:
    found: list[str] = np.datetime_as_string(us.astype("datetime64[us]"), unit="us", timezone="UTC").tolist()
    return found
