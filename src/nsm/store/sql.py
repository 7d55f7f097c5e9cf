"""What the SQL of all engines has in common; what differs is a ``Dialect`` of each engine's file.

Column names come from the catalogue and every value is a parameter: no text of a question becomes SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from nsm.errors import QueryError
from nsm.model.table import Table
from nsm.store.catalog import Field
from nsm.store.plan import Compare, Every, Lowered, Never, Plan, Some, Within
from nsm.store.queryspec import Agg

Sql = tuple[str, list[Any]]
_PLAIN = ("=", "<", "<=", ">", ">=")


class Dialect(msgspec.Struct, frozen=True):
    """The differences: ``address`` tests a range, ``address_columns`` gives the columns of an address."""

    name: str
    address: Callable[[Within], Sql]
    address_columns: Callable[[str], tuple[str, ...]]
    text: Callable[[str, str, str], Sql]
    aggregate: Callable[[str, str], str]
    wide: str  # the type in which columns are added up
    quotient: str  # t // step, of integers that may be negative


def column(name: str, of: Table) -> str:
    """A column as SQL; one that older files lack reads as its default."""
    known = of.column(name)
    if known.since == 1:
        return f'"{name}"'
    default = f"'{known.default or ''}'" if known.dtype == "text" else str(known.default)
    return f'coalesce("{name}", {default})'


def number(columns: Sequence[str], of: Table, dialect: Dialect) -> str:
    """A column, or the sum of several in a type that does not overflow."""
    if len(columns) == 1:
        return column(columns[0], of)
    return "(" + " + ".join(f"CAST({column(name, of)} AS {dialect.wide})" for name in columns) + ")"


def condition(node: Lowered, of: Table, dialect: Dialect) -> Sql:
    """The SQL of a condition and its parameters."""
    match node:
        case Compare():
            return _compare(node, of, dialect)
        case Within():
            return dialect.address(node)
        case Never():
            sql, params = condition(node.of, of, dialect)
            return f"NOT ({sql})", params
        case Every() | Some():
            word, empty = (" AND ", "1=1") if isinstance(node, Every) else (" OR ", "1=0")
            parts = [condition(child, of, dialect) for child in node.of]
            if not parts:
                return empty, []
            return "(" + word.join(sql for sql, _ in parts) + ")", [value for _, params in parts for value in params]


def _compare(node: Compare, of: Table, dialect: Dialect) -> Sql:
    left = number(node.columns, of, dialect)
    if node.op in _PLAIN:
        return f"{left} {node.op} ?", [node.value]
    if node.op == "exists":
        return f"{left} <> ?", [node.value]
    if node.op == "between":
        return f"{left} BETWEEN ? AND ?", list(node.value)
    if node.op == "in":
        return f"{left} IN ({','.join('?' * len(node.value))})", list(node.value)
    return dialect.text(node.op, left, node.value)


def time_range(start_us: int | None, stop_us: int | None) -> Sql:
    """The condition start <= ts < stop; open ends are left out."""
    ends = [(sql, value) for sql, value in (("ts >= ?", start_us), ("ts < ?", stop_us)) if value is not None]
    return " AND ".join(sql for sql, _ in ends) or "1=1", [value for _, value in ends]


def whole_where(plan: Plan, where: Lowered | None, dialect: Dialect, since_us: int | None = None) -> Sql:
    """Time, condition and cursor; ``since_us`` narrows the time from below."""
    start = plan.spec.start_us
    if since_us is not None:
        start = since_us if start is None else max(start, since_us)
    parts = [time_range(start, plan.spec.stop_us)]
    if where is not None:
        parts.append(condition(where, plan.table, dialect))
    if plan.after:
        parts.append(_after(plan))
    return " AND ".join(sql for sql, _ in parts), [value for _, params in parts for value in params]


def _after(plan: Plan) -> Sql:
    """Rows behind the cursor: (a, b) < (x, y), written so that the first column prunes."""
    sign = "<" if plan.order[0][1] else ">"
    names = [number(field.columns, plan.table, _NO_WIDE) for field, _ in plan.order]
    sql, params = "1=0", list[Any]()
    for name, value in reversed(list(zip(names, plan.after, strict=True))):
        sql, params = f"({name} {sign} ? OR ({name} = ? AND {sql}))", [value, value, *params]
    return f"{names[0]} {sign}= ? AND {sql}", [plan.after[0], *params]


def selected(fields: Sequence[Field], of: Table, dialect: Dialect) -> list[str]:
    """The expressions of fields; an address may be several."""
    out: list[str] = []
    for field in fields:
        if field.kind == "address":
            out.extend(dialect.address_columns(field.columns[0]))
        else:
            out.append(number(field.columns, of, dialect))
    return out


def ordering(plan: Plan, dialect: Dialect) -> str:
    """The ORDER BY of rows."""
    return ", ".join(
        f"{number(field.columns, plan.table, dialect)} {'DESC' if down else 'ASC'}" for field, down in plan.order
    )


def groups(plan: Plan, source: str, dialect: Dialect) -> Sql:
    """The aggregates over ``source`` by step of time and group; order and cut are made of the result."""
    keys = selected(plan.group, plan.table, dialect)
    if plan.spec.bucket_s:
        step = plan.spec.bucket_s * 1_000_000
        keys.insert(0, dialect.quotient.format(t="ts", step=step))
    values = [_aggregate(agg, plan, dialect) for agg in plan.spec.aggs]
    where, params = whole_where(plan, plan.where, dialect)
    by = f" GROUP BY {', '.join(str(index + 1) for index in range(len(keys)))}" if keys else ""
    return f"SELECT {', '.join([*keys, *values])} FROM {source} WHERE {where}{by}", params


def _aggregate(agg: Agg, plan: Plan, dialect: Dialect) -> str:
    if agg.fn == "count":
        return "count(*)"
    field = plan.fields[agg.f]
    if field.kind == "address":
        parts = dialect.address_columns(field.columns[0])
        inner = parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
    else:
        inner = number(field.columns, plan.table, dialect)
    sql = dialect.aggregate(agg.fn, inner)
    if not sql:
        raise QueryError(f"{agg.fn} is not known for {plan.table.name}", mend="count, sum, min, max, avg or distinct")
    return sql


_NO_WIDE = Dialect("", lambda _: ("", []), lambda _: (), lambda *_: ("", []), lambda *_: "", "BIGINT", "")
