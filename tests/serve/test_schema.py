"""The routes and their document agree: no 5xx, no answer that is not in it, and what the page was built from is of today."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from nsm.health.forecast import Forecast
from nsm.health.interfaces import Counters, InterfaceHealth, Rates
from nsm.health.machine import Machine
from nsm.health.working import Verdict
from nsm.model import scan
from nsm.run.notice_courier import ChannelState
from nsm.scan.difference import Change
from nsm.serve.document import document, with_routes
from nsm.store import records
from nsm.store.scans import ScanSummary
from tests.serve.conformance import bearer, document_of, faults, fill
from tests.serve.kit import Service, backend, running

ROOT = Path(__file__).parents[2]
PARTS = ("\0", "%", "9" * 19, "9" * 20, "-1", "1e18", "9" * 400, "-999999999w", "²", "x" * 4_000, "'\"<>{}", '{"flow":"[1]"}',
         '{"alert":"[99999999999999999999,1]"}', "host:", "(" * 200, "ts:>\0", "src:1.2.3.4/99", "bytes:>" + "9" * 30)  # fmt: skip
"""Values for parameters in path and query."""
BODIES = (
    '"\\ud800"', '"\\u0000"', "9" * 400, "1e999", "NaN", "[" * 900 + "]" * 900, '[{"a":"\\ud800"}]', '{"a":"\\ud800"}',
    '[{"a":NaN}]', '{"a":' * 900 + "1" + "}" * 900, '[{"a":' + "[" * 900 + "]" * 900 + "}]", '{"\\ud800":1}', "[[]]",
)  # fmt: skip
"""Values, as JSON, for properties of bodies."""
FILLING: dict[str, Any] = {
    "confirm": "no", "enabled": True, "kind": "scan", "label": "x", "logs": [], "name": "nobody", "password": "no",
    "targets": ["10.0.0.1"], "title": "t", "token": "no", "trigger": "every 6h",
}  # fmt: skip
"""A good value for properties that a body has to have."""

OF_PEOPLE = {"POST /api/v1/login", "POST /api/v1/link", "POST /api/v1/logout"}
"""They need a password, a link, a cookie: test_login.py."""

OF_FILES = {"POST /api/v1/captures:upload"}
"""They need a real capture: test_captures.py."""

Asked = tuple[httpx.Client, dict[str, Any]]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Service, dict[str, str]]]:
    """A server with one of everything, and headers of an admin."""
    with backend(folder) as made:
        fill(made)
        headers = bearer(made)
        with running(made, tries_free=1_000_000, export_rows_max=1_000) as live:
            yield live, headers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, dict[str, str]]]:
    with serving(tmp_path_factory.mktemp("store")) as served:
        yield served


@pytest.fixture
def asked(server: tuple[Service, dict[str, str]]) -> Iterator[Asked]:
    """A client, and the document that it was given."""
    service, headers = server
    with httpx.Client(base_url=service.url, headers=headers, trust_env=False) as client:
        yield client, document_of(service.url, headers)


@pytest.fixture(scope="module")
def shapes() -> dict[str, Any]:
    found: dict[str, Any] = document(with_routes()[0])["components"]["schemas"]
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            yield verb, path, operation


def wrong(verb: str, path: str, operation: dict[str, Any], said: str, answer: httpx.Response) -> list[str]:
    """One line when an answer is a fault or not documented."""
    good = str(answer.status_code) in operation["responses"] and answer.status_code not in (500, 503)
    return [] if good else [f"{verb} {path} {said[:60]!r}: {answer.status_code} {answer.text[:200]}"]


def test_the_document_is_for_those_who_are_logged_in(server: tuple[Service, dict[str, str]]) -> None:
    service, headers = server
    refused = httpx.get(f"{service.url}/api/v1/openapi.json", trust_env=False)
    assert (refused.status_code, refused.json()["title"]) == (401, "please log in")
    assert document_of(service.url, headers)["openapi"].startswith("3.1")


def test_every_route_states_what_it_answers(asked: Asked) -> None:
    vague = []
    for verb, path, operation in operations(asked[1]):
        content = operation["responses"].get("200", {}).get("content", {})
        shape = content.get("application/json", {}).get("schema", {})
        named = "$ref" in shape or "$ref" in shape.get("items", {}) or "anyOf" in shape
        if not named and list(content) == ["application/json"]:  # files of several kinds have no one shape
            vague.append((verb, path))
    assert not vague


def test_every_route_documents_the_log_in_that_it_needs(asked: Asked) -> None:
    for _verb, path, operation in operations(asked[1]):
        assert ("security" in operation) == ("401" in operation["responses"]) or path in (
            "/api/v1/login",
            "/api/v1/link",
        )


@pytest.mark.parametrize(
    ("name", "struct", "more"),
    [
        ("StoreHealth", records.Health, set()), ("MachineHealth", Machine, set()), ("InterfaceHealth", InterfaceHealth, set()),
        ("Counters", Counters, set()), ("Rates", Rates, set()), ("Forecast", Forecast, set()), ("Verdict", Verdict, set()),
        ("Channel", ChannelState, set()), ("ScanSummary", ScanSummary, set()), ("ScanWhole", scan.Scan, {"changes"}),
        ("ScannedHost", scan.ScannedHost, set()), ("ScannedPort", scan.ScannedPort, set()), ("PortChange", Change, set()),
        ("Service", scan.Service, set()), ("Risk", scan.Risk, set()),
    ],
)  # fmt: skip
def test_what_other_processes_say_is_documented_whole(
    shapes: dict[str, Any], name: str, struct: type[msgspec.Struct], more: set[str]
) -> None:
    assert set(shapes[name]["properties"]) == {*struct.__struct_fields__} | more


@pytest.mark.slow
@pytest.mark.parametrize(
    "examples", [pytest.param(1, id="few"), pytest.param(200, id="many", marks=[pytest.mark.long, pytest.mark.service])]
)
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "writes"])  # what is there is read before it is cleared
def test_every_answer_is_as_documented(
    server: tuple[Service, dict[str, str]], tmp_path: Path, reads: bool, examples: int
) -> None:
    # The long run has a server of its own: the short one removes what it looks for.
    with nullcontext(server) if examples == 1 else serving(tmp_path) as (service, headers):
        found, answers = faults(service.url, headers, examples=examples, reads=reads)
    assert not found, "\n\n".join(f"{fault}: {told}" for fault, told in sorted(found.items()))
    silent = {route for route, statuses in answers.items() if not any(200 <= status < 300 for status in statuses)}
    assert silent <= OF_PEOPLE | OF_FILES, (
        "routes that never answered: does conformance.THERE have what their paths name?"
    )
    assert sum(statuses[400] for statuses in answers.values()) > 20


@pytest.mark.slow
def test_hostile_parameters_are_refused_or_answered(asked: Asked) -> None:
    client, document = asked
    bad: list[str] = []
    for verb, path, operation in operations(document):
        parameters = operation.get("parameters", [])
        body: dict[str, Any] = {"json": {}} if "requestBody" in operation else {}
        for parameter in parameters:
            for value in PARTS:
                if parameter["in"] == "path" and "/" in value:  # another path
                    continue
                query = {parameter["name"]: value} if parameter["in"] == "query" else {}
                parts = {one["name"]: "1" for one in parameters if one["in"] == "path"}
                if parameter["in"] == "path":
                    parts[parameter["name"]] = quote(value, safe="")
                answer = client.request(verb, path.format(**parts), params=query, **body)
                bad += wrong(verb, path, operation, f"{parameter['name']}={value}", answer)
    assert not bad, "\n".join(bad)


@pytest.mark.slow
def test_hostile_bodies_are_refused_or_kept(asked: Asked) -> None:
    client, document = asked
    bad: list[str] = []
    for verb, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        schema = document["components"]["schemas"][content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        there = path.format(**{one["name"]: "1" for one in operation.get("parameters", ()) if one["in"] == "path"})
        for name in schema["properties"]:
            rest = {one: FILLING.get(one, "x") for one in schema.get("required", ()) if one != name}
            for value in BODIES:
                raw = f'{{"{name}": {value}{"," if rest else ""} {json.dumps(rest)[1:]}'
                answer = client.request(verb, there, content=raw, headers={"Content-Type": "application/json"})
                bad += wrong(verb, path, operation, raw, answer)
    for kept in client.get("/list_sessions").json():
        answer = client.get(f"/get_session_logs/{kept['id']}")
        bad += [] if answer.status_code == 200 else [f"kept list {kept['id']} {kept['title']!r}: {answer.status_code}"]
    for path in ("/api/v1/schedules", "/api/v1/users", "/api/v1/tokens", "/api/v1/jobs", "/api/v1/audit"):
        bad += [] if client.get(path).status_code == 200 else [f"{path} can no longer be read"]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("text/plain", b"{}", 415), (None, b"{}", 415), ("application/x-www-form-urlencoded", b"a=1", 415),
        ("application/json", b"{", 400), ("application/json", b"\xff\xfe", 400), ("application/json", b"", 400),
        ("application/json", b"[]", 400), ("application/json", b"x" * (21 << 20), 413),
    ],
)  # fmt: skip
def test_bodies_that_are_none(asked: Asked, kind: str | None, content: bytes, status: int) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = asked[0].post("/api/v1/tokens", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_grows_without_saying_so_is_cut_off(asked: Asked) -> None:
    answer = asked[0].post(
        "/api/v1/tokens", content=(b"x" * (1 << 20) for _ in range(22)), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("PUT", "/api/v1/users", "GET, POST"), ("GET", "/api/v1/capture:start", "POST"), ("GET", "/clear_logs", "POST"),
        ("POST", "/api/v1/alerts/A1", "GET"), ("POST", "/", "GET"), ("OPTIONS", "/metrics", "GET"),
    ],
)  # fmt: skip
def test_another_method_is_told_which_ones_there_are(asked: Asked, verb: str, path: str, allowed: str) -> None:
    answer = asked[0].request(verb, path)
    assert (answer.status_code, answer.headers.get("allow")) == (405, allowed)
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_the_page_was_built_from_is_the_document_of_today() -> None:
    spec = importlib.util.spec_from_file_location("make_openapi", ROOT / "docs" / "make_openapi.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.OPENAPI.read_text(encoding="utf-8") == made.text(), "make docs"
