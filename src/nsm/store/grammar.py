"""The filter grammar: what people type, on the page and on the command line, as the condition of a QuerySpec.

::

    app:tls                    equal; words and numbers, in any case for named values (proto:tcp, severity:high)
    -app:dns                   not
    bytes:>1M  port:1-1024     compared, between; 1k 1M 1G are powers of 1000, 1KiB 1MiB of 1024; dur_us:>10s
    severity:high+             at least
    src:10.0.0.0/8             network; host: means either side
    app:dns,tls                one of several
    signature:*scan*           ends with, begins with, contains
    "port scan"                a quoted value, or free text with blanks
    app:dns or app:tls         either; ``or`` binds tighter than the blank, which means "and"

Words without a field are looked for in the table's texts; one that is an address or network means ``host``. There
is one parser for all who ask; errors carry the position in the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from nsm.errors import QueryError
from nsm.store import catalog
from nsm.store.catalog import Field
from nsm.store.plan import nearest, plan
from nsm.store.queryspec import TERMS_MAX, And, Node, Not, Or, QuerySpec, Term

CHARS_MAX: Final = 4_000
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<minus>-)?(?:(?P<field>[A-Za-z_][A-Za-z0-9_]*):(?P<op>>=|<=|>|<|=)?)?
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"(?=\s|$)|(?P<bare>[^\s"]+)))""",
    re.VERBOSE,
)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)(ki|mi|gi|ti|k|m|g|t)b?", re.IGNORECASE)
_SIZES: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30,
                 "ti": 1 << 40}  # fmt: skip
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_TIMES: Final = {"us": 1, "ms": 1_000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
_RANGE: Final = re.compile(r"(\d+)-(\d+)")


class FilterError(QueryError):
    """A filter cannot be read; ``position`` and ``length`` say where in the text, from 0."""

    def __init__(self, message: str, position: int, length: int, mend: str = "") -> None:
        super().__init__(message, where=f"character {position + 1} of the filter", mend=mend)
        self.position = position
        self.length = length


class Chip(msgspec.Struct, frozen=True):
    """One piece of a filter as typed: its text, where it stands, and the condition that it means.

    ``joined``: an ``or`` connects it with the piece before.
    """

    text: str
    position: int
    node: Node
    joined: bool = False


def where(text: str, table: str = "flow") -> Node | None:
    """The condition that a filter means for a table; None when it is empty. Raises FilterError."""
    parts: list[list[Node]] = []
    for chip in chips(text, table):
        if chip.joined:
            parts[-1].append(chip.node)
        else:
            parts.append([chip.node])
    nodes = tuple(part[0] if len(part) == 1 else Or(tuple(part)) for part in parts)
    if not nodes:
        return None
    return nodes[0] if len(nodes) == 1 else And(nodes)


def chips(text: str, table: str = "flow") -> list[Chip]:
    """The pieces of a filter, in order. Raises FilterError."""
    if len(text) > CHARS_MAX:
        raise FilterError(f"a filter has at most {CHARS_MAX} characters", CHARS_MAX, len(text) - CHARS_MAX)
    fields = catalog.fields(catalog.table(table))
    out: list[Chip] = []
    joined, at, end = False, 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        start = at + len(text[at:]) - len(text[at:].lstrip())
        stop = start if match is None else match.end()
        if match is None or not (stop >= end or text[stop].isspace()):
            raise FilterError("a quote is not closed, or text touches it", stop, end - stop, 'for example "port scan"')
        at = stop
        if match["bare"] and match["bare"].lower() in ("or", "and") and not match["field"] and not match["minus"]:
            joined = match["bare"].lower() == "or"
            if not out or at >= end:
                raise FilterError(f"{match['bare']} needs a condition on both sides", start, at - start)
            continue
        node = _condition(match, table, fields, start)
        out.append(Chip(text[start:at], start, node, joined))
        joined = False
        if len(out) > TERMS_MAX:
            raise FilterError(f"a filter has at most {TERMS_MAX} conditions", start, end - start)
    return out


def _condition(match: re.Match[str], table: str, fields: Mapping[str, Field], start: int) -> Node:
    name, quoted = match["field"], match["quoted"] is not None
    bare = match["bare"] or ""
    if (name and bare in ("<", ">", "=", "<=", ">=")) or (not name and bare.endswith(":") and bare[:-1] in fields):
        raise FilterError(f"{match[0].strip()} needs a value", start, match.end() - start, "field:value")
    value = re.sub(r"\\(.)", r"\1", match["quoted"]) if quoted else match["bare"]
    length = match.end() - start
    if name is not None and name not in fields:
        if _is_address(f"{name}:{match['op'] or ''}{value}"):  # an IPv6 address typed without a field
            name, value = None, f"{name}:{match['op'] or ''}{value}"
        else:
            raise FilterError(
                f"there is no field {name!r}{_elsewhere(name, table)}", start, length, nearest(name, fields)
            )
    try:
        if name is None:
            node = _free(value, table, fields, quoted=quoted)
        else:
            node = _field_condition(fields[name], match["op"] or "", value, quoted=quoted)
        plan(QuerySpec(table=table, where=node))  # so that every mistake is found here, with its position
    except FilterError:
        raise
    except QueryError as error:
        raise FilterError(str(error), start, length, error.mend) from error
    return Not(node) if match["minus"] else node


def _elsewhere(name: str, table: str) -> str:
    others = [other.name for other in catalog.TABLES.values() if other.name != table and name in catalog.fields(other)]
    return f" of {table}; {others[0]} has one" if others else ""


def _free(value: str, table: str, fields: Mapping[str, Field], *, quoted: bool) -> Node:
    if "host" in fields and not quoted and _is_address(value):
        return Term("host", "cidr", value) if "/" in value else Term("host", "=", value)
    names = catalog.free_text(catalog.table(table))
    if not names:
        raise QueryError(f"{table} has no text to look in", mend="use field:value")
    terms = tuple(Term(name, "contains", value) for name in names)
    return terms[0] if len(terms) == 1 else Or(terms)


def _field_condition(field: Field, op: str, value: str, *, quoted: bool) -> Node:
    if op or quoted:
        return Term(field.name, op or "=", _number(field, value) if op else value)
    if field.kind != "address" and value.endswith("+") and len(value) > 1:
        return Term(field.name, ">=", _number(field, value[:-1]))
    span = _RANGE.fullmatch(value)
    if field.kind == "int" and span:
        return Term(field.name, "between", (int(span[1]), int(span[2])))
    if "," in value:
        return Term(field.name, "in", tuple(_number(field, part) for part in value.split(",") if part))
    if field.kind == "address":
        return Term(field.name, "cidr" if "/" in value else "=", value)
    return _wildcard(field, value)


def _wildcard(field: Field, value: str) -> Node:
    if field.kind == "int" or "*" not in value:
        if value == "*":
            return Term(field.name, "exists")
        return Term(field.name, "=", _number(field, value))
    inner = value.strip("*")
    if not inner:
        return Term(field.name, "exists")
    if "*" in inner:
        raise QueryError("a * stands at the beginning or the end of a value")
    op = "contains" if value[0] == value[-1] == "*" else "suffix" if value[0] == "*" else "prefix"
    return Term(field.name, op, inner)


def _number(field: Field, value: str) -> str | int:
    """The value with its unit applied; a text stays one."""
    if field.kind != "int":
        return value
    table, pattern = (_TIMES, _TIME) if field.name.endswith("_us") else (_SIZES, _SIZE)
    match = pattern.fullmatch(value)
    return int(float(match[1]) * table[match[2].lower()]) if match else value


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return not text.isdigit()
