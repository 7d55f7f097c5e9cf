"""Captures over HTTP: streamed in and out, kept only when they are captures, within their bounds; who may do what."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from nsm.store.captures import CaptureShelf, CapturesSettings, Found, Kept
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap
from tests.serve.kit import PASSWORD, Service, backend, running

MIB = 1 << 20
DATA = pcap(in_time(CASES["connect"]))
UPLOAD = "/api/v1/captures:upload"
LIMITS = CapturesSettings(files_max=6, total_bytes_max=8 * MIB, upload_bytes_max=2 * MIB, free_min_bytes=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with backend(tmp_path_factory.mktemp("store")) as made:
        for name, role in (("admin", "admin"), ("ann", "analyst"), ("looker", "viewer")):
            made.accounts.add_user(name, PASSWORD, role)
        with running(made, captures=LIMITS) as live:
            yield live


@contextmanager
def logged_in(server: Service, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        told = client.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()
        client.headers["X-CSRF-Token"] = told["csrf"]
        yield client


@contextmanager
def other_server(folder: Path, captures: CapturesSettings) -> Iterator[httpx.Client]:
    """A server with other bounds."""
    with backend(folder) as made:
        made.accounts.add_user("ann", PASSWORD, "analyst")
        with running(made, captures=captures) as live, logged_in(live, "ann") as client:
            yield client


@pytest.fixture
def shelf(server: Service) -> Iterator[CaptureShelf]:
    """The folder, empty before and after."""
    made = CaptureShelf(server.store.directory, LIMITS)
    yield made
    for kept in made.captures():
        made.remove(kept.id)
    assert made.used() == 0, list(made.folder.iterdir())


@pytest.fixture(scope="module")
def clients(server: Service) -> Iterator[dict[str, httpx.Client]]:
    with logged_in(server, "admin") as admin, logged_in(server, "ann") as ann, logged_in(server, "looker") as looker:
        yield {"admin": admin, "ann": ann, "looker": looker}


@pytest.fixture
def admin(clients: dict[str, httpx.Client], shelf: CaptureShelf) -> httpx.Client:
    return clients["admin"]


@pytest.fixture
def ann(clients: dict[str, httpx.Client], shelf: CaptureShelf) -> httpx.Client:
    return clients["ann"]


@pytest.mark.parametrize(("data", "form"), [(DATA, "pcap"), (gzip.compress(DATA), "pcap.gz")], ids=["plain", "packed"])
def test_an_upload_is_kept_as_it_is_and_read_by_a_job(
    server: Service, ann: httpx.Client, data: bytes, form: str
) -> None:
    told = ann.post(UPLOAD, content=data, params={"name": "Büro morgens.pcap"}).json()
    (item,) = ann.get("/api/v1/captures").json()["items"]
    assert (item["id"], item["name"], item["who"], item["bytes"]) == (told["id"], "Büro morgens.pcap", "ann", len(data))
    assert (item["form"], item["packets"], item["result"]) == (form, None, None)
    assert server.control.calls[-1] == ("job", "read", "Büro morgens.pcap", {"capture": told["id"]}, "ann")
    answer = ann.get(f"/api/v1/captures/{told['id']}/file", headers={"Accept-Encoding": "gzip"})
    assert answer.content == data
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'attachment; filename="B_ro_morgens.{form}"'
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-security-policy"].endswith("sandbox")
    actions = [entry["action"] for entry in server.accounts.audit_log(2)]
    assert actions == ["capture downloaded", "capture uploaded"]


def test_a_capture_that_was_cut_is_kept_for_its_reading_says_where(ann: httpx.Client) -> None:
    assert ann.post(UPLOAD, content=DATA[:-10], params={"name": "cut.pcap"}).status_code == 200


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"\x7fELF" + bytes(100), "it is a program", id="program"),
        pytest.param(b"{}", "it looks like JSON", id="json"),
        pytest.param(b"<html>" * 100, "it looks like text", id="text"),
        pytest.param(bytes(3 * 65_536), "it begins with 00 00 00 00", id="zeros"),
        pytest.param(gzip.compress(b"none"), "it is packed with gzip, and inside is none", id="packed text"),
        pytest.param(b"\x1f\x8b" + b"\xff" * 500, "it is packed with gzip, and inside is none", id="broken gzip"),
        pytest.param(DATA[:3], "it begins with d4 c3 b2", id="three bytes"),
    ],
)
def test_what_is_no_capture_is_refused_in_one_line(ann: httpx.Client, data: bytes, said: str) -> None:
    answer = ann.post(UPLOAD, content=data, params={"name": "x.pcap"})
    assert answer.status_code == 409
    assert answer.json()["title"] == f"this is not a capture: {said}"
    assert ann.get("/api/v1/captures").json()["items"] == []


@pytest.mark.parametrize("known", [True, False])
def test_what_is_too_large_is_refused_whether_it_says_so_or_not(ann: httpx.Client, known: bool) -> None:
    data = DATA + bytes(3 * MIB)
    answer = ann.post(UPLOAD, content=data if known else iter([data[: 2 * MIB], data[2 * MIB :]]))
    assert (answer.status_code, answer.json()["type"]) == (413, "too-large")
    assert ann.get("/api/v1/captures").json()["used_bytes"] == 0


@pytest.mark.parametrize(
    ("name", "shown", "saved"),
    [
        ("../../etc/passwd", "passwd", "passwd.pcap"), ("..", "capture", "capture.pcap"), ("", "capture", "capture.pcap"),
        ("a\0b\r\nX: y.pcap", "abX: y.pcap", "abX_y.pcap"), ("C:\\x\\<b>.pcap", "<b>.pcap", "b.pcap"),
        ("\u202egnp.exe", "gnp.exe", "gnp.exe.pcap"), ('q";f="x', 'q";f="x', "q_f_x.pcap"),
        ("x" * 900, "x" * 100, "x" * 100 + ".pcap"),
    ],
)  # fmt: skip
def test_a_name_is_a_label_and_never_a_path(
    ann: httpx.Client, shelf: CaptureShelf, name: str, shown: str, saved: str
) -> None:
    number = ann.post(UPLOAD, content=DATA, params={"name": name}).json()["id"]
    assert ann.get(f"/api/v1/captures/{number}").json()["name"] == shown
    answer = ann.get(f"/api/v1/captures/{number}/file")
    assert answer.headers["content-disposition"] == f'attachment; filename="{saved}"'
    assert {path.name for path in shelf.folder.iterdir()} == {f"{number}.pcap", f"{number}.about"}


def test_bounds_of_number_and_size_are_kept_and_said(ann: httpx.Client, admin: httpx.Client) -> None:
    large = DATA + bytes(2 * MIB - len(DATA))
    for _ in range(3):
        assert ann.post(UPLOAD, content=large).status_code == 200
    assert ann.post(UPLOAD, content=DATA).status_code == 200
    full = ann.post(UPLOAD, content=large)
    assert (full.status_code, full.json()["type"]) == (507, "disk/no-room")
    assert full.json()["title"] == "there is room for 1 MiB of captures, the file has 2"
    for _ in range(2):
        ann.post(UPLOAD, content=DATA)
    many = ann.post(UPLOAD, content=DATA)
    assert many.json()["title"] == "6 captures are kept, which is as many as may be"
    refused = admin.post("/api/v1/captures:record", json={"iface": "eth0"})
    assert (refused.status_code, refused.json()["where"]) == (507, "captures.files_max")


def test_a_short_disk_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    greedy = msgspec.structs.replace(LIMITS, free_min_bytes=1 << 50)
    with other_server(tmp_path, greedy) as client:
        answer = client.post(UPLOAD, content=DATA)
    assert answer.status_code == 507
    assert answer.json()["title"].startswith("the disk is short: ")


def test_an_upload_that_breaks_off_leaves_nothing(server: Service, ann: httpx.Client, shelf: CaptureShelf) -> None:
    address = urlsplit(server.url)
    cookie = "; ".join(f"{name}={value}" for name, value in ann.cookies.items())
    with socket.create_connection((address.hostname, address.port)) as sock:
        sock.sendall(
            f"POST {UPLOAD}?name=x HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\nContent-Length: 100000\r\n"
            f"X-CSRF-Token: {ann.headers['X-CSRF-Token']}\r\n\r\n".encode() + DATA
        )  # fmt: skip
    for _ in range(200):
        if not list(shelf.folder.glob("*.upload")):
            break
        ann.get("/api/v1/captures")
    assert ann.get("/api/v1/captures").json() | {"free_bytes": 0, "limits": {}} == {
        "items": [], "total": 0, "limits": {}, "used_bytes": 0, "free_bytes": 0,
    }  # fmt: skip


def test_a_large_upload_is_never_in_memory(tmp_path: Path) -> None:
    """The server is a thread of this process: what it holds, we hold."""
    wide = msgspec.structs.replace(LIMITS, upload_bytes_max=256 * MIB, total_bytes_max=512 * MIB)
    piece = bytes(MIB)

    def body() -> Iterator[bytes]:
        yield DATA
        for _ in range(128):
            yield piece

    with other_server(tmp_path, wide) as client:
        before = resident()
        assert client.post(UPLOAD, content=body(), timeout=60).status_code == 200
        assert resident() - before < 32 * MIB
        (kept,) = client.get("/api/v1/captures").json()["items"]
        before = resident()
        with client.stream("GET", f"/api/v1/captures/{kept['id']}/file") as answer:
            assert sum(map(len, answer.iter_raw())) == len(DATA) + 128 * MIB
        assert resident() - before < 32 * MIB


def resident() -> int:
    """Memory of this process now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def analysed(shelf: CaptureShelf, html: str = "<!doctype html>") -> str:
    number = shelf.new_id()
    shelf.upload(number).write_bytes(DATA)
    shelf.keep(Kept(number, "x.pcap", "ann", 1_000_000, "pcap", 0), shelf.upload(number))
    events, report = shelf.folder / "a", shelf.folder / "b"
    events.write_bytes(gzip.compress(b"{}\n"))
    report.write_text(html)
    found = Found(2_000_000, 0.1, 89, 4_799, 41, 3_000_000, 4_000_000, (), (), (), 1, {"medium": 1}, 45)
    assert shelf.note(number, found, {"events.json.gz": events, "report.html": report})
    return number


