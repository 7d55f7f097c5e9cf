"""From a QuerySpec to a plan: fields looked up in the catalogue, values checked, the source chosen.

A plan knows real columns only: a field that stands for either side has become an OR, a prefix a range of
addresses, a word a number. What is left for an engine's file is the writing of its SQL.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.model.address import V4_BITS, V4_PREFIX, halves
from nsm.model.table import TEXT, Table
from nsm.store import catalog
from nsm.store import queryspec as q
from nsm.store.catalog import Field
from nsm.store.rollup import LEVELS

ADDITIVE: Final = ("count", "sum")
TEXT_OPERATORS: Final = ("prefix", "suffix", "contains", "regex")
ROLLUP_DIMS: Final = ("proto", "app", "iface")  # the exact ones; hosts and ports have an "other"
ROLLUP_SUMS: Final = {"bytes": "bytes_s + bytes_c", "bytes_s": "bytes_s", "bytes_c": "bytes_c", "pkts": "pkts"}
ADDRESS_END: Final = (1 << 128) - 1
IPV4_LOW: Final = V4_PREFIX
IPV4_HIGH: Final = V4_PREFIX | V4_BITS
NUMBER_END: Final = 1 << 64
US: Final = 1_000_000
TIME_END: Final = 1 << 62  # us; beyond the year 100,000


class Compare(msgspec.Struct, frozen=True):
    """A comparison of a column, or of the sum of several, with a value of the right type."""

    columns: tuple[str, ...]
    op: str
    value: Any
    text: bool


class Within(msgspec.Struct, frozen=True):
    """The address ``base`` lies in a range; both ends belong to it, as 128-bit numbers."""

    base: str
    low: int
    high: int


class Every(msgspec.Struct, frozen=True):
    """All hold."""

    of: tuple[Lowered, ...]


class Some(msgspec.Struct, frozen=True):
    """At least one holds."""

    of: tuple[Lowered, ...]


class Never(msgspec.Struct, frozen=True):
    """It does not hold."""

    of: Lowered


Lowered = Compare | Within | Every | Some | Never


class Rollup(msgspec.Struct, frozen=True):
    """The sums that answer a question: level in seconds, dimension, and the keys asked for (empty: all)."""

    level: int
    dim: str
    keys: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """A checked question. ``order`` ends in the table's own order, so that pages never overlap."""

    spec: q.QuerySpec
    table: Table
    fields: Mapping[str, Field]
    where: Lowered | None
    select: tuple[Field, ...]
    group: tuple[Field, ...]
    order: tuple[tuple[Field, bool], ...]  # True: descending
    after: tuple[Any, ...]
    rollup: Rollup | None

    @property
    def newest_first(self) -> bool:
        """True for rows in descending order of time: files can be read from the newest on, until there are enough."""
        return not self.spec.aggs and self.order[0][0].name == "ts" and self.order[0][1]

    def branches(self) -> tuple[Lowered | None, ...]:
        """The condition, in two parts without common rows when it asks for a host on either side.

        An OR over two columns stops push-down into files and their bloom filters; two branches do not.
        """
        parts = self.where.of if isinstance(self.where, Every) else (self.where,)
        for index, part in enumerate(parts):
            if isinstance(part, Some) and len(part.of) == 2 and all(isinstance(one, Within) for one in part.of):
                rest = tuple(one for one in (*parts[:index], *parts[index + 1 :]) if one is not None)
                first, second = part.of
                return Every((first, *rest)), Every((second, Never(first), *rest))
        return (self.where,)


def plan(spec: q.QuerySpec, floors: Mapping[int, int] | None = None) -> Plan:
    """The plan of a question; QueryError names the first thing wrong with it.

    ``floors``: level -> time (s) from which its sums are complete; without it raw rows are read.
    """
    table = catalog.table(spec.table)
    fields = catalog.fields(table)
    _check_shape(spec)
    where = None if spec.where is None else _lower(spec.where, fields)
    select = tuple(_field(name, fields) for name in spec.select) or _everything(fields)
    group = tuple(_field(name, fields) for name in spec.group)
    for field in (*select, *group):
        if field.combine == "either":
            raise QueryError(f"{field.name} stands for two fields", mend=f"use {' or '.join(field.columns)}")
    for agg in spec.aggs:
        _check_agg(agg, fields)
    order, after = _order(spec, table, fields)
    rollup = _rollup(spec, group, floors or {}) if spec.aggs else None
    return Plan(spec, table, fields, where, select, group, order, after, rollup)


def _everything(fields: Mapping[str, Field]) -> tuple[Field, ...]:
    """All columns, with the addresses behind the time and no halves of them."""
    plain = [field for field in fields.values() if field.kind != "address" and field.combine == "one"]
    sides = [fields[name] for name in ("src", "dst") if name in fields]
    rest = [field for field in plain if not (sides and field.name.endswith(("_hi", "_lo")))]
    return (rest[0], *sides, *rest[1:])


