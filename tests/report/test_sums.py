"""Figures of a report beside what raw rows give, counted one by one."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsm.iana import PROTO_NAMES
from nsm.model.address import Networks
from nsm.report.gather import _before, gather
from nsm.report.html import page
from nsm.report.period import MINUTE_US, US, Period
from nsm.report.table import tables
from nsm.store.reader import Reader
from nsm.store.report_sums import Wanted
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.store.compare import raw_rows
from tests.store.conftest import HOUR_S, batch, flows

HOME = StoreSettings().home_net
SPAN_S = 9 * 3600


@pytest.fixture(scope="module")
def random_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flows of nine hours in several files, local and external, IPv4 and IPv6."""
    folder = tmp_path_factory.mktemp("sums")
    writer = Writer(folder, StoreSettings(ballast_bytes=0, free_min_bytes=0, free_early_bytes=0),
                    clock=lambda: HOUR_S + SPAN_S, background=False)  # fmt: skip
    for seq in range(4):
        assert writer.store([batch(seq + 1, flows(700, HOUR_S, SPAN_S, seed=seq, hosts=9))]) == (True,)
        if seq == 1:
            writer.maintain(force=True)
    writer.close()
    return folder


def inside(row: dict[str, Any], made: Period) -> bool:
    return bool(made.start_us <= row["ts"] < made.stop_us)


SCOPES = st.lists(
    st.sampled_from(["10.0.0.3", "10.0.0.4/31", "10.0.0.0/8", "2001:db8::5", "2001:db8::/125", "203.0.113.0/24", "2000::/3"]),
    max_size=3, unique=True,
).map(tuple)  # fmt: skip


def within(row: dict[str, Any], scope: tuple[str, ...]) -> bool:
    """Is one side of a flow in the scope? As the standard library has it."""
    sides = [ipaddress.ip_address(row[side]) for side in ("src", "dst")]
    return not scope or any(side in ipaddress.ip_network(part) for side in sides for part in scope)


def total(rows: list[dict[str, Any]]) -> tuple[int, int, int]:
    return (len(rows), sum(row["pkts_s"] + row["pkts_c"] for row in rows),
            sum(row["bytes_s"] + row["bytes_c"] for row in rows))  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, SPAN_S // 60 - 2), minutes=st.integers(2, SPAN_S // 60),
    zone=st.sampled_from(["UTC", "Asia/Kathmandu"]), scope=SCOPES,
)  # fmt: skip
def test_every_table_of_traffic_equals_raw_rows(
    random_store: Path, start: int, minutes: int, zone: str, scope: tuple[str, ...]
) -> None:
    first = HOUR_S * US + start * MINUTE_US
    made = Period(first, first + minutes * MINUTE_US, zone)
    found = gather(random_store, made, HOME, made.stop_us, scope=scope)
    everything = [row for row in raw_rows(random_store) if inside(row, made)]
    rows = [row for row in everything if within(row, scope)]
    assert (found.traffic is not None) == bool(everything)
    if found.traffic is None:
        return
    shown = {table.name: table.rows for table in tables(found)}
    by_app: dict[str, list[dict[str, Any]]] = defaultdict(list)
    by_proto: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_app[row["app"]].append(row)
        by_proto[row["proto"]].append(row)
    assert {row[0]: row[1:4] for row in shown["applications"]} == {
        app or "(unknown)": total(mine) for app, mine in by_app.items()
    }
    assert {row[0]: row[1:4] for row in shown["protocols"]} == {
        PROTO_NAMES.get(proto, str(proto)): total(mine) for proto, mine in by_proto.items()
    }
    steps = [(begin, *total([row for row in rows if begin <= row["ts"] < end])) for begin, end in made.steps()]
    assert list(shown["traffic"]) == steps
    hosts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        for side, sent, received in (("src", "bytes_s", "bytes_c"), ("dst", "bytes_c", "bytes_s")):
            for place, value in enumerate((1, row[sent], row[received])):
                hosts[row[side]][place] += value
    listed = {row[0]: list(row[2:5]) for name in ("hosts_local", "hosts_external") for row in shown[name]}
    assert listed == dict(hosts)
    home = Networks(HOME)
    assert {row[0] for row in shown["hosts_local"]} == {address for address in hosts if address in home}
    ports = Counter((row["dst_port"], row["proto"]) for row in rows if row["proto"] in (6, 17, 132))
    assert sum(row[1] for row in shown["ports"]) == sum(ports.values())
    assert found.traffic.services_count == len(ports)
    assert found.traffic.failed == sum(row["outcome"] in (1, 2) for row in rows)
    out = sum(row["bytes_s"] if row["src"] in home else row["bytes_c"] for row in rows
              if (row["src"] in home) != (row["dst"] in home))  # fmt: skip
    assert found.traffic.totals.out_bytes == out


