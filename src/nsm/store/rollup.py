"""Sums per second, minute and hour, added in the same transaction as the rows that they sum.

``rollup(res, dim, t, key)`` holds flows, packets and bytes of one bucket; late rows land in their old bucket,
since it is an UPSERT. Dimensions with few values are exact at every level. Hosts and server ports are kept at a
minute and an hour only, and a bucket names at most so many of them; the first that come (the local ones and
the largest of a batch first) are admitted and exact, the rest are summed under the key ``other``. Who is admitted
is read back from the table itself, so that a restart, a late batch or a cleared store needs no care.

A host counts on both sides of its flows: ``bytes_s`` is what it sent, ``bytes_c`` what it received.
"""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nsm.iana import PROTO_SCTP, PROTO_TCP, PROTO_UDP
from nsm.model import address
from nsm.model.address import V4_PREFIX, Networks
from nsm.model.flow import FLOW
from nsm.model.table import Array, Rows
from nsm.model.traffic import SECOND

LEVELS: Final = (1, 60, 3600)  # seconds
DIMS: Final = ("total", "proto", "app", "iface", "direction", "host", "port", "wire")
CAPPED: Final = ("host", "port")
OTHER: Final = "other"
DIRECTIONS: Final = ("internal", "out", "in", "external")
MEASURES: Final = ("flows", "pkts", "bytes_s", "bytes_c")
DENSE_MAX: Final = 1 << 20  # cells up to which counting beats sorting
EXACT_MAX: Final = float(1 << 53)  # a float64 holds every integer up to here
NO_PORT: Final = 65536  # the code of flows without ports; its key is "none"
ANSWER_MAX: Final = (1 << 62) - 1  # SQLite's integers end at 2^63

UPSERT: Final = """INSERT INTO rollup VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET
 flows = flows + excluded.flows, pkts = pkts + excluded.pkts,
 bytes_s = bytes_s + excluded.bytes_s, bytes_c = bytes_c + excluded.bytes_c"""


class Keys(msgspec.Struct, frozen=True):
    """The keys of one dimension in a batch: ``codes[n]`` below ``count``; ``texts`` turns codes into keys.

    Where keys are admitted one by one, ``number[count]`` has a number of each and ``number_of`` gives the number
    of a text: equal texts have equal numbers, so that few texts have to be made. ``local`` ones come first.
    """

    dim: str
    codes: Array
    count: int
    texts: Callable[[Array], list[str]]
    number: Array | None = None
    number_of: Callable[[str], int] = int
    local: Array | None = None


class Cells(msgspec.Struct, frozen=True):
    """Sums of one level: bucket ``t`` (in units of the level), key ``code`` and the four measures, as columns."""

    t: Array
    code: Array
    sums: tuple[Array, ...]

    def take(self, index: Array) -> Cells:
        """These cells only."""
        return Cells(self.t[index], self.code[index], tuple(column[index] for column in self.sums))


class Caps(msgspec.Struct, frozen=True):
    """How many hosts or ports a bucket of a level may name."""

    minute: int
    hour: int

    def of(self, level: int) -> int:
        """The bound of a level."""
        return self.minute if level == 60 else self.hour


def add_rollups(connection: sqlite3.Connection, rows: Rows, home: Networks, caps: Caps) -> None:
    """Add the sums of a batch, within the caller's transaction. Tables without rollups are left alone."""
    if not len(rows):
        return
    if rows.table.name == FLOW.name:
        keys = _flow_keys(rows, home)
        measures = (np.ones(len(rows), np.uint64), _pair(rows, "pkts"), rows["bytes_s"], rows["bytes_c"])
    elif rows.table.name == SECOND.name:
        keys = [_numbers("wire", rows["iface"])]
        measures = (np.zeros(len(rows), np.uint64), rows["pkts"], rows["bytes_out"], rows["bytes_in"])
    else:
        return
    second = np.floor_divide(rows["ts"], 1_000_000)
    for one in keys:
        _add_dimension(connection, one, second, measures, caps)
    if rows.table.name == FLOW.name:
        _add_dimension(connection, *_host_rows(rows, home, second, measures), caps)


