"""The parts without a server: gate, history, sample, filters of live rows, shapes, cells, files of the page."""

from __future__ import annotations

import gzip
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from nsm.serve.api.export import csv_cell
from nsm.serve.backend import SERIES
from nsm.serve.clients import Client
from nsm.serve.history import SECONDS_MAX, History, Tick, values_of
from nsm.serve.match import live_fields_missing, live_match, parse
from nsm.serve.page import Page
from nsm.serve.sample import Sample
from nsm.serve.shapes import alert_card, alert_row, seed_log
from nsm.serve.state import LiveState
from nsm.store.grammar import FilterError
from tests.serve.kit import log_row, make_alert


def client(now: float = 0.0) -> Client:
    return Client("s", "t", "admin", "admin", now, proto2=True)


def test_gate_lets_two_through_then_skips_and_counts() -> None:
    page = client()
    assert [page.take_tick(seq, float(seq)) for seq in (1, 2, 3, 4)] == [True, True, False, False]
    assert page.skipped == 2
    page.ack(1, 4.5)
    assert page.take_tick(5, 5.0)
    assert not page.may_send()


def test_a_page_silent_for_15_s_is_slow_and_for_60_s_gone() -> None:
    page = client()
    page.take_tick(1, 0.0)
    assert not page.is_slow(15.0)
    assert page.is_slow(15.1)
    assert not page.is_gone(60.0)
    assert page.is_gone(60.1)
    page.ack(1, 20.0)
    assert page.is_slow(21.0)  # it gets ticks every 5 s for a while
    assert [page.take_tick(seq, 20.0 + seq) for seq in range(2, 9)].count(True) == 2
    page.ack(8, 29.0)
    assert not page.is_slow(51.0)


def test_a_hidden_page_gets_a_tick_every_five_seconds() -> None:
    page = client()
    page.hidden = True
    sent = 0
    for seq in range(1, 21):
        if page.take_tick(seq, float(seq)):
            sent += 1
            page.ack(seq, float(seq))
    assert sent == 4
    assert page.skipped == 0


def test_history_is_bounded_and_knows_what_it_no_longer_has() -> None:
    history = History()
    for seq in range(1, SECONDS_MAX + 101):
        history.add(Tick(seq, 1000 + seq, (seq,) + (None,) * (len(SERIES) - 1)))
    assert len(history.all()["ts"]) == SECONDS_MAX
    assert history.since(99) is None
    missed = history.since(100)
    assert missed is not None
    assert (missed["from"], missed["to"], missed["cols"][0][0]) == (101, 1000, 101)
    assert history.since(5000) is None
    assert history.since(1000) == {"from": 0, "to": 0, "ts": [], "cols": [[] for _ in SERIES]}


def test_history_from_the_store_comes_before_the_first_tick() -> None:
    history = History()
    history.prefill(100, {"pps": [1, None, 3]})
    history.prefill(100, {"pps": [9]})  # too late: ignored
    told = history.all()
    assert told["ts"] == [100, 101, 102]
    assert told["cols"][0] == [1, None, 3]
    assert told["to"] == 0


def test_numbers_that_are_none_stay_unknown() -> None:
    values = dict(zip(SERIES, values_of({"pps": 0, "bps_in": "7", "bps_out": True, "cpu_pct": 1.5}), strict=True))
    assert (values["pps"], values["bps_in"], values["bps_out"], values["cpu_pct"]) == (0, None, None, 1.5)


@given(st.integers(0, 3000), st.integers(1, 200), st.integers(0, 50))
def test_a_sample_never_exceeds_its_bounds_and_counts_everything(rows: int, most: int, loud: int) -> None:
    sample = Sample(lambda row: True, most, loud, random.Random(1))
    sample.add([log_row(n, float(n), *(("flood", "high") if n % 9 == 0 else ())) for n in range(rows)], rows)
    frame = sample.take(1)
    if rows == 0:
        assert frame is None
        return
    assert frame is not None
    assert frame["seen"] == rows
    assert frame["shown"] == len(frame["rows"]) <= min(rows, most + loud)
    assert frame["rule"] == ("all" if frame["shown"] == rows else "sample")
    assert sample.take(2) is None


def test_a_sample_is_even_over_the_second() -> None:
    counts = [0, 0]
    for seed in range(40):
        sample = Sample(lambda row: True, 100, 0, random.Random(seed))
        sample.add([log_row(n, float(n)) for n in range(1000)], 1000)
        for row in (sample.take(1) or {})["rows"]:
            counts[row[0] >= 500] += 1
    assert 0.45 < counts[0] / sum(counts) < 0.55


def test_rows_that_were_shed_before_us_count_too() -> None:
    sample = Sample(lambda row: True, 10, 0, random.Random(1))
    sample.add([log_row(n, 1.0) for n in range(100)], 1000)
    assert (sample.take(1) or {})["seen"] == 1000


