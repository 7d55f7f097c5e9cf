"""The application against its own document: requests made up by Schemathesis, and what every answer is held to."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import httpx
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from nsm.model.scan import PortState, Risk, Scan, ScannedHost, ScannedPort, ScanState
from nsm.model.scan import Service as Spoken
from nsm.report.shelf import About, Shelf
from nsm.store.captures import PRODUCTS, CaptureShelf, CapturesSettings, Found, Kept
from nsm.store.health import HealthStore
from nsm.store.jobs import JobStore
from nsm.store.records import Capsule
from nsm.store.scans import ScanStore
from nsm.store.triage import triage
from tests.serve.kit import PASSWORD, Service, make_alert, make_flows, second

US: Final = 1_000_000
ADMIN: Final = "run by requests that are made up"  # no such name is ever made up
TOKEN: Final = 7_000_000_007  # nor such a number: a request that ends token 1 must not end the run
REPORT: Final = "20251121T140000Z-abcdef"
CAPTURE: Final = "20251121T140000Z-fedcba"
REFUSALS: Final = ["400", "401", "403", "404", "405", "409", "413", "415", "429", "507"]
SEED: Final = 20_251_121

THERE: Final = {
    "alert_id": "A1", "scan_id": "s2", "report_id": REPORT, "ending": "html", "session_id": 1, "kind": "events", "form": "csv",
    "number": 1, "name": "ann", "key": "capture.filter", "capture_id": CAPTURE,
}  # fmt: skip
"""For each part of a path, a value under which ``fill`` put something: nobody makes up such a name."""

Fault = tuple[str, str, int]
"""Route, check, status."""
Answers = dict[str, Counter[int]]


def fill(service: Service) -> None:
    """One of everything that routes can answer with."""
    now = time.time()
    folder = service.store.directory
    service.accounts.add_user("admin", PASSWORD)
    service.accounts.add_user("ann", PASSWORD, "viewer")
    service.accounts.make_token("ann", "a script", "viewer", 1)
    service.accounts.save_session("kept", "2026-01-01", [{"a": 1}])
    service.store.add(
        make_flows([now - 1_800 + i for i in range(200)]),
        alerts=[make_alert(number, now - 60 * number) for number in (1, 2, 3)],
        payloads=[Capsule("A1", int(now * US), b"\n\r\r\npackets")],
    )
    triage(folder, ["A1"], state="done", note="an inventory", who="ann")
    with closing(ScanStore(folder)) as scans:
        for number, name in ((1, "http"), (2, "telnet")):
            scans.save(scan(f"s{number}", int((now - 9_000 + number * 900) * US), name), "ann")
    with closing(JobStore(folder)) as jobs:
        nightly = jobs.add_schedule("scan", "nightly", "every 6h", {"targets": ["10.0.0.1"]}, "ann")
        jobs.end(jobs.begin("scan", "nightly", "ann", nightly), "done", "1 open port", {"scan": "s2"})
        jobs.begin("report", "day", "ann")
    with closing(HealthStore(folder)) as health:
        for minute in range(5):
            health.add(int(now) - 60 * minute, {"probe.gateway.rtt_ms": 1.5, "machine.cpu_ratio": 0.2}, 30)
    about = About(REPORT, "day", "ann", int(now * US), 0, int(now * US), "UTC", "It looks fine.", None, {})
    Shelf(folder).keep(about, {"html": b"<p>", "json": b"{}", "zip": b"PK", "pdf": b"%PDF"}, 9)
    keep_capture(CaptureShelf(folder, CapturesSettings()))
    (folder / "nsm.log").write_text('{"ts": "t", "level": "info", "part": "web", "message": "m"}\nno JSON\n')
    service.control.open_jobs.append(
        {"id": 99, "kind": "scan", "name": "x", "since": now, "progress": {"done": 1}, "state": "running"}
    )
    gap = {"what": "x", "from": now - 9, "to": now - 3, "process": "capture"}
    service.feed.push("second", **second(now, gap=gap))


def keep_capture(shelf: CaptureShelf) -> None:
    """A capture that was analysed."""
    shelf.upload(CAPTURE).write_bytes(b"\n\r\r\npackets")
    shelf.keep(Kept(CAPTURE, "x.pcapng", "ann", US, "pcapng", 0), shelf.upload(CAPTURE))
    made = {ending: shelf.folder / f"{ending}.made" for ending in PRODUCTS}
    for path in made.values():
        path.write_bytes(b"<p>")
    share = {"name": "tls", "flows": 1, "packets": 2, "bytes": 3}
    alert = {"severity": "low", "detector": "d", "title": "t", "what": "w", "count": 1, "first": 1, "last": 2, "src": "a",
             "dest": None}  # fmt: skip
    shelf.note(CAPTURE, Found(US, 0.1, 2, 3, 1, US, US, (share,), (share,), (alert,), 1, {"low": 1}, 3), made)


def scan(number: str, started_us: int, name: str) -> Scan:
    """A complete scan of one host with one service."""
    spoken = Spoken(name, "x", "1.0", "banner", 0.9, True, "hello", {"subject": "CN=x"},
                    (Risk("telnet-open", "high", "Telnet", "It is plain.", "Use SSH."),))  # fmt: skip
    found = (ScannedPort("10.0.0.7", "tcp", 23, PortState.OPEN, "syn-ack", 64, 2, 0.4, spoken),)
    hosts = (ScannedHost("10.0.0.7", "printer", "02:00:00:00:00:07", "arp", 0.4, "linux", {"closed": 9}),)
    return Scan(number, started_us, started_us + 4 * US, ("10.0.0.0/29",), "1-1024", {"method": "syn"},
                ScanState.COMPLETE, 1_030, 1_024, 0.01, {"tcp": "1-1024"}, hosts, found)  # fmt: skip


def bearer(service: Service) -> dict[str, str]:
    """Headers of an admin whom no request that is made up can hit."""
    service.accounts.add_user(ADMIN, PASSWORD)
    made = service.accounts.make_token(ADMIN, "", "admin", 1)
    with closing(sqlite3.connect(service.store.directory / "nsm.db")) as connection, connection:
        connection.execute("UPDATE api_token SET id=? WHERE id=?", (TOKEN, made.id))
    return {"Authorization": f"Bearer {made.token}"}


def document_of(url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The document, as a person who is logged in gets it."""
    found: dict[str, Any] = httpx.get(f"{url}/api/v1/openapi.json", headers=headers, trust_env=False).json()
    return found


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document with answers closed: a key that is not documented is a fault."""
    schemas, seen = document["components"]["schemas"], set[str]()

    def close(node: Any) -> None:
        if isinstance(node, list):
            for child in node:
                close(child)
        if not isinstance(node, dict):
            return
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        if (name := str(node.get("$ref", "")).rpartition("/")[2]) and name in schemas and name not in seen:
            seen.add(name)
            close(schemas[name])
        for child in node.values():
            close(child)

    for verbs in document["paths"].values():
        for operation in verbs.values():
            close(operation["responses"])
    close(document["components"]["responses"])
    return document


def with_examples(document: dict[str, Any]) -> dict[str, Any]:
    """The document with a value that is there for each part of a path, so that routes do not answer 404 alone."""
    for verbs in document["paths"].values():
        for operation in verbs.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in THERE:
                    parameter["example"] = THERE[parameter["name"]]
    return document


def faults(url: str, headers: dict[str, str], *, examples: int, reads: bool) -> tuple[dict[Fault, str], Answers]:
    """(every fault with one request that shows it, statuses by route) of the routes that read, or of the others."""
    config = SchemathesisConfig.from_dict({
        "seed": SEED, "base-url": url, "headers": headers, "workers": 1, "continue-on-failure": True, "warnings": False,
        "checks": {
            # What a filter, a time or a cron line may be is more than a schema can say: a refusal is no fault.
            "positive_data_acceptance": {"enabled": False},
            "negative_data_rejection": {"expected-statuses": REFUSALS},
            # A channel that fails is 502, and the kit has one; a 503 would be a fault, for here everything runs.
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "502"]},
        },
        "generation": {
            "max-examples": examples, "deterministic": True, "no-shrink": True, "database": "none", "allow-x00": True,
        },
        "phases": {
            "stateful": {"enabled": False},
            "coverage": {"extra-data-sources": {"responses": False}},
            "fuzzing": {"extra-data-sources": {"responses": False}},
        },
    })  # fmt: skip
    schema = schemathesis.openapi.from_dict(with_examples(strict(document_of(url, headers))), config=config)
    chosen = schema.include(method="GET") if reads else schema.exclude(method="GET")
    found: dict[Fault, str] = {}
    answers: Answers = {}
    for event in from_schema(chosen).execute():
        assert not isinstance(event, (NonFatalError, FatalError)), f"Schemathesis could not go on: {event}"

        if isinstance(event, ScenarioFinished):
            told = [one.response.status_code for one in event.recorder.interactions.values() if one.response]
            answers.setdefault(str(event.label), Counter()).update(told)
            found.update(_faults_of(event))
    return found, answers


def _faults_of(event: ScenarioFinished) -> Iterator[tuple[Fault, str]]:
    for case, checks in event.recorder.checks.items():
        answer = event.recorder.interactions[case].response
        for check in checks:
            if check.failure_info is not None:
                told = f"{check.failure_info.failure.message[:500]}\n{check.failure_info.code_sample[:800]}"
                yield (str(event.label), check.name, answer.status_code if answer else 0), told
