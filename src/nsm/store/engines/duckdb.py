"""DuckDB over the Parquet files of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from nsm.model.table import TEXT, Column, Table
from nsm.store import sql
from nsm.store.plan import Plan, Within
from nsm.store.sql import Dialect, Sql

SOURCE: Final = "read_parquet(?, union_by_name=true)"
_NUMBERS: Final = {
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT", "int32": "INTEGER", "int64": "BIGINT",
}  # fmt: skip
LOW: Final = (1 << 64) - 1
_AGGREGATES: Final = {
    "sum": "coalesce(sum(CAST({0} AS HUGEINT)), 0)",
    "min": "min({0})",
    "max": "max({0})",
    "avg": "avg({0})",
    "distinct": "count(DISTINCT {0})",
    "distinct~": "approx_count_distinct({0})",
    "p50": "quantile_cont(CAST({0} AS DOUBLE), 0.5)",
    "p95": "quantile_cont(CAST({0} AS DOUBLE), 0.95)",
    "p99": "quantile_cont(CAST({0} AS DOUBLE), 0.99)",
    "last": "arg_max({0}, ts)",
}
_TEXT: Final = {
    "prefix": "starts_with({0}, ?)",
    "suffix": "suffix({0}, ?)",
    "contains": "contains(lower({0}), lower(?))",
    "regex": "regexp_matches({0}, ?)",
}


def _address(node: Within) -> Sql:
    """A range of (hi, lo); the common forms are plain comparisons, which files can be skipped by."""
    hi, lo = f"{node.base}_hi", f"{node.base}_lo"
    low, high = (node.low >> 64, node.low & LOW), (node.high >> 64, node.high & LOW)
    if low == high:
        return f"({hi} = ? AND {lo} = ?)", [*low]
    if low[0] == high[0]:
        return f"({hi} = ? AND {lo} BETWEEN ? AND ?)", [low[0], low[1], high[1]]
    if low[1] == 0 and high[1] == LOW:
        return f"({hi} BETWEEN ? AND ?)", [low[0], high[0]]
    test = f"({hi} > ? OR ({hi} = ? AND {lo} >= ?)) AND ({hi} < ? OR ({hi} = ? AND {lo} <= ?))"
    return f"({test})", [low[0], low[0], low[1], high[0], high[0], high[1]]


DIALECT: Final = Dialect(
    "duckdb",
    _address,
    lambda base: (f"{base}_hi", f"{base}_lo"),
    lambda op, left, value: (_TEXT[op].format(left), [value]),
    lambda fn, inner: _AGGREGATES[fn].format(inner),
    "HUGEINT",
    "(ts // {step})",
)


def source(of: Table) -> str:
    """Where a table's rows are read from; a column that came later is there, too, when no file has it yet."""
    late = [column for column in of.stored if column.since > 1]
    if not late:
        return SOURCE
    none = ", ".join(f"CAST(NULL AS {_type(column)}) AS {column.name}" for column in late)
    filled = ", ".join(f"coalesce({column.name}, {_default(column)}) AS {column.name}" for column in late)
    return f"(SELECT * REPLACE ({filled}) FROM (SELECT * FROM {SOURCE} UNION ALL BY NAME SELECT {none} WHERE false))"


def _type(column: Column) -> str:
    return "VARCHAR" if column.dtype == TEXT else _NUMBERS[column.dtype]


def _default(column: Column) -> str:
    return f"'{column.default or ''}'" if column.dtype == TEXT else str(int(column.default))


def compile_groups(plan: Plan, files: Sequence[str]) -> Sql:
    """The SQL of a question with aggregates."""
    text, params = sql.groups(plan, source(plan.table), DIALECT)
    top = plan.spec.top
    if top is not None and not top.other and not plan.spec.bucket_s:
        # Nothing but the first n is wanted: the engine need not hand over the rest.
        keys = len(sql.selected(plan.group, plan.table, DIALECT))
        by = keys + 1 + [agg.label for agg in plan.spec.aggs].index(top.by)
        ties = "".join(f", {index + 1}" for index in range(keys))
        text, params = f"{text} ORDER BY {by} DESC NULLS LAST{ties} LIMIT ?", [*params, top.n]
    return text, [list(files), *params]


def compile_rows(plan: Plan, files: Sequence[str], limit: int, since_us: int | None = None) -> Sql:
    """The SQL of a question for rows: the columns selected, then those of the order."""
    ordered = [field for field, _ in plan.order]
    columns = ", ".join(sql.selected([*plan.select, *ordered], plan.table, DIALECT))
    text, params = _branches(plan, files, "*", since_us)
    order = sql.ordering(plan, DIALECT)
    return f"SELECT {columns} FROM ({text}) ORDER BY {order} LIMIT ?", [*params, limit]


def compile_times(plan: Plan, files: Sequence[str], limit: int, since_us: int | None = None) -> Sql:
    """The SQL of the newest times only: what is read before all columns of the few rows wanted."""
    text, params = _branches(plan, files, "ts", since_us)
    return f"SELECT ts FROM ({text}) ORDER BY ts DESC LIMIT ?", [*params, limit]


def _branches(plan: Plan, files: Sequence[str], columns: str, since_us: int | None) -> Sql:
    parts, values = [], list[Any]()
    for where in plan.branches():
        text, params = sql.whole_where(plan, where, DIALECT, since_us)
        parts.append(f"SELECT {columns} FROM {source(plan.table)} WHERE {text}")
        values += [list(files), *params]
    return " UNION ALL ".join(parts), values
