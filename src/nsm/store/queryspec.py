"""QuerySpec: a question to the store without SQL; the one form that CLI, API, page and reports use.

Field names come only from the catalogue and every value is bound as a parameter, so no text from outside
reaches an engine's language. Limits are checked before anything is compiled.

JSON form::

    {"table": "flow", "time": {"from": "-24h", "to": "now"},
     "where": {"and": [{"f": "host", "op": "cidr", "v": "10.0.0.0/8"}, {"not": {"f": "app", "op": "=", "v": "dns"}}]},
     "group": ["app"], "bucket": {"every": "5m", "fill": true},
     "aggs": [{"fn": "sum", "f": "bytes", "as": "b"}], "top": {"by": "b", "n": 10, "other": true},
     "select": ["ts", "src"], "order": [["ts", "desc"]], "limit": 100, "cursor": null, "budget_ms": 5000}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from nsm.errors import QueryError

OPERATORS: Final = (
    "=", "!=", "<", "<=", ">", ">=", "in", "between", "cidr", "prefix", "suffix", "contains", "regex", "exists",
)  # fmt: skip
FUNCTIONS: Final = ("count", "sum", "min", "max", "avg", "distinct", "distinct~", "p50", "p95", "p99", "last")
DEPTH_MAX: Final = 8
TERMS_MAX: Final = 64
VALUES_MAX: Final = 1_000
LIMIT_MAX: Final = 10_000
BUCKETS_MAX: Final = 2_000
REGEX_CHARS_MAX: Final = 200
BUDGET_MS_MAX: Final = 60_000
SECOND_US: Final = 1_000_000
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Value = str | int | float | tuple[str | int | float, ...]


class Term(msgspec.Struct, frozen=True, tag="term"):
    """One comparison: field, operator, value."""

    f: str
    op: str
    v: Value = ""


class And(msgspec.Struct, frozen=True, tag="and"):
    """All of them; true when there is none."""

    all: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    """At least one of them; false when there is none."""

    any: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """Not this one."""

    no: Node


Node = Term | And | Or | Not


class Agg(msgspec.Struct, frozen=True):
    """One aggregate; ``name`` is the column of the result."""

    fn: str
    f: str = ""
    name: str = ""

    @property
    def label(self) -> str:
        """The name, or one made from function and field."""
        return self.name or (f"{self.fn}_{self.f}" if self.f else self.fn)


class Top(msgspec.Struct, frozen=True):
    """Only the n largest groups by one aggregate; ``other``: the rest summed in one more row, key None."""

    by: str
    n: int = 10
    other: bool = False


class QuerySpec(msgspec.Struct, frozen=True, kw_only=True):
    """A question. Rows (``select``) or groups (``aggs``), never both. Times: start <= ts < stop, us UTC."""

    table: str = "flow"
    start_us: int | None = None
    stop_us: int | None = None
    where: Node | None = None
    group: tuple[str, ...] = ()
    bucket_s: int = 0
    fill: bool = False
    aggs: tuple[Agg, ...] = ()
    top: Top | None = None
    select: tuple[str, ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    limit: int = 100
    cursor: str | None = None
    budget_ms: int = 5_000


class Stats(msgspec.Struct, frozen=True):
    """How an answer came about. ``exact``: nothing in it is estimated. ``truncated``: there are more rows."""

    engine: str
    source: str
    files: int
    ms: float
    exact: bool
    truncated: bool
    start_us: int | None
    stop_us: int | None


class Result(msgspec.Struct, frozen=True):
    """An answer: rows of plain values in the order of ``columns``; ``cursor`` asks for the next page."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    cursor: str | None
    stats: Stats

    def dicts(self) -> list[dict[str, Any]]:
        """One dict a row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def duration_s(text: str) -> int:
    """Seconds of ``90s``, ``5m``, ``24h``, ``7d``, ``2w``; QueryError for anything else."""
    match = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip())
    if match is None:
        raise QueryError(f"not a duration: {text!r}", mend="for example 30s, 5m, 24h, 7d")
    return int(match[1]) * _UNITS[match[2]]


def moment_us(value: str | int, now_us: int) -> int:
    """Microseconds of ``now``, ``-24h`` or a number of microseconds; nothing relative is before 1970."""
    if isinstance(value, int):
        return value
    if value == "now":
        return now_us
    if value.startswith("-"):
        return max(0, now_us - duration_s(value[1:]) * SECOND_US)
    raise QueryError(f"not a time: {value!r}", mend='"now", "-24h" or microseconds since 1970')


def from_json(data: Mapping[str, Any], now_us: int) -> QuerySpec:
    """The QuerySpec of its JSON form; QueryError names what is wrong. Fields are checked when it is planned."""
    known = {"table", "time", "where", "group", "bucket", "aggs", "top", "select", "order", "limit", "cursor"}
    unknown = set(data) - known - {"budget_ms"}
    if unknown:
        raise QueryError(f"unknown part of a query: {min(unknown)}", mend=f"known: {', '.join(sorted(known))}")
    time, bucket, where = data.get("time") or {}, data.get("bucket") or {}, data.get("where")
    plain = {key: data[key] for key in ("table", "group", "select", "order", "limit", "cursor", "budget_ms", "top")
             if data.get(key) is not None}  # fmt: skip
    plain["aggs"] = [{"fn": agg.get("fn"), "f": agg.get("f", ""), "name": agg.get("as", "")} for agg in
                     _list(data.get("aggs") or [], "aggs")]  # fmt: skip
    try:
        spec = msgspec.convert(plain, QuerySpec)
        return msgspec.structs.replace(
            spec,
            start_us=moment_us(time["from"], now_us) if "from" in time else None,
            stop_us=moment_us(time["to"], now_us) if "to" in time else None,
            bucket_s=duration_s(bucket["every"]) if bucket else 0,
            fill=bool(bucket.get("fill", False)),
            where=None if where is None else _node(where, 1),
        )
    except (msgspec.ValidationError, TypeError, KeyError, AttributeError) as error:
        raise QueryError(f"malformed query: {error}") from error


def to_json(spec: QuerySpec) -> dict[str, Any]:
    """The JSON form; ``from_json`` gives the same spec back."""
    out: dict[str, Any] = {"table": spec.table, "limit": spec.limit, "budget_ms": spec.budget_ms}
    ends = {"from": spec.start_us, "to": spec.stop_us}
    out["time"] = {key: value for key, value in ends.items() if value is not None}
    if spec.where is not None:
        out["where"] = node_json(spec.where)
    if spec.bucket_s:
        out["bucket"] = {"every": f"{spec.bucket_s}s", "fill": spec.fill}
    out["aggs"] = [{"fn": agg.fn, "f": agg.f, "as": agg.name} for agg in spec.aggs]
    for key in ("group", "select", "order", "top", "cursor"):
        value = getattr(spec, key)
        if value:
            out[key] = msgspec.to_builtins(value)
    return out


def node_json(node: Node) -> dict[str, Any]:
    """The JSON form of a condition."""
    match node:
        case Term():
            return {"f": node.f, "op": node.op, "v": list(node.v) if isinstance(node.v, tuple) else node.v}
        case And():
            return {"and": [node_json(child) for child in node.all]}
        case Or():
            return {"or": [node_json(child) for child in node.any]}
        case Not():
            return {"not": node_json(node.no)}


def terms_of(node: Node | None) -> Iterator[tuple[Term, int]]:
    """Every comparison of a condition with its depth; QueryError when it is too deep."""
    stack = [] if node is None else [(node, 1)]
    while stack:
        current, depth = stack.pop()
        if depth > DEPTH_MAX:
            raise QueryError(f"the condition is nested deeper than {DEPTH_MAX}")
        match current:
            case Term():
                yield current, depth
            case And():
                stack.extend((child, depth + 1) for child in current.all)
            case Or():
                stack.extend((child, depth + 1) for child in current.any)
            case Not():
                stack.append((current.no, depth + 1))


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > VALUES_MAX:
        raise QueryError(f"{what} is a list of at most {VALUES_MAX}")
    return value


def _node(data: Any, depth: int) -> Node:
    if not isinstance(data, dict) or depth > DEPTH_MAX:
        raise QueryError(f"a condition is an object, nested at most {DEPTH_MAX} deep")
    if "and" in data:
        return And(tuple(_node(child, depth + 1) for child in _list(data["and"], "and")))
    if "or" in data:
        return Or(tuple(_node(child, depth + 1) for child in _list(data["or"], "or")))
    if "not" in data:
        return Not(_node(data["not"], depth + 1))
    value = data.get("v", "")
    return msgspec.convert({**data, "v": value}, Term)