def _add_dimension(
    connection: sqlite3.Connection, keys: Keys, second: Array, measures: Sequence[Array], caps: Caps
) -> None:
    capped = keys.dim in CAPPED
    dim = DIMS.index(keys.dim)
    cells = Cells(second, keys.codes, tuple(measures))
    per = 1
    for level in LEVELS[1:] if capped else LEVELS:
        cells = _summed(Cells(np.floor_divide(cells.t, level // per), cells.code, cells.sums), keys.count)
        per = level
        if capped:
            kept, rest = _admit(connection, keys, cells, level, caps.of(level))
            connection.executemany(UPSERT, _rows(level, dim, cells.take(kept), keys.texts))
            others = Cells(rest.t, np.zeros(len(rest.t), np.int64), rest.sums)
            connection.executemany(UPSERT, _rows(level, dim, _summed(others, 1), lambda codes: [OTHER] * len(codes)))
        else:
            connection.executemany(UPSERT, _rows(level, dim, cells, keys.texts))


def _summed(cells: Cells, count: int) -> Cells:
    """The cells with equal (t, code) added up, in order of (t, code)."""
    if not len(cells.t):
        return cells
    base = int(cells.t.min())
    index = (cells.t - base) * count + cells.code
    if (int(cells.t.max()) - base + 1) * count <= DENSE_MAX:
        used = np.flatnonzero(np.bincount(index))
        sums = tuple(_binned(index, column, None)[used] for column in cells.sums)
    else:
        used, index = np.unique(index, return_inverse=True)
        sums = tuple(_binned(index, column, len(used)) for column in cells.sums)
    return Cells(used // count + base, used % count, sums)


def _binned(index: Array, column: Array, length: int | None) -> Array:
    if float(column.sum(dtype=np.float64)) < EXACT_MAX:
        weights = column.astype(np.float64)
        return np.bincount(index, weights, length or 0).astype(np.uint64)
    # Counters this large are not real traffic, but the sums are exact all the same.
    out = np.zeros(length or int(index.max()) + 1, np.uint64)
    np.add.at(out, index, column.astype(np.uint64))
    return out


def _rows(level: int, dim: int, cells: Cells, texts: Callable[[Array], list[str]]) -> Iterator[tuple[Any, ...]]:
    columns = [np.minimum(column, ANSWER_MAX).tolist() for column in cells.sums]
    times = (cells.t * level).tolist()
    for t, key, *sums in zip(times, texts(cells.code), *columns, strict=True):
        yield (level, dim, t, key, *sums)


def _admit(connection: sqlite3.Connection, keys: Keys, cells: Cells, level: int, most: int) -> tuple[Array, Cells]:
    """(positions of the cells whose key the bucket names, the other cells)."""
    dim = DIMS.index(keys.dim)
    kept: list[Array] = []
    starts = np.flatnonzero(np.diff(cells.t, prepend=cells.t[0] - 1))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(cells.t)], strict=True):
        codes, t = cells.code[start:stop], int(cells.t[start]) * level
        known = {row[0] for row in connection.execute(
            "SELECT key FROM rollup WHERE res=? AND dim=? AND t=? AND key<>?", (level, dim, t, OTHER))}  # fmt: skip
        named = _named(keys, codes, known)
        room = most - len(known)
        if room > 0:
            new = np.flatnonzero(~named)
            size = (cells.sums[2] + cells.sums[3])[start:stop][new]
            local = keys.local[codes[new]] if keys.local is not None else np.zeros(len(new), np.bool_)
            named[new[np.lexsort((-size.astype(np.float64), ~local))[:room]]] = True
        kept.append(np.flatnonzero(named) + start)
    chosen = np.concatenate(kept)
    rest = np.ones(len(cells.t), np.bool_)
    rest[chosen] = False
    return chosen, cells.take(rest)


def _named(keys: Keys, codes: Array, known: set[str]) -> Array:
    named = np.zeros(len(codes), np.bool_)
    if known and keys.number is not None:
        numbers = pa.array([keys.number_of(text) for text in known], pa.uint64())
        maybe = pc.is_in(pa.array(keys.number), value_set=numbers).to_numpy(zero_copy_only=False)
        spots = np.flatnonzero(maybe[codes])
        named[spots] = [text in known for text in keys.texts(codes[spots])]
    return named


def _flow_keys(rows: Rows, home: Networks) -> list[Keys]:
    length = len(rows)
    proto = rows["proto"]
    apps = pa.array(rows["app"], pa.string()).dictionary_encode()
    words = np.array([*apps.dictionary.to_pylist(), ""], object)[:-1]
    inside = home.contain(rows["src_hi"], rows["src_lo"]), home.contain(rows["dst_hi"], rows["dst_lo"])
    direction = np.where(inside[0], np.where(inside[1], 0, 1), np.where(inside[1], 2, 3))
    names = np.array(DIRECTIONS, object)
    has_ports = (proto == PROTO_TCP) | (proto == PROTO_UDP) | (proto == PROTO_SCTP)
    port = np.where(has_ports, rows["dst_port"].astype(np.int64), NO_PORT)
    return [
        Keys("total", np.zeros(length, np.int64), 1, lambda codes: [""] * len(codes)),
        _numbers("proto", proto),
        Keys("app", apps.indices.to_numpy().astype(np.int64), len(words), lambda codes: words[codes].tolist()),
        _numbers("iface", rows["iface"]),
        Keys("direction", direction, len(names), lambda codes: names[codes].tolist()),
        _ports(port),
    ]


def _ports(port: Array) -> Keys:
    values, codes = _distinct_small(port, NO_PORT + 1)
    texts = [str(value) if value != NO_PORT else "none" for value in values.tolist()]
    return Keys("port", codes, len(values), lambda wanted: [texts[code] for code in wanted.tolist()],
                values.astype(np.uint64), lambda text: NO_PORT if text == "none" else int(text))  # fmt: skip


def _low_half(text: str) -> int:
    if ":" in text:
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text)[8:], "big")
    return V4_PREFIX | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")