def cursor_of(values: tuple[Any, ...]) -> str:
    """The text that asks for what comes after a row with these values of the order's fields."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _check_shape(spec: q.QuerySpec) -> None:
    if spec.aggs and spec.select:
        raise QueryError("a query has rows (select) or groups (aggs), not both")
    if (spec.group or spec.bucket_s or spec.top) and not spec.aggs:
        raise QueryError("groups need an aggregate", mend='for example {"fn": "count"}')
    if any(abs(end) >= TIME_END for end in (spec.start_us, spec.stop_us) if end is not None):
        raise QueryError("a time of the question is out of range")
    if not 1 <= spec.limit <= q.LIMIT_MAX:
        raise QueryError(f"limit is 1 to {q.LIMIT_MAX}")
    if not 1 <= spec.budget_ms <= q.BUDGET_MS_MAX:
        raise QueryError(f"budget_ms is 1 to {q.BUDGET_MS_MAX}")
    if sum(1 for _ in q.terms_of(spec.where)) > q.TERMS_MAX:
        raise QueryError(f"more than {q.TERMS_MAX} comparisons")
    _check_steps_and_top(spec)


def _check_steps_and_top(spec: q.QuerySpec) -> None:
    if spec.bucket_s:
        if spec.bucket_s < 0 or spec.start_us is None or spec.stop_us is None:
            raise QueryError("a time grid needs a positive step and both ends of the time")
        if (spec.stop_us - spec.start_us) // (spec.bucket_s * US) > q.BUCKETS_MAX:
            raise QueryError(f"more than {q.BUCKETS_MAX} steps of time", mend="a longer step, or less time")
    if spec.top is not None:
        labels = {agg.label: agg.fn for agg in spec.aggs}
        if spec.top.by not in labels or not 1 <= spec.top.n <= q.LIMIT_MAX:
            raise QueryError(f"top by {spec.top.by!r} of {spec.top.n}: not one of the aggregates, or no such number")
        if (spec.top.other or spec.bucket_s) and not set(labels.values()) <= set(ADDITIVE):
            raise QueryError("the rest of a top list, and its steps of time, add up counts and sums only")


def _field(name: str, fields: Mapping[str, Field]) -> Field:
    found = fields.get(name)
    if found is None:
        raise QueryError(f"there is no field {name!r} here", mend=nearest(name, fields))
    return found


def nearest(name: str, names: Mapping[str, Any]) -> str:
    """A sentence that names the most similar known name, or all of them."""
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"


def _check_agg(agg: q.Agg, fields: Mapping[str, Field]) -> None:
    if agg.fn not in q.FUNCTIONS:
        raise QueryError(f"there is no aggregate {agg.fn!r}", mend=f"one of {', '.join(q.FUNCTIONS)}")
    if not agg.f and agg.fn == "count":
        return
    field = _field(agg.f, fields)
    if field.combine == "either":
        raise QueryError(f"{agg.fn} of {agg.f}: it stands for two fields")
    numeric = agg.fn in ("sum", "avg", "p50", "p95", "p99")
    if (numeric and field.kind != "int") or (agg.fn in ("min", "max", "last") and field.kind == "address"):
        raise QueryError(f"{agg.fn} needs a number, and {agg.f} is {field.kind}")


def _order(
    spec: q.QuerySpec, table: Table, fields: Mapping[str, Field]
) -> tuple[tuple[tuple[Field, bool], ...], tuple[Any, ...]]:
    if spec.aggs:
        return (), ()
    for name, way in spec.order:
        if way not in ("asc", "desc") or _field(name, fields).combine == "either" or fields[name].kind == "address":
            raise QueryError(f"cannot order by {name} {way}", mend="a plain column, asc or desc")
    down = spec.order[0][1] == "desc" if spec.order else True
    chosen = [(fields[name], way == "desc") for name, way in spec.order]
    chosen += [(_field(name, fields), down) for name in table.sort if name not in dict(spec.order)]
    if spec.cursor is None:
        return tuple(chosen), ()
    if any(way != down for _, way in chosen):
        raise QueryError("paging needs one direction in the whole order")
    try:
        after = tuple(json.loads(base64.urlsafe_b64decode(spec.cursor)))
    except (ValueError, binascii.Error, TypeError) as error:
        raise QueryError("the cursor is not one of ours") from error
    if len(after) != len(chosen) or not all(isinstance(value, int | str) for value in after):
        raise QueryError("the cursor belongs to another query")
    return tuple(chosen), after


def _lower(node: q.Node, fields: Mapping[str, Field]) -> Lowered:
    match node:
        case q.And():
            return Every(tuple(_lower(child, fields) for child in node.all))
        case q.Or():
            return Some(tuple(_lower(child, fields) for child in node.any))
        case q.Not():
            return Never(_lower(node.no, fields))
        case q.Term():
            return _lower_term(node, _field(node.f, fields))


def _lower_term(term: q.Term, field: Field) -> Lowered:
    if term.op not in q.OPERATORS:
        raise QueryError(f"there is no operator {term.op!r}", mend=f"one of {' '.join(q.OPERATORS)}")
    if term.op == "!=":
        return Never(_lower_term(msgspec.structs.replace(term, op="="), field))
    if field.kind == "address":
        ranges = _ranges(term)
        found: list[Lowered] = [Within(base, low, high) for low, high in ranges for base in field.columns]
        return found[0] if len(found) == 1 else Some(tuple(found))
    op, value = _value(term, field)
    if field.combine == "either":
        return Some(tuple(Compare((column,), op, value, text=False) for column in field.columns))
    return Compare(field.columns, op, value, text=field.kind == TEXT)


def _ranges(term: q.Term) -> list[tuple[int, int]]:
    if term.op not in ("=", "in", "cidr", "between", "exists"):
        raise QueryError(f"{term.f} is an address: it can be = in cidr between, not {term.op}")
    if term.op == "exists":
        return [(1, ADDRESS_END)]
    values = term.v if isinstance(term.v, tuple) else (term.v,)
    _check_many(term, values)
    ends = [_network(value) for value in values]
    if term.op == "between":
        if len(ends) != 2:
            raise QueryError("between needs two values")
        return [(ends[0][0], ends[1][1])]
    return [part for end in ends for part in _without_ipv4(*end)]


def _without_ipv4(low: int, high: int) -> list[tuple[int, int]]:
    """A wide IPv6 network has the mapped IPv4 addresses inside, and nobody means them by it."""
    if low < IPV4_LOW and high > IPV4_HIGH:
        return [(low, IPV4_LOW - 1), (IPV4_HIGH + 1, high)]
    return [(low, high)]


def _network(value: object) -> tuple[int, int]:
    try:
        network = ipaddress.ip_network(str(value), strict=False)
        first, last = (halves(str(end)) for end in (network.network_address, network.broadcast_address))
    except ValueError as error:
        raise QueryError(f"not an address or network: {value}", mend="for example 10.0.0.1 or 10.0.0.0/8") from error
    return first[0] << 64 | first[1], last[0] << 64 | last[1]


def _check_many(term: q.Term, values: tuple[Any, ...]) -> None:
    if len(values) > q.VALUES_MAX:
        raise QueryError(f"more than {q.VALUES_MAX} values for {term.f}")
    if term.op == "in" and not values:
        raise QueryError(f"no values for {term.f}")


def _value(term: q.Term, field: Field) -> tuple[str, Any]:
    if term.op == "exists":
        return "exists", "" if field.kind == TEXT else 0
    if term.op == "cidr" or (term.op in TEXT_OPERATORS and field.kind != TEXT):
        raise QueryError(f"{term.op} does not fit {term.f}, which is {field.kind}")
    if term.op in ("in", "between"):
        values = term.v if isinstance(term.v, tuple) else (term.v,)
        _check_many(term, values)
        if term.op == "between" and len(values) != 2:
            raise QueryError("between needs two values")
        return term.op, [_one(value, field) for value in values]
    if isinstance(term.v, tuple):
        raise QueryError(f"{term.op} needs one value, {term.f} has {len(term.v)}")
    value = _one(term.v, field)
    if term.op == "regex":
        if len(value) > q.REGEX_CHARS_MAX:
            raise QueryError(f"a regular expression has at most {q.REGEX_CHARS_MAX} characters")
        try:
            re.compile(value)
        except re.error as error:
            raise QueryError(f"not a regular expression: {error}") from error
    return term.op, value


def _one(value: object, field: Field) -> Any:
    if field.kind == TEXT:
        return str(value)
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?\d{1,20}", value) and abs(int(value)) < NUMBER_END else field.value(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= NUMBER_END:
        raise QueryError(f"{field.name} needs a number, not {value!r}")
    return value


def _rollup(spec: q.QuerySpec, group: tuple[Field, ...], floors: Mapping[int, int]) -> Rollup | None:
    """The coarsest sums that answer the question exactly, or None: raw rows have to be read."""
    if spec.table != "flow" or spec.start_us is None or spec.stop_us is None or len(group) > 1:
        return None
    if any(agg.fn not in ADDITIVE or (agg.fn == "sum" and agg.f not in ROLLUP_SUMS) for agg in spec.aggs):
        return None
    asked = {field.name for field in group} | {term.f for term, _ in q.terms_of(spec.where)}
    keys = _rollup_keys(spec.where)
    if keys is None or len(asked) > 1 or not asked <= set(ROLLUP_DIMS):
        return None
    for level in sorted(LEVELS, reverse=True):
        whole = not spec.start_us % (level * US) and not spec.stop_us % (level * US)
        if whole and not spec.bucket_s % level and spec.start_us >= floors.get(level, NUMBER_END) * US:
            return Rollup(level, next(iter(asked), "total"), keys)
    return None


def _rollup_keys(where: q.Node | None) -> tuple[str, ...] | None:
    """The keys that a condition names, all of them when there is none; None: sums cannot answer it."""
    if where is None:
        return ()
    if not isinstance(where, q.Term) or where.op not in ("=", "in") or where.f not in ROLLUP_DIMS:
        return None
    value = _value(where, catalog.fields(catalog.table("flow"))[where.f])[1]
    return tuple(str(one) for one in (value if isinstance(value, list) else [value]))
