"""The routes: what they answer, to whom, and what a mistake gets."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.serve.kit import PASSWORD, Service

READS = ["overview", "alerts", "events", "flows", "score", "top", "series", "health", "interfaces", "logs", "audit",
         "parse", "capture"]  # fmt: skip


@pytest.mark.parametrize(
    "path", [*(f"/api/v1/{name}" for name in READS), "/get_logs", "/list_sessions", "/security_data.json"]
)
def test_every_read_needs_a_log_in(service: Service, http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 200
    refused = httpx.get(service.url + path, trust_env=False)
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["title"] == "please log in"


def test_events_are_flows_and_alerts_newest_first_in_pages_that_neither_overlap_nor_miss(http: httpx.Client) -> None:
    seen: list[tuple[float, object]] = []
    after, total = None, None
    while True:
        page = http.get("/api/v1/events", params={"limit": 100, **({"after": after} if after else {})}).json()
        total = page["total"] if total is None else total
        seen += [(row["ts"], row["alert_id"] or row["flow_id"]) for row in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert total == len(seen) == len({key for _, key in seen}) == 503
    assert seen == sorted(seen, key=lambda item: -item[0])


@pytest.mark.parametrize(("q", "total"), [
    ("", 503), ("severity:high", 1), ("severity:medium+", 2), ("severity:info", 500), ("kind:normal_traffic", 500),
    ("kind:network_scan,flood", 2), ("app:dns", 100), ("-app:dns", 403), ("app:dns or kind:flood", 101),
    ("severity:high app:dns", 0), ("dst_port:53", 100), ("host:192.168.1.5", 3), ("SYN", 1),
    ("-kind:normal_traffic", 3),
])  # fmt: skip
def test_one_filter_asks_both_tables(http: httpx.Client, q: str, total: int) -> None:
    assert http.get("/api/v1/events", params={"q": q}).json()["total"] == total


def test_an_empty_answer_names_the_piece_that_empties_it(http: httpx.Client) -> None:
    page = http.get("/api/v1/events", params={"q": "severity:high app:dns"}).json()
    assert page["without"] == [
        {"piece": "severity:high", "rest": "app:dns", "total": 100},
        {"piece": "app:dns", "rest": "severity:high", "total": 1},
    ]


def test_a_mistake_in_a_filter_has_its_position(http: httpx.Client) -> None:
    told = http.get("/api/v1/parse", params={"q": "severity:high nosuch:1 app:dns"}).json()
    assert (told["ok"], told["error"]["position"], told["error"]["length"]) == (False, 14, 8)
    answer = http.get("/api/v1/events", params={"q": "nosuch:1"})
    assert answer.status_code == 400
    assert answer.json()["type"] == "query/malformed"


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"from": "x"}, {"from": "now", "to": "-1h"},
                                   {"type": "x"}, {"after": "x"}, {"from": "9" * 400}])  # fmt: skip
def test_bad_parameters_are_problems_not_faults(http: httpx.Client, query: dict[str, str]) -> None:
    answer = http.get("/api/v1/events", params=query)
    assert answer.status_code == 400
    assert set(answer.json()) >= {"type", "title", "where", "fix", "request_id"}


def test_export_has_exactly_the_rows_of_the_filter_and_runs_nothing(http: httpx.Client) -> None:
    rows, answer = [], http.get("/api/v1/export/events.csv")
    for q in ("", "app:dns", "severity:low"):
        total = http.get("/api/v1/events", params={"q": q}).json()["total"]
        answer = http.get("/api/v1/export/events.csv", params={"q": q})
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert rows[0][:9] == [
            "Time", "Event Type", "Src IP", "Src Port", "Dst IP", "Dst Port", "Protocol", "Severity", "Details",
        ]  # fmt: skip
        assert len(rows) - 1 == total == len({row[9] or row[10] for row in rows[1:]})
        assert all(row[0].endswith("Z") for row in rows[1:])
    assert rows[1][8] == "'=cmd|' /C calc'!A0 (214 times)"
    name = answer.headers["content-disposition"]
    assert name.count("Z") == 2
    assert name.endswith('.csv"')
    lines = http.get("/api/v1/export/events.jsonl", params={"q": "severity:low"}).text.splitlines()
    assert [json.loads(line)["alert_id"] for line in lines] == ["A3"]
    assert http.get("/api/v1/export/events.exe").status_code == 404


def test_an_alert_explains_itself_in_five_parts(http: httpx.Client) -> None:
    explain = http.get("/api/v1/alerts/A1").json()["explain"]
    assert explain["what"].startswith("laptop-7")
    assert explain["why"]
    assert explain["sure"]["pct"] == 85
    assert len(explain["next"]) == 3
    assert (explain["evidence"][0]["measured"], explain["evidence"][0]["threshold"]) == (214, 25)
    missing = http.get("/api/v1/alerts/A999")
    assert (missing.status_code, missing.json()["type"]) == (404, "not-found")


def test_writes_need_the_csrf_header_and_our_own_origin(service: Service, http: httpx.Client) -> None:
    body = {"iface": "eth0"}
    assert http.post("/api/v1/capture:start", json=body).status_code == 200
    assert http.post("/api/v1/capture:start", json=body, headers={"X-CSRF-Token": "no"}).status_code == 403
    assert http.post("/api/v1/capture:start", json=body, headers={"Origin": "http://evil.example"}).status_code == 403
    assert http.post("/api/v1/capture:start", json=body, headers={"Origin": service.url}).status_code == 200
    assert http.post("/clear_logs", headers={"Origin": "null"}).status_code == 403


def test_only_known_names_reach_the_page(service: Service) -> None:
    for host, status in (
        ("evil.example", 403),
        ("localhost:1", 200),
        ("10.1.2.3", 200),
        ("[::1]:8052", 200),
        ("", 403),
    ):
        assert httpx.get(service.url, headers={"Host": host}, trust_env=False).status_code == status, host


def test_every_answer_has_the_strict_headers(service: Service) -> None:
    for path in ("/", "/api/v1/me", "/api/v1/alerts", "/nothing.js", "/api/nothing"):
        headers = httpx.get(service.url + path, trust_env=False).headers
        assert headers["content-security-policy"] == (
            "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none';"
            " require-trusted-types-for 'script'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_a_viewer_may_look_and_not_touch(service: Service) -> None:
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        token = client.post("/api/v1/login", json={"name": "looker", "password": PASSWORD}).json()["csrf"]
        assert client.get("/api/v1/alerts").status_code == 200
        refused = client.post("/api/v1/logs:clear", json={"confirm": "clear"}, headers={"X-CSRF-Token": token})
        assert (refused.status_code, refused.json()["type"]) == (403, "login/forbidden")
        assert client.post("/clear_logs").status_code == 403


def test_seed_routes_have_the_very_shapes(http: httpx.Client) -> None:
    told = http.get("/get_logs", params={"type": "network_scan"}).json()
    assert set(told) == {"logs", "stats"}
    assert set(told["logs"][0]) == {"timestamp", "source_ip", "source_port", "destination_ip", "destination_port",
                                    "protocol", "event_type", "details", "severity"}  # fmt: skip
    assert set(told["stats"]) == {"packets_analyzed", "threats_detected", "active_ips", "scan_status", "uptime_seconds"}
    assert {row["event_type"] for row in told["logs"]} == {"network_scan"}
    kept = http.post("/save_session", json={"title": "t", "timestamp": "2026-01-01", "logs": told["logs"]}).json()["id"]
    assert http.get("/list_sessions").json()[0] == {"id": kept, "title": "t", "timestamp": "2026-01-01"}
    assert http.get(f"/get_session_logs/{kept}").json()["logs"] == told["logs"]
    assert http.delete(f"/delete_session/{kept}").json()["status"] == "success"
    assert http.get(f"/get_session_logs/{kept}").status_code == 404
    assert set(http.get("/security_data.json").json()) == {
        "total_packets", "suspicious_count", "recent_threats", "packet_history",
    }  # fmt: skip


def test_a_setting_is_shown_changed_and_taken_back(http: httpx.Client, service: Service) -> None:
    key = "detect.port_scan.minute_ports"

    def shown(answer: httpx.Response) -> dict[str, Any]:
        fields = (field for section in answer.json()["items"] for field in section["fields"])
        found: dict[str, Any] = next(field for field in fields if field["key"] == key)
        return found

    before = shown(http.get("/api/v1/settings"))
    assert (before["origin"], before["on_page"], before["schema"]["type"]) == ("default", False, "integer")
    changed = http.put(f"/api/v1/settings/{key}", json={"value": before["default"] + 1})
    assert (changed.json()["effect"], shown(changed)["value"]) == ("analyst", before["default"] + 1)
    assert shown(http.get("/api/v1/settings"))["origin"] == "page"
    assert shown(http.delete(f"/api/v1/settings/{key}")) == before
    entry = service.accounts.audit_log(2)[1]
    assert (entry["action"], entry["detail"]) == ("setting changed", f"{key}: {before['default'] + 1}")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("detect.port_scan.minute_port", 3, "unknown setting"),
        ("detect.port_scan.minute_ports", "x", "Expected `int`"),
        ("notify.mail.password", "swordfish", "is a secret"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_mend(http: httpx.Client, key: str, value: object, said: str) -> None:
    refused = http.put(f"/api/v1/settings/{key}", json={"value": value})
    assert refused.status_code == 400
    assert said in refused.json()["title"]
    assert refused.json()["fix"]


def test_channels_are_shown_and_tested(http: httpx.Client, service: Service) -> None:
    items = http.get("/api/v1/notify").json()["items"]
    assert [(item["name"], item["state"]) for item in items] == [("mail", "failing"), ("webhook", "works")]
    assert http.post("/api/v1/notify/webhook/test").json() == {"ok": True}
    refused = http.post("/api/v1/notify/mail/test")
    assert (refused.status_code, refused.json()["type"]) == (502, "notify/failed")
    assert refused.json()["title"] == "mail: connection refused"
    assert ("test_channel", "webhook") in service.control.calls
