"""What an engine found, made into the answer: addresses as text, order, top lists, empty steps of time.

It is done here and not by the engines, so that all of them give the same answer to the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from nsm.errors import QueryError
from nsm.model import address
from nsm.store.catalog import Field
from nsm.store.plan import ADDITIVE, US, Plan

GROUPS_MAX: Final = 300_000  # ours: more are a question too wide for a person; 0.3 s to read
Row = tuple[Any, ...]


def with_addresses(fields: Sequence[Field], rows: Iterable[Sequence[Any]], split: bool) -> list[Row]:
    """The rows with every address as text; ``split``: it comes as two halves, else as 16 bytes or None."""
    if not any(field.kind == "address" for field in fields):
        return [tuple(row) for row in rows]
    out = []
    for row in rows:
        values, at = [], 0
        for field in fields:
            if field.kind != "address":
                values.append(row[at])
            elif split:
                values.append(address.text(row[at], row[at + 1]))
                at += 1
            else:
                values.append(bytes_text(row[at]))
            at += 1
        out.append((*values, *row[at:]))
    return out


def bytes_text(value: bytes | None) -> str:
    """The text of an address of 16 bytes; empty when there is none."""
    return address.text(int.from_bytes(value[:8], "big"), int.from_bytes(value[8:], "big")) if value else ""


def group_columns(plan: Plan) -> tuple[str, ...]:
    """The columns of grouped answers: the start of the step, the groups, the aggregates."""
    step = ("t",) if plan.spec.bucket_s else ()
    return (*step, *(field.name for field in plan.group), *(agg.label for agg in plan.spec.aggs))


def grouped(plan: Plan, found: list[Row]) -> list[Row]:
    """The rows of a grouped answer: complete, in order, cut to top list and limit."""
    spec = plan.spec
    keys = bool(spec.bucket_s) + len(plan.group)
    if len(found) > GROUPS_MAX:
        raise QueryError(f"more than {GROUPS_MAX} groups", mend="narrow the time or add a condition")
    if spec.bucket_s:
        step = spec.bucket_s * US
        found = [(row[0] * step, *row[1:]) for row in found]
    if spec.top is not None:
        found = _top(plan, found, keys)
    if spec.bucket_s and spec.fill:
        found = _filled(plan, found, keys)
    found.sort(key=lambda row: tuple(_sortable(value) for value in row[:keys]))
    if spec.top is not None and not spec.bucket_s:
        by = keys + [agg.label for agg in spec.aggs].index(spec.top.by)
        # Stable: ties stay in the order of their keys. The rest, whose key is None, comes last.
        found.sort(key=lambda row: (row[keys - 1] is None, -(row[by] or 0)))
    columns = group_columns(plan)
    for name, way in reversed(spec.order):
        if name not in columns:
            raise QueryError(f"cannot order by {name!r}", mend=f"one of {', '.join(columns)}")
        at = columns.index(name)
        found.sort(key=lambda row: _sortable(row[at]), reverse=way == "desc")
    return found


def _top(plan: Plan, found: list[Row], keys: int) -> list[Row]:
    top, step = plan.spec.top, bool(plan.spec.bucket_s)
    if top is None or keys == step:
        return found
    by = keys + [agg.label for agg in plan.spec.aggs].index(top.by)
    total: dict[Row, Any] = {}
    for row in found:
        total[row[step:keys]] = (total.get(row[step:keys]) or 0) + (row[by] or 0)
    ranked = sorted(total, key=lambda key: (-total[key], tuple(_sortable(value) for value in key)))
    chosen = set(ranked[: top.n])
    out = [row for row in found if row[step:keys] in chosen]
    rest: dict[Row, list[Any]] = {}
    for row in found if top.other else []:
        if row[step:keys] not in chosen:
            sums = rest.setdefault(row[:step], [0] * len(plan.spec.aggs))
            for index, value in enumerate(row[keys:]):
                sums[index] += value
    out += [(*time, *[None] * len(plan.group), *sums) for time, sums in rest.items()]
    return out


def _filled(plan: Plan, found: list[Row], keys: int) -> list[Row]:
    spec, step = plan.spec, plan.spec.bucket_s * US
    if spec.start_us is None or spec.stop_us is None:
        return found
    empty = tuple(0 if agg.fn in ADDITIVE else None for agg in spec.aggs)
    there = {row[:keys]: row for row in found}
    names = {row[1:keys]: None for row in found} or ({(): None} if not plan.group else {})
    times = range(spec.start_us // step * step, spec.stop_us, step)
    if len(names) * len(times) > GROUPS_MAX:
        raise QueryError(f"more than {GROUPS_MAX} cells", mend="fewer groups (top), or a longer step")
    return [there.get((t, *name), (t, *name, *empty)) for name in names for t in times]


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is None, 0 if value is None else value)