def test_what_was_found_is_told_and_served_in_a_sandbox(ann: httpx.Client, shelf: CaptureShelf) -> None:
    number = analysed(shelf, "<!doctype html><script>alert(1)</script>")
    one = ann.get(f"/api/v1/captures/{number}").json()
    assert (one["packets"], one["result"]["alerts_count"], one["found"]["first"]) == (89, 1, 3.0)
    assert one["result"]["products"].keys() == {"events.json.gz", "report.html"}
    report = ann.get(f"/api/v1/captures/{number}/report")
    assert report.headers["content-disposition"].startswith("inline")
    assert report.headers["content-security-policy"].endswith("; sandbox")
    assert (
        ann.get(f"/api/v1/captures/{number}/report?download=true").headers["content-disposition"].startswith("attach")
    )
    events = ann.get(f"/api/v1/captures/{number}/events")
    assert gzip.decompress(events.content) == b"{}\n"
    assert events.headers["content-disposition"] == 'attachment; filename="x.events.json.gz"'


def test_everybody_may_what_their_role_says(
    server: Service, clients: dict[str, httpx.Client], shelf: CaptureShelf
) -> None:
    number = analysed(shelf)
    asked = [
        ("GET", "/api/v1/captures"), ("GET", f"/api/v1/captures/{number}"), ("GET", f"/api/v1/captures/{number}/report"),
        ("GET", f"/api/v1/captures/{number}/file"), ("GET", f"/api/v1/captures/{number}/events"),
        ("POST", f"/api/v1/captures/{number}/analyse"), ("POST", UPLOAD), ("POST", "/api/v1/captures:record"),
        ("DELETE", f"/api/v1/captures/{number}"),
    ]  # fmt: skip
    allowed = {}
    for name in ("looker", "ann", "admin"):
        answers = [clients[name].request(verb, path, json={} if verb == "POST" else None) for verb, path in asked]
        allowed[name] = [answer.status_code != 403 for answer in answers]
    assert allowed["looker"] == [True] * 3 + [False] * 6
    assert allowed["ann"] == [True] * 7 + [False] * 2
    assert allowed["admin"] == [True] * 9
    assert server.accounts.audit_log(1)[0]["action"] == "capture removed"


