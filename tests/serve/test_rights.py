"""Who may do what: asked of every route there is, so that a new one is covered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve.kit import PASSWORD, Service

OPEN = {("POST", "/api/v1/login"), ("POST", "/api/v1/link"), ("GET", "/api/v1/me")}
OWN = {("POST", "/api/v1/logout"), ("POST", "/api/v1/tokens"), ("DELETE", "/api/v1/tokens/{number}")}
"""What everyone who is logged in may change: of their own."""

Route = tuple[str, str]


@pytest.fixture(scope="module")
def routes(service: Service) -> list[Route]:
    token = service.accounts.make_token("admin", "the document", "viewer", 1).token
    bearer = {"Authorization": f"Bearer {token}"}
    schema = httpx.get(f"{service.url}/api/v1/openapi.json", headers=bearer, trust_env=False).json()
    return [(verb.upper(), path) for path, verbs in schema["paths"].items() for verb in verbs]


def ask(client: httpx.Client, route: Route, **headers: str) -> httpx.Response:
    verb, path = route
    for part in ("{", "}"):
        path = path.replace(part, "")
    path = path.replace("number", "1").replace("session_id", "1")
    body: dict[str, Any] = {"json": {}} if verb in ("POST", "PUT", "PATCH") else {}
    return client.request(verb, path, headers=headers, **body)


@pytest.fixture
def nobody(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        yield client


@pytest.fixture
def viewer(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        told = client.post("/api/v1/login", json={"name": "looker", "password": PASSWORD}).json()
        client.headers["X-CSRF-Token"] = told["csrf"]
        yield client


def test_without_a_log_in_every_route_is_closed(routes: list[Route], nobody: httpx.Client) -> None:
    assert len(routes) > 20
    answers = {route: ask(nobody, route).status_code for route in routes if route not in OPEN}
    assert {route: status for route, status in answers.items() if status != 401} == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "nsm_session=forged"},
        {"Cookie": "nsm_session=" + "A" * 43},
        {"Authorization": "Bearer nsm_" + "A" * 43},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": ""},
    ],
)
def test_with_a_forged_cookie_or_token_every_route_is_closed(
    routes: list[Route], nobody: httpx.Client, headers: dict[str, str]
) -> None:
    answers = {route: ask(nobody, route, **headers).status_code for route in routes if route not in OPEN}
    assert {route: status for route, status in answers.items() if status != 401} == {}


def test_from_another_page_nothing_can_be_changed(routes: list[Route], http: httpx.Client) -> None:
    writing = [route for route in routes if route[0] != "GET"]
    answers = {route: ask(http, route, Origin="http://evil.example").status_code for route in writing}
    assert {route: status for route, status in answers.items() if status != 403} == {}


def test_without_the_csrf_header_nothing_can_be_changed(routes: list[Route], http: httpx.Client) -> None:
    writing = [route for route in routes if route[0] != "GET" and route not in OPEN and "/api/" in route[1]]
    answers = {route: ask(http, route, **{"X-CSRF-Token": "no"}).status_code for route in writing}
    assert {route: status for route, status in answers.items() if status != 403} == {}


def test_a_viewer_can_change_nothing_but_their_own(routes: list[Route], viewer: httpx.Client) -> None:
    writing = [route for route in routes if route[0] != "GET" and route not in OPEN | OWN]
    answers = {route: ask(viewer, route).status_code for route in writing}
    assert {route: status for route, status in answers.items() if status != 403} == {}


def test_a_token_of_a_program_reads_and_needs_no_csrf_header(http: httpx.Client, nobody: httpx.Client) -> None:
    made = http.post("/api/v1/tokens", json={"label": "a script", "scope": "viewer", "days": 1}).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert nobody.get("/api/v1/alerts", headers=bearer).status_code == 200
    assert nobody.post("/api/v1/capture:start", json={}, headers=bearer).status_code == 403
    admin = http.post("/api/v1/tokens", json={"scope": "admin", "days": 1}).json()
    bearer = {"Authorization": f"Bearer {admin['token']}"}
    assert nobody.post("/api/v1/capture:start", json={"iface": "eth0"}, headers=bearer).status_code == 200
    assert http.delete(f"/api/v1/tokens/{admin['id']}").status_code == 200
    assert nobody.get("/api/v1/alerts", headers=bearer).status_code == 401


def test_users_are_added_invited_changed_and_removed(http: httpx.Client, nobody: httpx.Client) -> None:
    made = http.post("/api/v1/users", json={"name": "mia", "role": "analyst"}).json()
    token = made["link"].partition("#link=")[2]
    assert nobody.post("/api/v1/link", json={"token": token, "password": "battery staple"}).json()["role"] == "analyst"
    again = http.post("/api/v1/users", json={"name": "mia", "role": "admin"})
    assert (again.status_code, again.json()["type"]) == (400, "account/refused")
    assert http.patch("/api/v1/users/mia", json={"role": "viewer"}).json()["role"] == "viewer"
    assert nobody.get("/api/v1/me").json()["role"] == "viewer"
    assert "mia" in [user["name"] for user in http.get("/api/v1/users").json()["items"]]
    assert http.delete("/api/v1/users/mia").status_code == 200
    assert nobody.get("/api/v1/alerts").status_code == 401
    last = http.patch("/api/v1/users/admin", json={"role": "viewer"})
    assert (last.status_code, last.json()["title"]) == (400, "admin is the last admin")


def test_a_link_cannot_make_an_admin_of_somebody_unknown(
    http: httpx.Client, service: Service, nobody: httpx.Client
) -> None:
    token = service.accounts.make_login_link("stranger")
    told = nobody.post("/api/v1/link", json={"token": token, "password": "battery staple"})
    assert told.status_code == 400
    assert "stranger" not in [user["name"] for user in http.get("/api/v1/users").json()["items"]]


@pytest.mark.parametrize("bold", ["permitted", "large", "checks"])
def test_only_an_admin_scans_boldly_now_or_by_a_schedule(http: httpx.Client, nobody: httpx.Client, bold: str) -> None:
    name = f"bold-{bold}"
    http.post("/api/v1/users", json={"name": name, "role": "analyst", "password": PASSWORD})
    told = nobody.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()
    nobody.headers["X-CSRF-Token"] = told["csrf"]
    plain = {"targets": ["10.0.0.1"]}
    bolder = {**plain, bold: ["community"] if bold == "checks" else True}
    assert nobody.post("/api/v1/scans", json=plain).status_code == 200
    assert nobody.post("/api/v1/scans", json=bolder).status_code == 403
    schedule = {"kind": "scan", "name": "nightly", "trigger": "every 1h"}
    assert nobody.post("/api/v1/schedules", json={**schedule, "task": plain}).status_code == 200
    assert nobody.post("/api/v1/schedules", json={**schedule, "task": bolder}).status_code == 403
    assert http.post("/api/v1/scans", json=bolder).status_code == 200