def _distinct_small(values: Array, most: int) -> tuple[Array, Array]:
    """(the distinct values, for each row the position of its value) of integers below ``most``."""
    distinct = np.flatnonzero(np.bincount(values, minlength=1))
    place = np.zeros(most, np.int64)
    place[distinct] = np.arange(len(distinct))
    return distinct, place[values]


def _numbers(dim: str, values: Array) -> Keys:
    return Keys(dim, values.astype(np.int64), 256, lambda codes: [str(code) for code in codes.tolist()])


def _host_rows(rows: Rows, home: Networks, second: Array, measures: Sequence[Array]) -> tuple[Keys, Array, list[Array]]:
    """Every flow twice, once for each of its hosts: keys, seconds, measures as seen from that host."""
    flows, pkts, to_server, to_client = measures
    hi = np.concatenate([rows["src_hi"], rows["dst_hi"]])
    lo = np.concatenate([rows["src_lo"], rows["dst_lo"]])
    first, codes = _distinct_pairs(hi, lo)
    hi, lo = hi[first], lo[first]
    keys = Keys("host", codes, len(first), lambda wanted: address.texts(hi[wanted], lo[wanted]),
                lo, _low_half, home.contain(hi, lo))  # fmt: skip
    sent, received = np.concatenate([to_server, to_client]), np.concatenate([to_client, to_server])
    return keys, np.tile(second, 2), [np.tile(flows, 2), np.tile(pkts, 2), sent, received]


def _distinct_pairs(hi: Array, lo: Array) -> tuple[Array, Array]:
    """(position of one row of each distinct pair, for each row the number of its pair)."""
    halves = [_encoded(part) for part in (hi, lo)]
    together = halves[0][1] * len(halves[1][0]) + halves[1][1]
    values, codes = _encoded(together)
    first = np.empty(len(values), np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return first, codes


def _encoded(values: Array) -> tuple[Array, Array]:
    # Arrow's hash table is several times faster here than sorting.
    encoded = pc.dictionary_encode(pa.array(values))
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy().astype(np.int64)


def _pair(rows: Rows, name: str) -> Array:
    return rows[f"{name}_s"] + rows[f"{name}_c"]
