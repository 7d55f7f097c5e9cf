"""Arrow tables and Parquet files: what comes out is what went in, as people name it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import SinkError
from nsm.model.address import halves
from nsm.model.flow import FLOW
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, ARP, SECOND, TARGET
from nsm.output.parquet import GROUP_ROWS, ParquetFile, arrow_schema, arrow_table


def flows(addresses: list[str], **columns: list[Any]) -> Rows:
    pairs = [halves(address) for address in addresses]
    made = {
        "ts": np.arange(len(pairs), dtype=np.int64) + 1_700_000_000_000_001,
        "src_hi": np.array([pair[0] for pair in pairs], np.uint64),
        "src_lo": np.array([pair[1] for pair in pairs], np.uint64),
        "app": np.array(["tls"] * len(pairs), object),
        "tick": np.zeros(len(pairs), np.int64),
        **{name: np.array(values, FLOW.column(name).dtype) for name, values in columns.items()},
    }
    return Rows(FLOW, made, len(pairs))


def test_addresses_are_text_times_are_times_and_numbers_stay() -> None:
    table = arrow_table(flows(["10.0.0.1", "2001:db8::1"], flow_id=[(1 << 51) - 1, 7], src_port=[443, 0]))
    assert table.column("src_ip").to_pylist() == ["10.0.0.1", "2001:db8::1"]
    assert table.column("dest_ip").to_pylist() == ["::", "::"]
    assert table.column("ts").to_pylist()[0] == datetime(2023, 11, 14, 22, 13, 20, 1, UTC)
    assert table.column("flow_id").to_pylist() == [(1 << 51) - 1, 7]
    assert table.column("app").to_pylist() == ["tls", "tls"]
    assert table.schema.field("src_port").type == pa.uint16()
    assert not {"src_hi", "src_lo", "tick"} & set(table.column_names)


@pytest.mark.parametrize("table", [FLOW, TARGET, ARP, ANOMALY, SECOND], ids=lambda table: str(table.name))
def test_every_record_type_has_a_table_with_or_without_rows(table: Any) -> None:
    for count in (0, 2):
        made = arrow_table(Rows(table, {}, count))
        assert made.num_rows == count
        assert made.schema == arrow_schema(table)


@given(sizes=st.lists(st.integers(0, 40), max_size=8))
def test_a_file_has_all_rows_in_order(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    path = tmp_path_factory.mktemp("p") / "f.parquet"
    number = 0
    with ParquetFile(path, FLOW) as file:
        for size in sizes:
            file.write(flows(["10.0.0.1"] * size, flow_id=list(range(number, number + size))))
            number += size
    assert file.count == number
    assert pq.read_table(path).column("flow_id").to_pylist() == list(range(number))


def test_row_groups_are_written_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    with ParquetFile(path, SECOND) as file:
        for _ in range(5):
            file.write(Rows(SECOND, {}, GROUP_ROWS // 2))
        assert path.stat().st_size > 1_000  # two groups are on the disk before the end
    assert [pq.ParquetFile(path).metadata.row_group(n).num_rows for n in range(3)] == [
        GROUP_ROWS, GROUP_ROWS, GROUP_ROWS // 2,
    ]  # fmt: skip


def test_a_file_that_was_not_finished_is_not_left_behind(tmp_path: Path) -> None:
    def interrupted() -> None:
        with ParquetFile(tmp_path / "f.parquet", FLOW) as file:
            file.write(flows(["10.0.0.1"]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*no such file"):
        ParquetFile(tmp_path / "none" / "f.parquet", FLOW)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    link = tmp_path / "f.parquet"
    link.symlink_to("/dev/full")
    with pytest.raises(SinkError, match="no space left"), ParquetFile(link, FLOW) as file:
        file.write(flows(["10.0.0.1"] * 100))
