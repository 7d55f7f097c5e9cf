"""The catalogue: what the store keeps, derived from the record types of ``model``.

One ``Table`` gives the Arrow schema of files and of transport, the ClickHouse table, the fields of the query
language, and the rows of the documentation. Nothing about a column is said twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from nsm.errors import QueryError, StoreError
from nsm.iana import PROTO_NAMES
from nsm.model.finding import SEVERITY_WORDS
from nsm.model.flow import FLOW, EndReason, FlowState, Outcome, TcpState
from nsm.model.record import RECORD
from nsm.model.table import TEXT, Array, Column, Rows, Table
from nsm.model.traffic import ANOMALY, ARP, SECOND, TARGET

# Alerts change with time and with what people do, so they are rows of SQLite; the same language asks for them.
ALERT: Final = Table(
    "alert",
    "A deduplicated finding that a person should see",
    (
        Column("ts", "int64", "last seen, us UTC"),
        Column("id", "text", "identifier"),
        Column("first_seen", "int64", "first seen, us UTC"),
        Column("state", "text", "new, over, done, escalated, snoozed, muted or expected"),
        Column("detector", "text", "detector that states it"),
        Column("kind", "text", "network_scan, flood, large_packet, external_connection, new_host, ..."),
        Column("signature", "text", "one line for a person"),
        Column("signature_id", "int64", "number of the signature"),
        Column("category", "text", "category, as in EVE"),
        Column("severity", "uint8", "0 info, 1 low, 2 medium, 3 high, 4 critical"),
        Column("risk", "uint8", "0 to 100"),
        Column("count", "int64", "findings merged in it"),
        Column("src_port", "uint16", "source port, 0 none"),
        Column("dst_port", "uint16", "destination port, 0 none"),
        Column("proto", "uint8", "IP protocol number, 0 none"),
        Column("incident", "text", "the incident it belongs to"),
        Column("settings_hash", "text", "settings it was made under"),
    ),
    sort=("ts", "id"),
)

BULK: Final[Mapping[str, Table]] = {table.name: table for table in (FLOW, SECOND, TARGET, ARP, ANOMALY, RECORD)}
TABLES: Final[Mapping[str, Table]] = {**BULK, ALERT.name: ALERT}

_FREE_TEXT: Final[Mapping[str, tuple[str, ...]]] = {
    "flow": ("app", "label"),
    "anomaly": ("event",),
    "record": ("event_type", "app", "body"),
    "alert": ("signature", "detector", "category"),
}
_OUTSIDE: Final = {"alert": ("src", "dst", "host")}  # addresses that are not columns of hi and lo


class Field(msgspec.Struct, frozen=True):
    """A name of the query language.

    ``kind``: int, text or address. ``columns``: what it stands for; ``combine`` says how when there are
    several: either one may match, or their sum counts. ``words``: names of the values.
    """

    name: str
    kind: str
    doc: str
    columns: tuple[str, ...]
    combine: str = "one"
    words: Mapping[int, str] | None = None

    def value(self, word: str) -> int:
        """The number of a word, in any case; QueryError when there is none."""
        for number, name in (self.words or {}).items():
            if name.lower() == word.lower():
                return number
        known = sorted({name.lower() for name in (self.words or {}).values()})
        close = difflib.get_close_matches(word.lower(), known, 3) or known[:12]
        mend = f"a number, or {', '.join(close)}" if known else "a number"
        raise QueryError(f"{self.name} has no value {word!r}", mend=mend)


def _words(enum: type[Any]) -> dict[int, str]:
    return {int(member): member.name.lower() for member in enum}


_WORDS: Final[Mapping[str, Mapping[int, str]]] = {
    "proto": {**PROTO_NAMES, 58: "ICMPv6"},
    "severity": dict(enumerate(SEVERITY_WORDS)),
    "outcome": _words(Outcome),
    "state": _words(FlowState),
    "reason": _words(EndReason),
    "tcp_state": _words(TcpState),
}


def table(name: str) -> Table:
    """The table of that name; QueryError when there is none."""
    found = TABLES.get(name)
    if found is None:
        raise QueryError(f"there is no table {name!r}", mend=f"one of {', '.join(TABLES)}")
    return found


def fields(of: Table) -> dict[str, Field]:
    """Every name that a query over the table may use: columns first, then what is made of several."""
    out = {}
    names = set(of.names)
    for column in of.stored:
        kind = TEXT if column.dtype == TEXT else "int"
        words = _WORDS.get(column.name) if kind == "int" else None
        out[column.name] = Field(column.name, kind, column.doc, (column.name,), words=words)
    sides = [side for side in ("src", "dst") if f"{side}_hi" in names or side in _OUTSIDE.get(of.name, ())]
    for side in sides:
        out[side] = Field(side, "address", f"{'source' if side == 'src' else 'destination'} address", (side,))
    if sides:
        both = ("host",) if "host" in _OUTSIDE.get(of.name, ()) else tuple(sides)
        out["host"] = Field("host", "address", "address on either side", both, "either")
    if "src_port" in names:
        out["port"] = Field("port", "int", "port on either side", ("src_port", "dst_port"), "either")
    for name, doc in (("bytes", "bytes in both directions"), ("pkts", "packets in both directions")):
        if f"{name}_s" in names and name not in names:
            out[name] = Field(name, "int", doc, (f"{name}_s", f"{name}_c"), "sum")
    return out


def free_text(of: Table) -> tuple[str, ...]:
    """The text fields that a word without a field name is looked for in."""
    return _FREE_TEXT.get(of.name, ())


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column; text is a dictionary of strings."""
    if column.dtype == TEXT:
        return pa.dictionary(pa.int32(), pa.string())
    return pa.from_numpy_dtype(np.dtype(column.dtype))


