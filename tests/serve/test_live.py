"""The sockets: log-in, snapshot, ticks and their gate, rows, alerts, capture; and what a seed client gets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from nsm.errors import CapturePermissionError
from tests.serve.conftest import cookie_of
from tests.serve.kit import PASSWORD, Service, backend, capture_state, log_row, make_alert, running, second
from tests.serve.rawsocket import RawClient, raw_client


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Service]:
    with backend(tmp_path) as service:
        service.accounts.add_user("admin", PASSWORD)
        with running(service) as made:
            yield made


@pytest.fixture
def login(live: Service) -> Iterator[tuple[str, str]]:
    """(Cookie header, CSRF token)."""
    with httpx.Client(base_url=live.url, trust_env=False) as client:
        token = client.post("/api/v1/login", json={"password": PASSWORD}).json()["csrf"]
        yield cookie_of(client), token


@pytest.fixture
def page(live: Service, login: tuple[str, str]) -> Iterator[RawClient]:
    """A connected page that has its snapshot."""
    with raw_client(live.url, login[0]) as client:
        assert client.connect({"proto": 2, "csrf": login[1]})
        yield client


def test_a_socket_needs_cookie_csrf_and_our_origin(live: Service, login: tuple[str, str]) -> None:
    cookie, csrf = login
    with raw_client(live.url, "") as client:
        assert not client.connect({"proto": 2, "csrf": csrf})
        assert client.refused["data"]["status"] == 401
    with raw_client(live.url, cookie) as client:
        assert not client.connect({"proto": 2, "csrf": "wrong"})
        assert client.refused["data"]["status"] == 403
    with pytest.raises(Exception, match=r"40[03]"), raw_client(live.url, cookie, "http://evil.example"):
        pass
    with raw_client(live.url, cookie, live.url) as client:
        assert client.connect({"proto": 2, "csrf": csrf})


def test_snapshot_then_ticks_in_sequence_each_with_the_numbers_of_the_feed(live: Service, page: RawClient) -> None:
    snapshot = page.next("snapshot")
    assert snapshot["series"]["names"][:3] == ["pps", "bps_in", "bps_out"]
    tick: dict[str, Any] = {}
    for number in range(3):
        live.feed.push("second", **second(1_763_733_731 + number, v={"pps": 100 + number}))
        tick = page.next("tick")
        page.emit("ack", tick["seq"])
        assert tick["v"][0] == 100 + number
        assert tick["v"][21] == 310 << 20
        assert tick["v"][13] is None  # not measured: unknown is not zero
        assert tick["boot"] == snapshot["boot"]
        assert tick["drops"] == {"eth0": 0}
    assert tick["seq"] == snapshot["seq"] + 3


def test_a_page_that_never_acknowledges_gets_two_ticks_and_others_get_all(
    live: Service, login: tuple[str, str]
) -> None:
    with raw_client(live.url, login[0]) as deaf, raw_client(live.url, login[0]) as good:
        for client in (deaf, good):
            assert client.connect({"proto": 2, "csrf": login[1]})
            client.next("snapshot")
        assert deaf.ask("subscribe", {"ch": "rows", "q": ""})["live"] is True
        seqs = []
        for number in range(30):
            live.feed.push("rows", seen=300, rows=[log_row(number * 300 + i, time.time()) for i in range(300)])
            live.feed.push("alert", alert=make_alert(number, time.time()).as_dict())
            live.feed.push("second", **second(1_763_733_731 + number))
            tick = good.next("tick")
            good.emit("ack", tick["seq"])
            seqs.append(tick["seq"])
        got = deaf.drain(0.3)
        names = [name for name, _ in got]
        assert seqs == list(range(seqs[0], seqs[0] + 30))
        assert names.count("tick") == 2
        assert names.count("new_log") == 2
        assert len(got) < 20
        deaf.emit("ack", seqs[-1])  # it wakes up: the rows of the skipped seconds are counted, none is lost
        assert deaf.ask("backfill", seqs[-1]) is not None  # answered behind the acknowledgement
        live.feed.push("second", **second(1_763_733_999))
        rows, tick = deaf.next("new_log"), deaf.next("tick")
        # A tick more than was pushed is of a second in which nothing came, on a slow machine.
        assert tick["skipped"] == tick["seq"] - seqs[0] - 2 >= 28
        assert rows["seen"] == 28 * 300
        assert rows["shown"] == 200


def test_a_reconnected_page_gets_only_what_it_missed(live: Service, login: tuple[str, str], page: RawClient) -> None:
    snapshot = page.next("snapshot")
    seq = 0
    for number in range(5):
        live.feed.push("second", **second(1_763_733_731 + number, v={"pps": number}))
        seq = page.next("tick")["seq"]
        page.emit("ack", seq)
    with raw_client(live.url, login[0]) as again:
        again.connect({"proto": 2, "csrf": login[1], "boot": snapshot["boot"], "seq": seq - 3})
        missed = again.next("backfill", "snapshot")
        assert (missed["from"], missed["to"]) == (seq - 2, seq)
        assert missed["cols"][0] == [2, 3, 4]
    with raw_client(live.url, login[0]) as other:
        other.connect({"proto": 2, "csrf": login[1], "boot": "another life", "seq": seq - 3})
        assert len(other.next("backfill", "snapshot")["series"]["ts"]) >= 5


def test_rows_come_filtered_once_a_second_and_a_flood_is_sampled_fairly(live: Service, page: RawClient) -> None:
    page.next("snapshot")
    assert page.ask("subscribe", {"ch": "rows", "q": "port:443", "max": 200}) == {"ok": True, "live": True}
    rows = [log_row(number, time.time()) for number in range(5000)]
    rows += [log_row(9000 + number, time.time(), "network_scan", "high") for number in range(3)]
    rows += [log_row(9100, time.time(), dest_port=53)]
    live.feed.push("rows", seen=len(rows), rows=rows)
    live.feed.push("second", **second(time.time()))
    frame = page.next("new_log")
    assert (frame["seen"], frame["rule"]) == (5003, "sample")
    assert frame["shown"] == len(frame["rows"]) == 203
    kinds = [row[frame["cols"].index("event_type")] for row in frame["rows"]]
    assert kinds.count("network_scan") == 3  # what is loud is never sampled away
    ports = [row[frame["cols"].index("src_port")] for row in frame["rows"]]
    assert min(ports) < 41_000
    assert max(ports) > 44_000  # from the whole second, not its beginning
    assert page.ask("subscribe", {"ch": "rows", "q": "retrans:>3"}) == {
        "ok": True,
        "live": False,
        "fields": ["retrans"],
    }
    assert page.ask("subscribe", {"ch": "rows", "q": "nosuch:3"})["type"] == "query/malformed"


def test_an_alert_is_pushed_at_once_without_a_tick(live: Service, page: RawClient) -> None:
    page.next("snapshot")
    live.feed.push("alert", alert=make_alert(7, 1_763_733_731).as_dict())
    told = page.next("alert", timeout=1)
    assert told["alert"]["id"] == "A7"
    assert told["alert"]["severity"] == "high"
    assert told["alert"]["last"] == "2025-11-21T14:02:11.000Z"


def test_no_second_of_the_analyst_is_a_tick_without_numbers(page: RawClient) -> None:
    page.next("snapshot")
    tick = page.next("tick")
    assert tick["silent"] is True
    assert set(tick["v"]) == {None}


def test_start_and_stop_reach_the_control_and_every_page(
    live: Service, login: tuple[str, str], page: RawClient
) -> None:
    page.next("snapshot")
    with raw_client(live.url, login[0]) as other:
        other.connect({"proto": 2, "csrf": login[1]})
        other.next("snapshot")
        assert page.ask("stop_capture") == {"ok": True}
        assert other.next("capture", timeout=2)["state"] == "stopped"
        assert page.ask("start_capture", {"iface": "wlan0", "bpf": "tcp", "snaplen": 96}) == {"ok": True}
        assert other.next("capture", timeout=2)["state"] == "running"
        assert live.control.calls == [("stop",), ("start", "wlan0", "tcp", 96, None)]
    live.control.refuse = CapturePermissionError(
        "cannot capture on eth0", where="AF_PACKET socket", mend="sudo nsm run"
    )
    refused = page.ask("start_capture", {})
    assert refused["type"] == "capture/permission"
    assert refused["where"] == "AF_PACKET socket"
    assert refused["fix"][0]["text"] == "sudo nsm run"
    assert [entry["action"] for entry in live.accounts.audit_log(2)] == ["capture started", "capture stopped"]


def test_log_out_closes_the_pages_of_that_log_in(live: Service, login: tuple[str, str], page: RawClient) -> None:
    page.next("snapshot")
    headers = {"Cookie": login[0], "X-CSRF-Token": login[1]}
    assert httpx.post(f"{live.url}/api/v1/logout", headers=headers, trust_env=False).status_code == 200
    assert "logout" in [name for name, _ in page.drain(1)]
    with raw_client(live.url, login[0]) as again:
        assert not again.connect({"proto": 2, "csrf": login[1]})


def test_a_seed_client_gets_objects_at_most_twenty_a_second(live: Service, login: tuple[str, str]) -> None:
    with raw_client(live.url, login[0]) as seed:
        assert seed.connect()
        assert seed.next("capture_status")["status"] == "started"
        seed.emit("stop_capture")
        assert seed.next("capture_status")["status"] == "stopped"
        seed.emit("start_capture")
        assert seed.next("capture_status")["status"] == "started"
        live.feed.push("rows", seen=500, rows=[log_row(number, 1_763_733_731) for number in range(500)])
        got = seed.drain(0.5)
        assert {name for name, _ in got} == {"new_log"}
        assert 1 <= len(got) <= 20
        assert got[0][1]["log"] == {
            "timestamp": "2025-11-21T14:02:11.000Z", "source_ip": "192.168.1.2", "source_port": 40000,
            "destination_ip": "203.0.113.9", "destination_port": 443, "protocol": "TCP", "event_type": "normal_traffic",
            "details": "tls 12,000 bytes, 24 packets", "severity": "low",
        }  # fmt: skip
        assert got[0][1]["stats"]["scan_status"] == "running"


def test_gaps_and_a_new_analyst_are_told(live: Service, page: RawClient) -> None:
    page.next("snapshot")
    live.feed.push("gap", what="worker died", **{"from": 100, "to": 105}, process="worker eth0")
    assert page.next("gaps") == [{"what": "worker died", "from": 100, "to": 105, "process": "worker eth0"}]
    live.feed.push("capture", **capture_state("failed", error={"title": "x", "detail": "", "where": "", "fix": []}))
    assert page.next("capture")["error"]["title"] == "x"


def test_a_broken_message_of_the_feed_ends_nothing(
    live: Service, page: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    page.next("snapshot")
    live.feed.push("alert", alert={"no": "id"})
    live.feed.push("nonsense")
    live.feed.push("second", **second(1_763_733_731, v={"pps": 5}))
    assert page.next("tick")["v"][0] == 5
    assert "fault where=feed alert" in caplog.text


@pytest.mark.parametrize("data", [None, 5, "x", [], {"ch": "rows", "q": 5}, {"ch": "rows", "q": "x" * 5000}])
def test_nonsense_from_a_client_is_answered(page: RawClient, data: object) -> None:
    page.next("snapshot")
    assert isinstance(page.ask("subscribe", data), dict)
    page.emit("ack", data)
    page.emit("hidden", data)
    assert page.ask("backfill", data) is None


def test_a_program_connects_with_a_token_as_long_as_it_is_valid(live: Service) -> None:
    live.accounts.add_user("robot", PASSWORD, "viewer")
    made = live.accounts.make_token("robot", "script", "viewer", 1)
    with raw_client(live.url, "") as client:
        assert client.connect({"token": made.token})
        assert client.next("capture_status")
    with raw_client(live.url, "") as client:
        assert not client.connect({"token": "nsm_not_one"})
    live.accounts.revoke_token(made.id)
    with raw_client(live.url, "") as client:
        assert not client.connect({"token": made.token})
