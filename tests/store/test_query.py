"""Questions: what the engines answer, beside a slow twin over plain rows."""

from __future__ import annotations

import contextlib
import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from nsm.errors import QueryError
from nsm.iana import PROTO_TCP, PROTO_UDP
from nsm.model.finding import Severity
from nsm.store import catalog
from nsm.store.plan import plan
from nsm.store.queryspec import Agg, And, Node, Not, Or, QuerySpec, Term, Top, from_json, to_json
from nsm.store.reader import AlertFilter, Reader, sql_of
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer
from tests.store.compare import raw_rows
from tests.store.conftest import HOUR_S, T0_S, US, alert, batch, flows

ROWS = 900


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with segments and open batches that overlap in time."""
    directory = tmp_path_factory.mktemp("store")
    writer = Writer(directory, StoreSettings(ballast_bytes=0), background=False)
    for seq in range(9):
        writer.store([batch(seq, flows(ROWS // 9, HOUR_S + seq * 15 % 70, 60, seed=seq))])
        if seq in (2, 5):
            writer.maintain(force=True)
    writer.close()
    return directory


@pytest.fixture(scope="module")
def reader(directory: Path) -> Iterator[Reader]:
    reader = Reader(directory)
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def rows(directory: Path) -> list[dict[str, Any]]:
    return raw_rows(directory)


# The slow twin: the meaning of a condition, straight from the description of the fields.


def number(field: str, row: dict[str, Any]) -> list[int]:
    if field in ("bytes", "pkts"):
        return [row[f"{field}_s"] + row[f"{field}_c"]]
    return [row["src_port"], row["dst_port"]] if field == "port" else [row[field]]


def holds(node: Node, row: dict[str, Any]) -> bool:  # noqa: PLR0911  one for each form
    if isinstance(node, And):
        return all(holds(child, row) for child in node.all)
    if isinstance(node, Or):
        return any(holds(child, row) for child in node.any)
    if isinstance(node, Not):
        return not holds(node.no, row)
    if node.op == "!=":
        return not holds(Term(node.f, "=", node.v), row)
    if node.f in ("src", "dst", "host"):
        sides = [row["src"], row["dst"]] if node.f == "host" else [row[node.f]]
        networks = [
            ipaddress.ip_network(str(v), strict=False) for v in (node.v if isinstance(node.v, tuple) else (node.v,))
        ]
        return any(ipaddress.ip_address(side) in network for side in sides for network in networks)
    if node.f == "app":
        return text_holds(node, row["app"])
    value: Any = node.v
    return any(number_holds(node.op, x, value) for x in number(node.f, row))


def number_holds(op: str, x: int, value: Any) -> bool:
    if op == "in":
        return bool(x in value)
    if op == "between":
        return bool(value[0] <= x <= value[1])
    if op == "exists":
        return x != 0
    return bool({"=": x == value, "<": x < value, "<=": x <= value, ">": x > value, ">=": x >= value}[op])


def text_holds(node: Term, text: str) -> bool:
    if node.op == "in":
        return isinstance(node.v, tuple) and text in node.v
    value = str(node.v)
    return {
        "=": text == value, "prefix": text.startswith(value), "suffix": text.endswith(value),
        "contains": value.lower() in text.lower(), "exists": text != "",
    }[node.op]  # fmt: skip


ADDRESSES = [
    "10.0.0.1",
    "10.0.0.7",
    "2001:db8::3",
    "10.0.0.0/29",
    "2001:db8::/64",
    "2001:db8::/126",
    "::/0",
    "0.0.0.0/0",
]
INTS = st.sampled_from(["proto", "src_port", "dst_port", "port", "bytes", "bytes_s", "pkts", "outcome", "iface"])
VALUES = st.sampled_from([0, 1, 6, 17, 53, 443, 8080, 60_000, 3_000_000])
TERMS: st.SearchStrategy[Node] = st.one_of(
    st.builds(Term, INTS, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES),
    st.builds(Term, INTS, st.just("in"), st.lists(VALUES, min_size=1, max_size=4).map(tuple)),
    st.builds(Term, INTS, st.just("between"), st.tuples(VALUES, VALUES)),
    st.builds(Term, INTS, st.just("exists")),
    st.builds(Term, st.just("app"), st.sampled_from(["=", "!=", "prefix", "suffix", "contains"]),
              st.sampled_from(["tls", "t", "S", "", "x%_"])),
    st.builds(Term, st.sampled_from(["src", "dst", "host"]), st.sampled_from(["cidr", "=", "!="]),
              st.sampled_from(ADDRESSES)),
    st.builds(Term, st.just("host"), st.just("in"),
              st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3).map(tuple)),
)  # fmt: skip
NODES: st.SearchStrategy[Node] = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
SPANS = st.sampled_from(
    [(None, None), (HOUR_S * US, (HOUR_S + 60) * US), ((HOUR_S + 20) * US, None), (None, HOUR_S * US)]
)


def chosen(rows: list[dict[str, Any]], spec: QuerySpec) -> list[dict[str, Any]]:
    return [
        row for row in rows
        if (spec.start_us is None or row["ts"] >= spec.start_us)
        and (spec.stop_us is None or row["ts"] < spec.stop_us)
        and (spec.where is None or holds(spec.where, row))
    ]  # fmt: skip


@settings(deadline=None, max_examples=120)
@given(node=NODES, span=SPANS, limit=st.sampled_from([1, 7, 200, 10_000]))
def test_rows_are_those_of_the_slow_twin(
    reader: Reader, rows: list[dict[str, Any]], node: Node, span: tuple[int | None, int | None], limit: int
) -> None:
    spec = QuerySpec(
        where=node, start_us=span[0], stop_us=span[1], limit=limit, select=("ts", "flow_id", "src", "dst", "app")
    )
    expected = sorted(chosen(rows, spec), key=lambda row: (row["ts"], row["flow_id"]), reverse=True)
    found = reader.query(spec)
    assert found.rows == [(row["ts"], row["flow_id"], row["src"], row["dst"], row["app"]) for row in expected[:limit]]
    assert found.stats.truncated == (len(expected) > limit)


@settings(deadline=None, max_examples=80)
@given(
    node=st.one_of(st.none(), NODES), span=SPANS, group=st.sampled_from([(), ("app",), ("proto", "src"), ("dst_port",)])
)
def test_groups_are_those_of_the_slow_twin(
    reader: Reader,
    rows: list[dict[str, Any]],
    node: Node | None,
    span: tuple[int | None, int | None],
    group: tuple[str, ...],
) -> None:
    aggs = (Agg("count", name="n"), Agg("sum", "bytes", "b"), Agg("max", "pkts"), Agg("distinct", "dst"))
    spec = QuerySpec(where=node, start_us=span[0], stop_us=span[1], group=group, aggs=aggs, limit=10_000)
    parts: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in chosen(rows, spec):
        parts[tuple(row[name] for name in group)].append(row)
    expected = [
        (*key, len(part), sum(row["bytes_s"] + row["bytes_c"] for row in part),
         max((row["pkts_s"] + row["pkts_c"] for row in part), default=None), len({row["dst"] for row in part}))
        for key, part in sorted(parts.items() if parts or group else [((), [])])
    ]  # fmt: skip
    assert reader.query(spec).rows == expected


@settings(deadline=None, max_examples=60)
@given(
    dim=st.sampled_from(["app", "proto", "iface"]), grouped=st.booleans(), step=st.sampled_from([0, 1, 5, 60]),
    keys=st.sampled_from([None, ("tls",), ("6", "17"), ("1",)]), start=st.integers(0, 30), length=st.integers(1, 120),
)  # fmt: skip
def test_sums_and_raw_rows_give_the_same_answer(
    reader: Reader, dim: str, grouped: bool, step: int, keys: tuple[str, ...] | None, start: int, length: int
) -> None:
    if keys is not None and (dim == "app") != (keys == ("tls",)):
        keys = None
    node = None if keys is None else Term(dim, "in", keys)
    spec = QuerySpec(
        start_us=(HOUR_S + start) * US, stop_us=(HOUR_S + start + length) * US, where=node, bucket_s=step, limit=10_000,
        group=(dim,) if grouped else (), aggs=(Agg("count"), Agg("sum", "bytes"), Agg("sum", "pkts")), fill=bool(step),
    )  # fmt: skip
    by_sums = reader.query(spec)
    always = Term("bytes", ">=", 0)  # no sum knows this, so the rows are read
    raw = reader.query(QuerySpec(**{
        name: getattr(spec, name) for name in ("start_us", "stop_us", "bucket_s", "limit", "group", "aggs", "fill")
    }, where=always if node is None else And((always, node))))  # fmt: skip
    assert (by_sums.stats.source, raw.stats.source) == ("rollup", "raw")
    assert by_sums.rows == raw.rows


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("way", ["desc", "asc"])
def test_pages_are_complete_and_without_repeats(
    reader: Reader, rows: list[dict[str, Any]], limit: int, way: str
) -> None:
    seen: list[tuple[Any, ...]] = []
    cursor = None
    node = Term("proto", "=", "tcp")
    while True:
        spec = QuerySpec(where=node, select=("ts", "flow_id"), limit=limit, cursor=cursor, order=(("ts", way),))
        page = reader.query(spec)
        seen += page.rows
        cursor = page.cursor
        if cursor is None:
            break
    expected = [(row["ts"], row["flow_id"]) for row in rows if row["proto"] == PROTO_TCP]
    assert seen == sorted(expected, reverse=way == "desc")


def test_a_top_list_has_the_rest_and_adds_up(reader: Reader, rows: list[dict[str, Any]]) -> None:
    aggs = (Agg("count", name="n"), Agg("sum", "bytes", "b"))
    whole = reader.query(QuerySpec(aggs=aggs)).rows[0]
    found = reader.query(QuerySpec(aggs=aggs, group=("src",), top=Top("b", 3, other=True))).rows
    assert len(found) == 4
    assert found[-1][0] is None
    assert [row[2] for row in found[:3]] == sorted((row[2] for row in found[:3]), reverse=True)
    assert (sum(row[1] for row in found), sum(row[2] for row in found)) == whole
    assert reader.query(QuerySpec(aggs=aggs, group=("src",), top=Top("b", 3))).rows == found[:3]


def test_steps_of_time_without_rows_are_filled(reader: Reader) -> None:
    spec = QuerySpec(
        start_us=(HOUR_S - 120) * US, stop_us=(HOUR_S + 120) * US, bucket_s=60, fill=True, aggs=(Agg("count"),)
    )
    found = reader.query(spec).rows
    assert [row[0] for row in found] == [(HOUR_S + at) * US for at in (-120, -60, 0, 60)]
    assert found[0][1] == 0
    assert sum(row[1] for row in found) > 0


def test_the_last_flows_of_a_host_are_the_newest(reader: Reader, rows: list[dict[str, Any]]) -> None:
    for host in ("10.0.0.3", "2001:db8::5", "192.0.2.1"):
        expected = sorted((row for row in rows if host in (row["src"], row["dst"])), key=lambda row: -row["ts"])[:20]
        found = reader.flows_of_host(host, 20)
        assert [row["ts"] for row in found] == [row["ts"] for row in expected]
        assert all(host in (row["src"], row["dst"]) for row in found)


def test_quantiles_and_last_value(reader: Reader, rows: list[dict[str, Any]]) -> None:
    found = reader.query(QuerySpec(aggs=(Agg("p50", "bytes_s"), Agg("avg", "pkts_s"), Agg("last", "ts"))))
    values = sorted(row["bytes_s"] for row in rows)
    middle = (values[len(values) // 2 - 1] + values[len(values) // 2]) / 2
    assert found.rows[0][0] == pytest.approx(middle)
    assert found.rows[0][1] == pytest.approx(sum(row["pkts_s"] for row in rows) / len(rows))
    assert found.rows[0][2] == max(row["ts"] for row in rows)


def test_what_is_estimated_says_so(reader: Reader) -> None:
    assert not reader.query(QuerySpec(aggs=(Agg("distinct~", "src"),))).stats.exact
    assert reader.query(QuerySpec(aggs=(Agg("distinct", "src"),))).stats.exact


BAD = {
    "no table": QuerySpec(table="flows"),
    "no field": QuerySpec(where=Term("sorce", "=", 1)),
    "rows .* or groups": QuerySpec(select=("ts",), aggs=(Agg("count"),)),
    "limit is": QuerySpec(limit=10_001),
    "nested deeper": QuerySpec(where=Not(Not(Not(Not(Not(Not(Not(Not(Term("app", "=", "x")))))))))),
    "more than 64": QuerySpec(where=And(tuple(Term("app", "=", "x") for _ in range(65)))),
    "more than 1000 values": QuerySpec(where=Term("proto", "in", tuple(range(1_001)))),
    "more than 2000 steps": QuerySpec(start_us=0, stop_us=10**10, bucket_s=1, aggs=(Agg("count"),)),
    "at most 200": QuerySpec(where=Term("app", "regex", "x" * 201)),
    "not a regular": QuerySpec(where=Term("app", "regex", "(")),
    "two fields": QuerySpec(select=("host",)),
    "no aggregate": QuerySpec(aggs=(Agg("median", "ts"),)),
    "needs a number": QuerySpec(aggs=(Agg("sum", "app"),)),
    "both ends": QuerySpec(bucket_s=60, aggs=(Agg("count"),)),
    "not one of ours": QuerySpec(cursor="!!"),
    "another query": QuerySpec(cursor="WzFd"),
    "out of range": QuerySpec(start_us=1 << 70),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_question_is_refused_before_it_is_run(message: str) -> None:
    with pytest.raises(QueryError, match=message):
        plan(BAD[message])


def test_a_question_beyond_its_budget_ends_with_an_error_and_the_reader_goes_on(reader: Reader) -> None:
    slow = QuerySpec(
        where=Or(tuple(Term("app", "regex", f"(.*a){{{n}}}.*b") for n in range(1, 60))),
        aggs=(Agg("count"),),
        budget_ms=1,
    )
    with pytest.raises(QueryError, match="longer than 1 ms"):
        reader.query(slow)
    assert reader.query(QuerySpec(aggs=(Agg("count"),))).rows == [(ROWS,)]


@given(NODES, SPANS, st.sampled_from([(), ("app",)]))
def test_the_json_form_gives_the_same_question_back(
    node: Node, span: tuple[int | None, int | None], group: tuple[str, ...]
) -> None:
    spec = QuerySpec(where=node, start_us=span[0], stop_us=span[1], group=group, aggs=(Agg("sum", "bytes", "b"),),
                     bucket_s=60, top=Top("b", 3), order=(("b", "desc"),), limit=7)  # fmt: skip
    assert from_json(to_json(spec), 0) == spec


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        "table",
                        "time",
                        "where",
                        "and",
                        "or",
                        "not",
                        "f",
                        "op",
                        "v",
                        "aggs",
                        "fn",
                        "limit",
                        "bucket",
                        "every",
                        "top",
                        "order",
                        "from",
                    ]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_question_or_a_query_error(data: Any) -> None:  # fmt: skip
    if not isinstance(data, dict):
        return
    with contextlib.suppress(QueryError):  # any other exception fails the test
        plan(from_json(data, T0_S * US))


def test_times_of_the_json_form_are_relative_to_now() -> None:
    spec = from_json({"time": {"from": "-24h", "to": "now"}}, 90_000 * US)
    assert (spec.start_us, spec.stop_us) == (3_600 * US, 90_000 * US)


def test_the_sql_shown_has_no_value_in_it() -> None:
    text, params = sql_of(QuerySpec(where=Term("app", "=", "'; DROP TABLE x; --")))
    assert "DROP" not in text
    assert "'; DROP TABLE x; --" in params


# Alerts


@pytest.fixture
def alerts(writer: Writer, tmp_path: Path) -> Iterator[Reader]:
    writer.store([batch(1, alerts=tuple(
        alert(number, severity=Severity(number % 5), kind="flood" if number % 2 else "network_scan")
        for number in range(1, 31)
    ))])  # fmt: skip
    reader = Reader(tmp_path)
    yield reader
    reader.close()


def test_alerts_come_newest_first_in_pages_with_totals(alerts: Reader) -> None:
    first = alerts.alerts(AlertFilter(limit=20))
    rest = alerts.alerts(AlertFilter(limit=20, after=first.next))
    assert [item["id"] for item in first.items + rest.items] == [f"A{number}" for number in range(30, 0, -1)]
    assert first.total == rest.total == 30
    assert first.by_severity == {"info": 6, "low": 6, "medium": 6, "high": 6, "critical": 6}
    assert first.by_kind == {"flood": 15, "network_scan": 15}
    assert rest.next is None


@pytest.mark.parametrize(("text", "count"), [
    ("severity:high+", 12), ("severity:high", 6), ("kind:flood", 15), ("-kind:flood severity:info", 3),
    ("host:10.0.0.7", 1), ("src:10.0.0.0/29", 7), ("dst:10.0.1.1", 30), ("host:10.0.1.1", 30), ("10.0.0.9", 1),
    ('"scan number 1"', 11), ("risk:>59", 30), ("id:A3,A4", 2), ("signature:*30", 1), ("proto:tcp", 30),
])  # fmt: skip
def test_alerts_are_found_by(alerts: Reader, text: str, count: int) -> None:
    page = alerts.alerts(AlertFilter(q=text))
    assert page.total == len(page.items) == count


def test_alerts_are_a_table_like_any_other(alerts: Reader) -> None:
    spec = QuerySpec(table="alert", group=("severity",), aggs=(Agg("count"), Agg("max", "ts")))
    assert alerts.query(spec).rows == [
        (number, 6, (T0_S + (25 + number if number else 30)) * US) for number in range(5)
    ]
    rows = alerts.query(QuerySpec(table="alert", select=("id", "src", "dst"), limit=1)).rows
    assert rows == [("A30", "10.0.0.30", "10.0.1.1")]
    assert alerts.threats(T0_S * US, (T0_S + 11) * US)["by_kind"] == {"flood": 5, "network_scan": 5}


# The catalogue


def test_the_catalogue_documents_every_field_and_makes_every_schema() -> None:
    for table in catalog.TABLES.values():
        documented = {name for name, _, doc in catalog.documentation(table) if doc}
        assert documented == set(catalog.fields(table))
    for table in catalog.BULK.values():
        assert catalog.arrow_schema(table).names == [column.name for column in table.stored]
        assert f"CREATE TABLE {table.name} (" in catalog.clickhouse_ddl(table)
    assert "  dst_hi UInt64 CODEC" in catalog.clickhouse_ddl(catalog.BULK["flow"])


def test_rows_travel_as_arrow_without_change() -> None:
    sent = flows(100)
    got = catalog.rows_of(catalog.arrow_batch(sent))
    assert dict(got.items()).keys() == dict(sent.items()).keys()
    for name, values in sent.items():
        assert got[name].tolist() == values.tolist()
        assert got[name].dtype == values.dtype


def test_udp_is_a_number_with_a_name() -> None:
    assert catalog.fields(catalog.table("flow"))["proto"].value("udp") == PROTO_UDP


def test_a_column_that_came_later_is_empty_where_no_file_has_it_yet(tmp_path: Path) -> None:
    writer = Writer(tmp_path, StoreSettings(ballast_bytes=0), background=False)
    writer.store([batch(1, flows(20))])
    writer.close()
    for path in tmp_path.rglob("*.parquet"):  # as an earlier version wrote it
        table = parquet.read_table(path)
        parquet.write_table(table.drop_columns(["label"]), path)
    reader = Reader(tmp_path)
    try:
        found = reader.query(QuerySpec(select=("flow_id", "label"), limit=50)).rows
        assert [row[1] for row in found] == [""] * 20
        counted = reader.query(QuerySpec(aggs=(Agg("count", name="n"),), group=("label",))).rows
        assert [tuple(row) for row in counted] == [("", 20)]
    finally:
        reader.close()