def test_a_recording_is_started_by_an_admin_within_the_bounds(server: Service, admin: httpx.Client) -> None:
    body = {"iface": "eth0", "seconds": 30, "bytes_max": 5_000_000, "filter": "tcp port 443", "snaplen": 128}
    assert admin.post("/api/v1/captures:record", json=body).status_code == 200
    assert server.control.calls[-1] == ("job", "record", "eth0", {**body, "form": "pcapng", "name": ""}, "admin")
    long = admin.post("/api/v1/captures:record", json={"iface": "eth0", "seconds": 4_000})
    assert (long.status_code, long.json()["title"]) == (400, "a recording has 3,600 seconds at most")
    large = admin.post("/api/v1/captures:record", json={"iface": "eth0", "bytes_max": 2 << 30})
    assert large.json()["where"] == "bytes_max"


def test_only_an_admin_stops_a_recording(server: Service, admin: httpx.Client, ann: httpx.Client) -> None:
    server.control.open_jobs = [{"id": 7, "kind": "record"}, {"id": 8, "kind": "read"}]
    try:
        assert ann.post("/api/v1/jobs/7/cancel").status_code == 403
        assert ann.post("/api/v1/jobs/8/cancel").status_code == 200
        assert admin.post("/api/v1/jobs/7/cancel").status_code == 200
    finally:
        server.control.open_jobs = []


@pytest.mark.parametrize("number", ["x", "..%2F..%2Fnsm.db", "20260101T000000Z-000000", "%00"])
@pytest.mark.parametrize("rest", ["", "/file", "/events", "/report"])
def test_nothing_else_is_reached(admin: httpx.Client, number: str, rest: str) -> None:
    assert admin.get(f"/api/v1/captures/{number}{rest}").status_code == 404


def test_a_request_without_a_length_to_another_route_is_bounded_as_before(server: Service, ann: httpx.Client) -> None:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.netloc)
    connection.putrequest("POST", "/api/v1/scans")
    connection.putheader("Content-Length", str(30 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_what_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    shelf = CaptureShelf(tmp_path, LIMITS)
    shelf.upload(shelf.new_id()).write_bytes(DATA)
    with backend(tmp_path) as made, running(made, captures=LIMITS):
        assert shelf.used() == 0


def test_a_recording_whose_process_was_killed_is_kept_as_far_as_it_came(tmp_path: Path) -> None:
    shelf = CaptureShelf(tmp_path, LIMITS)
    number = shelf.new_id()
    shelf.recording(number).write_bytes(DATA)
    shelf.recording(shelf.new_id()).write_bytes(b"")
    shelf.rescue()
    (kept,) = shelf.captures()
    assert (kept.id, kept.note, kept.bytes) == (number, "its recording broke off", len(DATA))
    assert not list(shelf.folder.glob("*.recording"))