def arrow_schema(of: Table, columns: tuple[Column, ...] | None = None) -> pa.Schema:
    """The Arrow schema of the given columns (default: those the store keeps); it names table and version."""
    chosen = of.stored if columns is None else columns
    metadata = {"nsm.table": of.name, "nsm.version": str(of.version)}
    return pa.schema([pa.field(column.name, arrow_type(column), nullable=False) for column in chosen], metadata)


def arrow_batch(rows: Rows) -> pa.RecordBatch:
    """The columns that the rows have, as Arrow; numbers are not copied. For transport between processes."""
    return _batch(rows, tuple(column for column in rows.table.columns if column.name in rows))


def stored_batch(rows: Rows) -> pa.RecordBatch:
    """The columns that the store keeps, as Arrow; one that the rows lack has its default."""
    return _batch(rows, rows.table.stored)


def _batch(rows: Rows, columns: tuple[Column, ...]) -> pa.RecordBatch:
    arrays = []
    for column in columns:
        values, kind = rows[column.name], arrow_type(column)
        if column.dtype != TEXT:
            # No copy when the array already has the type; a slice with a step is copied by Arrow.
            arrays.append(pa.array(np.asarray(values, column.dtype), kind))
        else:
            encoded = pa.array(values, pa.string()).dictionary_encode()
            arrays.append(encoded.cast(kind) if encoded.type != kind else encoded)
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(rows.table, columns))


def rows_of(batch: pa.RecordBatch) -> Rows:
    """The rows of ``arrow_batch``; numbers are views of the batch's memory. StoreError for another schema."""
    name = (batch.schema.metadata or {}).get(b"nsm.table", b"").decode()
    if name not in BULK:
        raise StoreError(f"a batch of an unknown table: {name!r}", mend="are all processes of the same version?")
    known = set(BULK[name].names)
    columns: dict[str, Array] = {}
    for field, array in zip(batch.schema, batch.columns, strict=True):
        if field.name not in known:
            continue  # a column that a newer sender has and this process does not know
        if pa.types.is_dictionary(field.type):
            words = np.array([*array.dictionary.to_pylist(), None], object)[:-1]
            columns[field.name] = words[array.indices.to_numpy()]
        else:
            columns[field.name] = array.to_numpy()
    return Rows(BULK[name], columns, batch.num_rows)


def clickhouse_ddl(of: Table) -> str:
    """The CREATE TABLE of a bulk table for the distributed engine: by day, sorted by time."""
    lines = ["  batch_id String"]
    for column in of.stored:
        kind = "LowCardinality(String)" if column.dtype == TEXT else column.dtype.replace("int", "Int")
        kind = kind.replace("uInt", "UInt")
        codec = " CODEC(Delta, ZSTD(3))" if column.name == "ts" else " CODEC(ZSTD(3))"
        lines.append(f"  {column.name} {kind}{codec} COMMENT '{column.doc}'")
    lines += [
        f"  INDEX {column.name}_bloom {column.name} TYPE bloom_filter(0.01) GRANULARITY 4"
        for column in of.stored
        if column.bloom
    ]
    day = "toYYYYMMDD(fromUnixTimestamp64Micro(ts))"
    body = ",\n".join(lines)
    return f"CREATE TABLE {of.name} (\n{body}\n) ENGINE = MergeTree PARTITION BY {day} ORDER BY ({', '.join(of.sort)})"


def documentation(of: Table) -> Iterator[tuple[str, str, str]]:
    """(field, kind, what it is) of every name that a query over the table may use."""
    for field in fields(of).values():
        yield field.name, field.kind, field.doc
