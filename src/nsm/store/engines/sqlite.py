"""SQLite: alerts, which change with time, and the sums that stand for raw rows."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from nsm.errors import QueryError
from nsm.store import sql
from nsm.store.plan import ROLLUP_SUMS, US, Plan, Within
from nsm.store.rollup import DIMS
from nsm.store.sql import Dialect, Sql

_AGGREGATES: Final = {
    "sum": "coalesce(sum({0}), 0)",
    "min": "min({0})",
    "max": "max({0})",
    "avg": "avg({0})",
    "distinct": "count(DISTINCT {0})",
}
_TEXT: Final = {
    "prefix": "substr({0}, 1, length(?1)) = ?1",
    "suffix": "substr({0}, -length(?1)) = ?1",
    "contains": "instr(lower({0}), lower(?1)) > 0",
}


def _address(node: Within) -> Sql:
    ends = [node.low.to_bytes(16, "big"), node.high.to_bytes(16, "big")]
    if node.base == "host":
        # A list and no EXISTS, so that the index on addresses leads.
        return "id IN (SELECT alert FROM alert_host WHERE address BETWEEN ? AND ?)", ends
    return f"coalesce({node.base} BETWEEN ? AND ?, 0)", ends


def _text(op: str, left: str, value: str) -> Sql:
    if op == "regex":
        raise QueryError("regular expressions are not known for alerts", mend="use contains, prefix or suffix")
    if op == "suffix" and not value:
        return "1=1", []
    count = _TEXT[op].count("?1")
    return _TEXT[op].format(left).replace("?1", "?"), [value] * count


DIALECT: Final = Dialect(
    "sqlite",
    _address,
    lambda base: (base,),
    _text,
    lambda fn, inner: _AGGREGATES.get(fn, "").format(inner),
    "INTEGER",
    "(ts / {step} - (ts % {step} < 0))",
)


def compile_rows(plan: Plan, limit: int) -> Sql:
    """The SQL of a question for alerts: the columns selected, then those of the order."""
    ordered = [field for field, _ in plan.order]
    columns = ", ".join(sql.selected([*plan.select, *ordered], plan.table, DIALECT))
    where, params = sql.whole_where(plan, plan.where, DIALECT)
    order = sql.ordering(plan, DIALECT)
    return f"SELECT {columns} FROM alert WHERE {where} ORDER BY {order} LIMIT ?", [*params, limit]


def compile_counts(plan: Plan, column: str) -> Sql:
    """The SQL of how many alerts there are for each value of a column; what the cursor says is left out."""
    everything = msgspec.structs.replace(plan, after=())
    where, params = sql.whole_where(everything, plan.where, DIALECT)
    return f"SELECT {column}, count(*) FROM alert WHERE {where} GROUP BY 1 ORDER BY 1", params


def compile_groups(plan: Plan) -> Sql:
    """The SQL of a question with aggregates over alerts, or over flows through their sums."""
    return _rollup(plan) if plan.rollup else sql.groups(plan, "alert", DIALECT)


def _rollup(plan: Plan) -> Sql:
    rollup, spec = plan.rollup, plan.spec
    if rollup is None or spec.start_us is None or spec.stop_us is None:
        raise QueryError("these sums need both ends of the time")
    keys = [f"t / {spec.bucket_s}"] if spec.bucket_s else []
    keys += ["key"] * len(plan.group)
    sums = ["flows" if agg.fn == "count" else ROLLUP_SUMS[agg.f] for agg in spec.aggs]
    columns = ", ".join([*keys, *(f"coalesce(sum({one}), 0)" for one in sums)])
    where = "res=? AND dim=? AND t>=? AND t<?"
    params: list[Any] = [rollup.level, DIMS.index(rollup.dim), spec.start_us // US, spec.stop_us // US]
    if rollup.keys:
        where += f" AND key IN ({','.join('?' * len(rollup.keys))})"
        params += rollup.keys
    by = f" GROUP BY {', '.join(str(index + 1) for index in range(len(keys)))}" if keys else ""
    return f"SELECT {columns} FROM rollup WHERE {where}{by}", params
