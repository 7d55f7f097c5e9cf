"""Sums over time and top lists, from rollups alone: what the page's graphs read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from nsm.errors import QueryError
from nsm.store.plan import US
from nsm.store.queryspec import BUCKETS_MAX
from nsm.store.rollup import CAPPED, DIMS, LEVELS, MEASURES, OTHER

KEYS_DEFAULT: Final = 8  # series of a chart: ux.md 3.3
KEYS_MAX: Final = 100
_MEASURES: Final[Mapping[str, str]] = {**{name: name for name in MEASURES}, "bytes": "bytes_s + bytes_c"}


def series(
    connection: sqlite3.Connection, floors: Mapping[int, int], dim: str, keys: Sequence[str] | None,
    measure: str, start_us: int, stop_us: int, step_s: int,
) -> dict[str, Any]:  # fmt: skip
    """{t0, step_s, keys, values}: see ``Reader.series``."""
    number, expression = _dimension(dim), _measure(measure)
    if step_s < 1 or stop_us <= start_us or (stop_us - start_us) // (step_s * US) > BUCKETS_MAX:
        raise QueryError(f"a series has 1 to {BUCKETS_MAX} steps of at least a second")
    first = start_us // US // step_s * step_s
    last = -(-stop_us // US)
    level = _level(dim, first, step_s, floors)
    if level is None:
        raise QueryError(
            f"{dim} is not kept in steps of {step_s} s at that time", mend="60 s and 3600 s go back further"
        )
    names = list(keys) if keys is not None else _largest(connection, level, number, expression, first, last)
    if len(names) > KEYS_MAX:
        raise QueryError(f"more than {KEYS_MAX} series")
    length = -(-(last - first) // step_s)
    values = {name: [0] * length for name in names}
    rest = [0] * length if keys is None else None
    for step, key, value in connection.execute(
        f"SELECT (t - ?) / ?, key, sum({expression}) FROM rollup WHERE res=? AND dim=? AND t>=? AND t<? GROUP BY 1, 2",
        (first, step_s, level, number, first, last),
    ):
        if key in values:
            values[key][step] = value
        elif rest is not None:
            rest[step] += value
    if rest is not None and any(rest):
        values[OTHER] = rest
    return {"t0": first * US, "step_s": step_s, "keys": list(values), "values": list(values.values())}


def top(
    connection: sqlite3.Connection,
    floors: Mapping[int, int],
    dim: str,
    measure: str,
    start_us: int,
    stop_us: int,
    n: int,
) -> list[dict[str, Any]]:
    """The largest keys and the rest: see ``Reader.top``. Ends are rounded out to the finest level that is kept."""
    number, expression = _dimension(dim), _measure(measure)
    if not 1 <= n <= 1_000 or stop_us <= start_us:
        raise QueryError("a top list has 1 to 1,000 entries, and its time an end after its start")
    parts = _cover(start_us, stop_us, floors)
    # Parts side by side: an OR would make SQLite visit its index row by row.
    one = "SELECT key, flows, pkts, bytes_s, bytes_c FROM rollup WHERE res=? AND dim=? AND t>=? AND t<?"
    source = f"({' UNION ALL '.join(one for _ in parts)})"
    params = [value for level, first, last in parts for value in (level, number, first, last)]
    # First the names by one sum, then all sums of these few: a third of the time of sorting everything.
    names = [
        row[0]
        for row in connection.execute(
            f"SELECT key FROM {source} WHERE NOT (key=? AND ?) GROUP BY key"
            f" ORDER BY sum({expression}) DESC, key LIMIT ?",
            (*params, OTHER, dim in CAPPED, n),
        )
    ]
    listed = f"{source} WHERE key IN ({','.join('?' * len(names))}) GROUP BY key"
    found = dict(_sums(connection, "key", listed, [*params, *names]))
    whole = dict(_sums(connection, "''", source, params))[""]
    chosen = [sum(column) for column in zip(*found.values(), strict=True)] or [0, 0, 0, 0]
    rest = [total - named for total, named in zip(whole, chosen, strict=True)]
    out = [_entry(name, *found[name]) for name in names]
    return [*out, _entry(OTHER, *rest)] if any(rest) else out


def _sums(
    connection: sqlite3.Connection, key: str, source: str, params: Sequence[Any]
) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    columns = ", ".join(f"coalesce(sum({name}), 0)" for name in MEASURES)
    for name, *sums in connection.execute(f"SELECT {key}, {columns} FROM {source}", params):
        flows, pkts, bytes_s, bytes_c = sums
        yield name, (flows, pkts, bytes_s, bytes_c)


def _entry(key: str, flows: int, pkts: int, bytes_s: int, bytes_c: int) -> dict[str, Any]:
    return {
        "key": key,
        "flows": flows,
        "pkts": pkts,
        "bytes": bytes_s + bytes_c,
        "bytes_s": bytes_s,
        "bytes_c": bytes_c,
    }


def _dimension(dim: str) -> int:
    if dim not in DIMS:
        raise QueryError(f"there are no sums by {dim!r}", mend=f"one of {', '.join(DIMS)}")
    return DIMS.index(dim)


def _measure(measure: str) -> str:
    if measure not in _MEASURES:
        raise QueryError(f"there is no measure {measure!r}", mend=f"one of {', '.join(_MEASURES)}")
    return _MEASURES[measure]


def _level(dim: str, first: int, step_s: int, floors: Mapping[int, int]) -> int | None:
    kept = [level for level in LEVELS if not (level == 1 and dim in CAPPED)]
    fitting = [level for level in kept if step_s % level == 0]
    complete = [level for level in fitting if floors[level] <= first]
    # Before the floor of every fitting level the coarsest one has what is left.
    return max(complete) if complete else (max(fitting) if fitting else None)


def _cover(start_us: int, stop_us: int, floors: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """(level, first, last) parts of the time: whole hours from hours, the ends from minutes."""
    first, last = start_us // US // 60 * 60, -(-stop_us // US // 60) * 60
    inner = -(-first // 3600) * 3600, last // 3600 * 3600
    if first < floors[60]:  # only hours are left of that time
        parts = [(3600, first // 3600 * 3600, inner[1]), (60, inner[1], last)]
        if inner[0] >= inner[1]:
            parts = [(3600, first // 3600 * 3600, last)]
    elif inner[0] >= inner[1]:
        parts = [(60, first, last)]
    else:
        parts = [(60, first, inner[0]), (3600, *inner), (60, inner[1], last)]
    return [part for part in parts if part[1] < part[2]]


def _largest(connection: sqlite3.Connection, level: int, dim: int, expression: str, first: int, last: int) -> list[str]:
    rows = connection.execute(
        f"SELECT key FROM rollup WHERE res=? AND dim=? AND t>=? AND t<? AND NOT (key=? AND dim IN (?,?))"
        f" GROUP BY key ORDER BY sum({expression}) DESC, key LIMIT ?",
        (level, dim, first, last, OTHER, *(DIMS.index(name) for name in CAPPED), KEYS_DEFAULT),
    )
    return [row[0] for row in rows]
