"""Records between processes: whatever goes in comes out, from a file, from a pipe, in pieces."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.model.records import empty_records
from nsm.model.table import TEXT, Rows, Table
from nsm.run.record_messages import records_message, records_of
from nsm.run.table_transport import TABLES
from nsm.run.transport import decode, encode, lengths_of, read_message
from nsm.track.settings import WorkerSettings
from nsm.track.worker import Worker
from tests.data.detect.make import CASES, in_time
from tests.kernels.feeding import batch_of

Values = dict[str, Any]


def rows(table: Table, count: int) -> Rows:
    """Rows that have something of its own in every column."""
    columns: Values = {}
    for place, column in enumerate(table.columns):
        if column.dtype == TEXT:
            columns[column.name] = np.array([f"{column.name} {n} é" for n in range(count)], object)
        else:
            columns[column.name] = (np.arange(count) + place).astype(column.dtype)
    columns["tick"] = np.arange(count, dtype=np.int64)
    return Rows(table, columns, count)


def same(a: Rows, b: Rows) -> bool:
    if len(a) != len(b) or {name for name, _ in a.items()} != {name for name, _ in b.items()}:
        return False
    return all(array.dtype == b[name].dtype and array.tolist() == b[name].tolist() for name, array in a.items())


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("count", [1, 300])
def test_a_table_comes_out_as_it_went_in(name: str, count: int) -> None:
    sent = rows(TABLES[name], count)
    message = read_message(io.BytesIO(encode("records", {"watermark": 7}, [sent])))
    assert message is not None
    assert message.header == {"watermark": 7}
    assert same(message.tables[name], sent)


HEADERS = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name not in {"kind", "tables"}), st.integers(0, 2**60) | st.text()
)


@given(st.text(max_size=8), HEADERS)
def test_any_header_comes_out_as_it_went_in(kind: str, header: Values) -> None:
    message = read_message(io.BytesIO(encode(kind, header)))
    assert message is not None
    assert (message.kind, message.header, message.tables) == (kind, header, {})


@given(st.integers(0, 400))
def test_a_pipe_that_ends_early_ends_the_messages(cut: int) -> None:
    data = encode("records", {"watermark": 1}, [rows(TABLES["arp"], 3)])
    file = io.BytesIO(data + data[: min(cut, len(data) - 1)])
    assert read_message(file) is not None
    assert read_message(file) is None


def test_lengths_are_known_from_eight_bytes() -> None:
    data = encode("hello", {"a": 1})
    assert lengths_of(data[:7]) is None
    head, body = lengths_of(data[:8]) or (0, 0)
    assert len(data) == 8 + head + body
    assert decode(data[8 : 8 + head], data[8 + head :]).kind == "hello"


def test_a_message_beyond_the_bound_is_not_waited_for() -> None:
    assert read_message(io.BytesIO(b"\xff\xff\xff\x7f\xff\xff\xff\x7f" + bytes(100))) is None


def test_the_records_of_a_worker_come_out_as_they_went_in() -> None:
    timed = in_time(CASES["monitoring"])[:400]
    worker = Worker(WorkerSettings(batch_packets=512))
    worker.feed(batch_of([frame for _, frame in timed], times=[int(when * 1e9) for when, _ in timed]))
    worker.finish()
    sent = worker.take()
    message = read_message(io.BytesIO(records_message(sent, worker=3)))
    assert message is not None
    assert message.header["worker"] == 3
    got = records_of(message)
    assert got.watermark == sent.watermark
    assert len(got.flows) > 10
    for mine, theirs in zip(sent.tables, got.tables, strict=True):
        assert len(mine) == len(theirs)
        assert not len(mine) or same(mine, theirs)


def test_nothing_is_a_message_too() -> None:
    message = read_message(io.BytesIO(records_message(empty_records(5))))
    assert message is not None
    assert len(records_of(message)) == 0
    assert records_of(message).watermark == 5