LIVE_CASES = [
    ("", [0, 1, 2]), ("kind:network_scan", [1]), ("severity:high+", [1]), ("severity:info", [0, 2]),
    ("-severity:info", [1]), ("host:192.168.1.2", [0]), ("src:192.168.0.0/16", [0, 1, 2]), ("dst:10.0.0.0/8", []),
    ("port:53", [2]), ("proto:udp", [2]), ("proto:tcp,udp", [0, 1, 2]), ("app:tls", [0]), ("app:t*", [0]),
    ("bytes:>11k", [0, 2]), ("dst_port:50-60", [2]), ("app:dns or kind:network_scan", [1, 2]), ("scan", [1]),
    ("2001:db8::1", []), ("flow_id:1000000", [0]),
]  # fmt: skip


@pytest.mark.parametrize(("q", "expected"), LIVE_CASES)
def test_live_rows_match_as_stored_ones_do(q: str, expected: list[int]) -> None:
    rows = [log_row(0, 1.0), log_row(1, 1.0, "network_scan", "high", details="Port scan"),
            log_row(2, 1.0, dest_port=53, proto="UDP", app="dns")]  # fmt: skip
    matches = live_match(parse(q))
    assert [number for number, row in enumerate(rows) if matches(row)] == expected


def test_a_field_without_live_rows_is_named() -> None:
    assert live_fields_missing(parse("app:dns retrans:>1")) == ["retrans"]


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_an_error_with_a_place(text: str) -> None:
    try:
        found = parse(text)
    except FilterError as error:
        if not 0 <= error.position <= len(text):
            raise
        return
    live_match(found)(log_row(1, 1.0))
    live_match(found)(log_row(1, 1.0, "flood", "high", src_ip="", dest_ip=None, proto=None, dest_port=None))


@given(st.text(max_size=20))
def test_no_cell_begins_with_what_a_spreadsheet_runs(text: str) -> None:
    assert not csv_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert csv_cell(text).removeprefix("'") == text.removeprefix("'")


def test_an_alert_without_explanation_still_has_every_part() -> None:
    bare: dict[str, Any] = {"id": "A1", "finding": {}}
    card = alert_card(bare)
    assert card["explain"]["what"] == ""
    assert card["severity"] == "info"
    assert "None" not in str(alert_row(bare)["details"])


def test_kinds_that_the_seed_does_not_know_become_its_nearest() -> None:
    row = alert_row(make_alert(1, 1.0, kind="flood").as_dict())
    assert seed_log(row)["event_type"] == "network_scan"
    assert seed_log({"event_type": "monitor", "severity": "critical"})["severity"] == "high"


def answer(page: Page, path: str, encoding: str = "") -> Any:
    headers = [(b"accept-encoding", encoding.encode())] if encoding else []
    return page.respond(Request({"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b"",
                                 "server": ("x", 80), "scheme": "http"}))  # fmt: skip


def test_files_of_the_page_are_packed_immutable_and_nothing_else_is_reachable(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<p>page")
    (tmp_path / "assets" / "a-1.js").write_text("let a")
    (tmp_path / "assets" / "a-1.js.gz").write_bytes(gzip.compress(b"let a"))
    page = Page(tmp_path)
    script = answer(page, "/assets/a-1.js", "gzip, deflate")
    assert script.headers["content-encoding"] == "gzip"
    assert gzip.decompress(script.body) == b"let a"
    assert "immutable" in script.headers["cache-control"]
    assert answer(page, "/assets/a-1.js").body == b"let a"
    assert answer(page, "/login").body == b"<p>page"
    assert answer(page, "/").headers["cache-control"] == "no-cache"
    for path in ("/../secret.txt", "/assets/../../x.py", "/assets/a-1.js.gz", "/none.js"):
        assert answer(page, path).status_code == 404
    assert answer(Page(tmp_path / "missing"), "/").status_code == 503


def test_one_module_owns_all_emits() -> None:
    root = Path(__file__).parents[2] / "src" / "nsm"
    found = [path.name for path in root.rglob("*.py") if re.search(r"\bsio\.emit\(|\.emit\(.*\bto=", path.read_text())]
    assert found == ["live.py"]


def test_protocols_beyond_the_palette_are_summed_and_none_is_lost() -> None:
    protocols = [{"key": f"p{n}", "label": f"P{n}", "bytes": n, "pkts": 1} for n in range(12)]
    state = LiveState()
    shown = state.second({"ts": 1, "v": {}, "protocols": protocols})["protocols"]
    assert [one["key"] for one in shown] == ["p11", "p10", "p9", "p8", "p7", "p6", "p5", "p4", "other"]
    assert sum(one["bytes"] for one in shown) == sum(range(12))
    assert state.second({"ts": 2, "v": {}, "protocols": protocols[:3]})["protocols"] == protocols[2::-1]
    unknown = [{**one, "pkts": None} for one in protocols]  # the live feed counts bytes alone
    assert state.second({"ts": 3, "v": {}, "protocols": unknown})["protocols"][-1]["pkts"] is None
