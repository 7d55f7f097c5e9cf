"""Reports over HTTP: made by a job, listed, served in a sandbox, removed; nothing else of the folder can be reached."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from nsm.model.finding import Severity
from nsm.model.notice import Notice
from nsm.report.html import page
from nsm.report.shelf import About, Shelf, notice_of_report
from nsm.store.notices import NoticeStore
from tests.report.kit import build, facts_of
from tests.serve.kit import PASSWORD, Service

ID = "20251121T140000Z-abcdef"


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return page(facts_of(build(tmp_path_factory.mktemp("made")))).encode()


@pytest.fixture
def kept(service: Service, document: bytes) -> Iterator[Shelf]:
    shelf = Shelf(service.store.directory)
    about = About(ID, "day <b>", "ann", 3_000_000, 1_000_000, 2_000_000, "UTC", "It looks fine.", 90, {})
    shelf.keep(about, {"html": document, "json": b"{}"}, 9)
    yield shelf
    shelf.remove(ID)


def test_making_one_starts_a_job(service: Service, http: httpx.Client) -> None:
    answer = http.post("/api/v1/reports", json={"last": "7d", "formats": ["html", "pdf"], "zone": "Europe/Berlin"})
    assert answer.status_code == 200
    call = next(call for call in service.control.calls if call[:2] == ("job", "report"))
    assert call[2:] == (
        "last 7d",
        {
            "last": "7d",
            "formats": ["html", "pdf"],
            "name": "last 7d",
            "zone": "Europe/Berlin",
            "short": False,
            "redact": False,
            "scope": "",
            "mail": False,
        },
        "admin",
    )
    assert http.post("/api/v1/reports", json={"formats": ["docx"]}).status_code == 400


def test_scope_and_mail_are_handed_on_and_bounded(service: Service, http: httpx.Client) -> None:
    assert http.post("/api/v1/reports", json={"scope": "10.0.0.0/8", "mail": True}).status_code == 200
    task = service.control.calls[-1][3]
    assert (task["scope"], task["mail"]) == ("10.0.0.0/8", True)
    assert http.post("/api/v1/reports", json={"scope": "x" * 2_001}).status_code == 400
    assert http.post("/api/v1/reports", json={"mail": "yes"}).status_code == 400


def test_how_the_mail_of_a_report_went_is_listed(service: Service, kept: Shelf, http: httpx.Client) -> None:
    def listed() -> tuple[str, str]:
        (item,) = http.get("/api/v1/reports").json()["items"]
        return item["mail"], item["mail_error"]

    assert listed() == ("", "")
    found = kept.about(ID)
    assert found is not None
    kept.keep(msgspec.structs.replace(found, mailed=True), {"html": b"x"}, 9)
    assert listed() == ("", "")  # the outbox has forgotten it
    outbox = NoticeStore(service.store.directory)
    made = Notice(id=notice_of_report(ID), kind="report", title="t", severity=Severity.INFO, ts=1, sensor="s")
    outbox.put("mail", made, (), 9)
    assert listed() == ("waiting", "")
    taken = outbox.take("mail")
    assert taken is not None
    outbox.end(taken.id, "dead", "mail: the server answered 554")
    outbox.close()
    assert listed() == ("dead", "mail: the server answered 554")


def test_they_are_listed_and_served(kept: Shelf, http: httpx.Client, document: bytes) -> None:
    (item,) = http.get("/api/v1/reports").json()["items"]
    assert (item["id"], item["made"], item["start"], item["files"]["json"]) == (ID, 3.0, 1.0, 2)
    shown = http.get(f"/api/v1/reports/{ID}/html")
    assert shown.content == document
    assert shown.headers["content-disposition"].startswith("inline")
    saved = http.get(f"/api/v1/reports/{ID}/html", params={"download": "true"})
    assert saved.headers["content-disposition"].startswith("attachment")
    assert http.get(f"/api/v1/reports/{ID}/json").headers["content-disposition"].startswith("attachment")


def test_a_page_runs_its_own_script_by_hash_in_a_sandbox_and_nothing_else(kept: Shelf, http: httpx.Client) -> None:
    policy = http.get(f"/api/v1/reports/{ID}/html").headers["content-security-policy"]
    assert re.search(r"; sandbox allow-scripts; style-src 'sha256-[^']{44}'; script-src 'sha256-[^']{44}'$", policy)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "allow-same-origin" not in policy
    kept.folder.joinpath(f"{ID}.html").write_text("<!doctype html><script>alert(1)</script>")
    policy = http.get(f"/api/v1/reports/{ID}/html").headers["content-security-policy"]
    assert "script-src" not in policy
    assert "allow-scripts" not in policy


@pytest.mark.parametrize("path", ["x/html", f"{ID}/about", f"{ID}/key", "..%2Fnsm/db", f"{ID}/pdf"])
def test_nothing_else_is_reached(kept: Shelf, http: httpx.Client, path: str) -> None:
    assert http.get(f"/api/v1/reports/{path}").status_code == 404


def test_one_is_removed_by_who_may(service: Service, kept: Shelf, http: httpx.Client) -> None:
    with httpx.Client(base_url=service.url, trust_env=False) as viewer:
        told = viewer.post("/api/v1/login", json={"name": "looker", "password": PASSWORD}).json()
        viewer.headers["X-CSRF-Token"] = told["csrf"]
        assert viewer.get(f"/api/v1/reports/{ID}/html").status_code == 200
        assert viewer.delete(f"/api/v1/reports/{ID}").status_code == 403
        assert viewer.post("/api/v1/reports", json={}).status_code == 403
    assert http.delete(f"/api/v1/reports/{ID}").status_code == 200
    assert http.delete(f"/api/v1/reports/{ID}").status_code == 404
    assert http.get(f"/api/v1/reports/{ID}/html").status_code == 404
