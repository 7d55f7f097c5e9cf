"""What commands print: data on stdout as a table, JSON lines or CSV, with names from the wire made harmless.

A table is drawn with colours and lines only on a terminal; elsewhere it is plain text in columns.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import click

from nsm.errors import SinkError

FORMS: Final = ("table", "json", "csv")
CELL_CHARACTERS_MAX: Final = 200  # ours: longer values are for --json; a name from the wire may have 64 KiB

# C0 and C1 controls, DEL; line and paragraph separators; everything that turns the direction of text
# (Unicode Technical Report 36, and "Trojan Source"); byte order mark and lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
# What a spreadsheet takes for a formula at the start of a cell (OWASP, CSV injection).
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_QUOTED: Final = re.compile('[",\\r\\n]|^ | $')

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def display_safe(text: str) -> str:
    """The text with control and direction characters written as ``\\x1b`` or ``\\u202e``: fit for a terminal."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def csv_cell(value: Any, *, raw: bool = False) -> str:
    """A value as the text of a CSV cell.

    Unless ``raw``, a text that a spreadsheet would run gets a leading ``'`` and control characters are escaped.
    Numbers stay as they are: -5 is no formula.
    """
    cell = _plain(value)
    if raw or isinstance(value, int | float):
        return cell
    return ("'" if cell.startswith(_FORMULA_STARTS) else "") + display_safe(cell)


def _csv_line(cells: Iterable[str]) -> str:
    """RFC 4180 with Unix line ends. Python's own writer leaves a lone CR unquoted then, which splits the row."""
    quoted = ('"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell for cell in cells)
    return ",".join(quoted) + "\n"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return json_line(value)
    return str(value)


def json_line(value: Any) -> str:
    """A value as one line of JSON without its line end; what JSON does not know becomes its text."""
    import orjson

    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


def write_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str] = (),
    *,
    form: str = "table",
    to: TextIO | None = None,
    raw: bool = False,
    colour: bool = False,
) -> int:
    """Write rows in one of FORMS and return how many.

    ``columns`` (all of the first row when empty) are the columns of a table or CSV; JSON has every key.
    JSON and CSV are written as the rows come; a table needs all of them for its widths.
    """
    stream = to or sys.stdout
    if form == "json":
        return sum(bool(stream.write(json_line(row) + "\n")) for row in rows)
    if form == "csv":
        return _write_csv(rows, columns, stream, raw=raw)
    kept = list(rows)
    names = list(columns) or list(kept[0] if kept else ())
    cells = [[_short(display_safe(_plain(row.get(name)))) for name in names] for row in kept]
    numbers = [bool(kept) and all(isinstance(row.get(name), int | float | None) for row in kept) for name in names]
    if stream.isatty():
        _write_rich(names, cells, numbers, stream, colour=colour)
    elif kept:
        _write_plain(names, cells, numbers, stream)
    return len(kept)


def _short(cell: str) -> str:
    return cell if len(cell) <= CELL_CHARACTERS_MAX else cell[: CELL_CHARACTERS_MAX - 1] + "…"


def _write_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], stream: TextIO, *, raw: bool) -> int:
    names = list(columns)
    count = 0
    for row in rows:
        names = names or list(row)
        if not count:
            stream.write(_csv_line(names))
        stream.write(_csv_line(csv_cell(row.get(name), raw=raw) for name in names))
        count += 1
    if not count and names:
        stream.write(_csv_line(names))
    return count


def _write_plain(names: list[str], cells: list[list[str]], numbers: list[bool], stream: TextIO) -> None:
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    for row in (names, *cells):
        padded = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, numbers, strict=True)
        ]
        stream.write("  ".join(padded).rstrip() + "\n")


def _write_rich(names: list[str], cells: list[list[str]], numbers: list[bool], stream: TextIO, *, colour: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, number in zip(names, numbers, strict=True):
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text: a name like [red] is no markup
    Console(file=stream, no_color=not colour, highlight=False).print(table)


def write_one(value: Mapping[str, Any], *, form: str = "table", to: TextIO | None = None, schema: int = 1) -> None:
    """Write one object: JSON with its ``schema`` version, else a line for each key."""
    stream = to or sys.stdout
    if form == "json":
        stream.write(json_line({"schema": schema, **value}) + "\n")
        return
    rows = [{"name": key, "value": item} for key, item in value.items()]
    if form == "csv":
        write_rows(rows, ("name", "value"), form="csv", to=stream)
        return
    width = max((len(key) for key in value), default=0)
    for key, item in value.items():
        stream.write(f"{key.ljust(width)}  {display_safe(_plain(item))}".rstrip() + "\n")


def output_options(function: Decorated) -> Decorated:
    """Add ``--format``, ``--json``, ``-o`` and ``--raw``: the parameters ``form``, ``output_file`` and ``raw``."""
    for decorate in (
        click.option("--raw", is_flag=True, help="CSV: leave formulas and control characters as they are."),
        click.option("-o", "--output", "output_file", metavar="FILE", help="Write to a file in place of stdout."),
        click.option("--json", "form", flag_value="json", help="The same as --format json."),
        click.option("--format", "form", type=click.Choice(FORMS), default="table", help="Form of the output."),
    ):
        function = decorate(function)
    return function


@contextlib.contextmanager
def opened(output_file: str | None) -> Iterator[TextIO]:
    """The stream that ``-o`` names, stdout without it or for ``-``; SinkError when it cannot be written."""
    if output_file in {None, "-"}:
        yield sys.stdout
        return
    try:
        stream = Path(str(output_file)).open("w", encoding="utf-8", newline="")  # noqa: SIM115  # closed below
    except OSError as error:
        raise SinkError(f"cannot write {output_file}: {error.strerror}", where="-o") from error
    with stream:
        yield stream


def rows_as_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = (), *, form: str = "csv") -> str:
    """The same as ``write_rows``, as one text."""
    text = io.StringIO()
    write_rows(rows, columns, form=form, to=text)
    return text.getvalue()