def test_the_period_before_comes_from_rollups_and_equals_raw_rows(random_store: Path) -> None:
    middle = HOUR_S * US + 270 * MINUTE_US
    made = Period(middle, middle + 137 * MINUTE_US)
    found = gather(random_store, made, HOME, made.stop_us)
    rows = [row for row in raw_rows(random_store) if inside(row, made.previous())]
    assert found.before.totals is not None
    assert (found.before.totals.flows, found.before.totals.pkts, found.before.totals.bytes) == total(rows)
    by_app = Counter[str]()
    for row in rows:
        by_app[row["app"]] += row["bytes_s"] + row["bytes_c"]
    assert found.before.apps == dict(by_app)


@pytest.mark.parametrize("scope", [("10.0.0.3",), ("2001:db8::/125", "10.0.0.1"), ("203.0.113.1",)])
def test_the_period_before_of_a_scope_comes_from_raw_rows(random_store: Path, scope: tuple[str, ...]) -> None:
    middle = HOUR_S * US + 270 * MINUTE_US
    made = Period(middle, middle + 137 * MINUTE_US)
    before = gather(random_store, made, HOME, made.stop_us, scope=scope).before
    rows = [row for row in raw_rows(random_store) if inside(row, made.previous()) and within(row, scope)]
    assert before.totals is not None
    assert (before.totals.flows, before.totals.pkts, before.totals.bytes) == total(rows)
    by_app = Counter[str]()
    for row in rows:
        by_app[row["app"]] += row["bytes_s"] + row["bytes_c"]
    assert before.apps == dict(by_app)
    early = Period(HOUR_S * US + 60 * MINUTE_US, HOUR_S * US + 180 * MINUTE_US)
    assert gather(random_store, early, HOME, early.stop_us, scope=scope).before.totals is None


def test_sums_stand_in_where_rows_are_not_kept_any_more(random_store: Path) -> None:
    made = Period(HOUR_S * US + 60 * MINUTE_US, HOUR_S * US + 240 * MINUTE_US)
    reader = Reader(random_store)
    found = _before(reader, made, [], (made.stop_us, made.start_us))
    assert _before(reader, made, [], (made.stop_us, made.start_us + 1)).totals is None
    reader.close()
    assert found.totals is not None
    rows = [row for row in raw_rows(random_store) if inside(row, made)]
    assert (found.totals.flows, found.totals.pkts, found.totals.bytes) == total(rows)


def test_a_period_before_the_store_is_not_measured(random_store: Path) -> None:
    made = Period(HOUR_S * US + 60 * MINUTE_US, HOUR_S * US + 180 * MINUTE_US)
    assert gather(random_store, made, HOME, made.stop_us).before.totals is None


def test_too_many_hosts_for_memory_are_taken_from_rollups(random_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nsm.errors import QueryError
    from nsm.store.bulk import Bulk

    asked = Bulk.ask

    def refuse(self: Bulk, text: str, *rest: Any) -> Any:
        if "sides" in text:
            raise QueryError("the question needs more memory than allowed")
        return asked(self, text, *rest)

    monkeypatch.setattr(Bulk, "ask", refuse)
    made = Period(HOUR_S * US, HOUR_S * US + SPAN_S * US)
    found = gather(random_store, made, HOME, made.stop_us)
    assert found.traffic is not None
    assert not found.traffic.hosts_exact
    assert found.traffic.hosts
    (table,) = [table for table in tables(found) if table.name == "hosts_local"]
    assert "too many addresses" in table.note
    scoped = gather(random_store, made, HOME, made.stop_us, scope=("10.0.0.3",))
    assert not {table.name for table in tables(scoped)} & {"hosts_local", "hosts_external"}
    assert "Hosts: not measured" in page(scoped)


def test_an_empty_time_has_no_rows_and_no_error(random_store: Path) -> None:
    reader = Reader(random_store)
    sums = reader.report_sums(Wanted(start_us=0, stop_us=US, step_s=3600, home=HOME))
    reader.close()
    assert (sums.slices, sums.hosts, sums.services, sums.minutes) == ((), (), (), ())
