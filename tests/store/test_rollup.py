"""Sums: every level equal to the raw rows, bucket by bucket, with and without caps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsm.model.address import Networks
from nsm.store.reader import Reader
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.store.compare import differences, stored_sums
from tests.store.conftest import HOUR_S, T0_S, US, Clock, batch, flows, seconds, stored

HOME = Networks(StoreSettings().home_net)


def test_every_level_equals_the_raw_rows(writer: Writer, tmp_path: Path) -> None:
    stored(writer, flows(500, span_s=200), flows(500, T0_S + 100, 5_000, seed=2), flows(1, seed=3))
    held = stored_sums(tmp_path)
    assert {res for res, *_ in held} == {1, 60, 3600}
    assert {dim for _, dim, *_ in held} == {"total", "proto", "app", "iface", "direction", "host", "port"}
    assert differences(tmp_path, HOME) == []


def test_capped_dimensions_name_the_local_and_largest_and_sum_the_rest(open_writer: Any, tmp_path: Path) -> None:
    writer = open_writer(keys_minute_max=5, keys_hour_max=9, home_net=("10.0.0.0/30",))
    stored(writer, flows(400, HOUR_S, 50, hosts=40), flows(400, HOUR_S + 10, 50, seed=2, hosts=60))
    held = stored_sums(tmp_path)
    for level, most in ((60, 5), (3600, 9)):
        named = {key for res, dim, t, key in held if (res, dim, t) == (level, "host", HOUR_S)}
        assert len(named) == most + 1
        assert {"other", "10.0.0.1", "10.0.0.2", "10.0.0.3"} <= named
    # Named ones came in at once and are exact; "other" makes each bucket complete.
    assert differences(tmp_path, Networks(("10.0.0.0/30",))) == []


def test_a_late_batch_lands_in_its_old_bucket_also_after_a_restart(open_writer: Any, tmp_path: Path) -> None:
    first = open_writer(keys_minute_max=3)
    stored(first, flows(100, HOUR_S, 30))
    first.close()
    second = open_writer(keys_minute_max=3)
    assert second.store([batch(9, flows(100, HOUR_S, 30, seed=5, hosts=200))]) == (True,)
    assert differences(tmp_path, HOME) == []


def test_counters_above_what_a_float_holds_are_still_exact(writer: Writer, tmp_path: Path) -> None:
    rows = flows(3, HOUR_S, 1)
    rows["bytes_s"] = np.array([(1 << 53) + 1, 1, 1], np.uint64)
    stored(writer, rows)
    assert differences(tmp_path, HOME) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 60), st.integers(-4000, 4000), st.integers(0, 7300), st.integers(0, 99)),
        min_size=1, max_size=4,
    ),
    cap=st.integers(1, 12),
)  # fmt: skip
def test_any_batches_in_any_order_keep_the_sums(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, int, int, int]], cap: int
) -> None:
    directory = tmp_path_factory.mktemp("store")
    bounds = StoreSettings(keys_minute_max=cap, keys_hour_max=2 * cap, ballast_bytes=0)
    writer = Writer(directory, bounds, clock=Clock(), background=False)
    stored(writer, *(flows(count, T0_S + start, span, seed) for count, start, span, seed in parts))
    writer.close()
    assert differences(directory, HOME) == []


def test_wire_is_summed_by_interface_from_seconds(writer: Writer, tmp_path: Path) -> None:
    stored(writer, seconds(120, HOUR_S))
    reader = Reader(tmp_path)
    received = reader.series("wire", ["1"], "bytes_c", HOUR_S * US, (HOUR_S + 120) * US, 60)
    assert received["values"] == [[60 * sum(range(1, 61)), 60 * sum(range(61, 121))]]
    assert reader.series("wire", ["1"], "bytes_s", HOUR_S * US, (HOUR_S + 2) * US, 1)["values"] == [[40, 80]]
    assert reader.top("wire", "pkts", HOUR_S * US, (HOUR_S + 3600) * US)[0]["flows"] == 0
    reader.close()


def test_series_and_top_add_up_to_the_rows(writer: Writer, tmp_path: Path) -> None:
    rows = flows(600, HOUR_S - 100, 4_000)
    stored(writer, rows)
    reader = Reader(tmp_path)
    whole = int(rows["bytes_s"].sum() + rows["bytes_c"].sum())
    start, stop = (HOUR_S - 100) * US, (HOUR_S + 4_000) * US
    for step_s in (1, 2, 60, 300, 3600):
        if (stop - start) // (step_s * US) <= 2_000:
            for dim in ("total", "proto", "app", "direction"):
                found = reader.series(dim, None, "bytes", start, stop, step_s)
                assert sum(map(sum, found["values"])) == whole, (dim, step_s)
    for dim in ("proto", "app", "port"):
        top = reader.top(dim, "bytes", start, stop, 2)
        assert len(top) == 3
        assert top[-1]["key"] == "other"
        assert sum(entry["bytes"] for entry in top) == whole
    assert sum(entry["bytes"] for entry in reader.top("host", "bytes", start, stop, 5)) == 2 * whole
    reader.close()
