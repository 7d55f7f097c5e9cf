"""What goes wrong around a live service is said in three lines or on the page, with what mends it; never a traceback."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.store.accounts import Accounts

pytestmark = [pytest.mark.net, pytest.mark.slow]

NO_RAW = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--ambient-caps=-net_raw")


def nsm(data: Path, *arguments: str, environ: dict[str, str] | None = None) -> tuple[int, list[str], str]:
    """(exit code, lines of stderr, stdout) of a call that is expected to end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "nsm", "--data", str(data), *arguments], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, **(environ or {})},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines(), done.stdout


def capture_of(service: LiveService) -> dict[str, Any]:
    return next(service.messages("capture", 5.0))


def plug_in(lab: Namespaces) -> None:
    """Host b gets one more cable, to host a."""
    lab.run("b", "ip", "link", "add", "spare0", "type", "veth", "peer", "name", "spare1", "netns", lab.name("a"))
    lab.run("b", "ip", "addr", "add", "10.99.0.1/24", "dev", "spare0")
    lab.run("b", "ip", "link", "set", "spare0", "up")
    lab.run("a", "ip", "link", "set", "spare1", "up")


@pytest.fixture
def spare(lab: Namespaces) -> Iterator[str]:
    """An interface of host b that a test may take away."""
    plug_in(lab)
    yield "spare0"
    subprocess.run(
        ["ip", "netns", "exec", lab.name("b"), "ip", "link", "del", "spare0"], check=False, capture_output=True
    )


def test_an_interface_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    code, lines, _ = nsm(tmp_path, "run", "-i", "nope0", "--listen", "127.0.0.1:0")
    assert code == 3
    assert lines[0] == "nsm: there is no interface nope0"
    assert [line.split(":")[0] for line in lines[1:]] == ["  where", "  mend"]
    assert "lo" in lines[2]


def test_a_filter_with_a_typo_is_an_error_at_the_start(tmp_path: Path) -> None:
    code, lines, _ = nsm(tmp_path, "run", "-i", "lo", "--filter", "tcp prot 80", "--listen", "127.0.0.1:0")
    assert code in (2, 3)
    assert "filter" in lines[0]
    assert len(lines) <= 3


def test_a_port_in_use_says_who_may_have_it_and_what_else_to_say(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, lines, _ = nsm(tmp_path, "run", "-i", "lo", "--listen", f"127.0.0.1:{port}")
    assert code == 5
    assert "in use" in lines[0]
    assert f"127.0.0.1:{port + 1}" in lines[2]


def test_a_setting_with_a_typo_names_the_nearest_one(tmp_path: Path) -> None:
    config = tmp_path / "nsm.toml"
    config.write_text("[capture]\nworkerz = 2\n")
    code, lines, _ = nsm(tmp_path / "data", "--config", str(config), "run", "-i", "lo", "--listen", "127.0.0.1:0")
    assert code == 2
    assert "workerz" in lines[0]
    assert "workers" in "".join(lines).replace("workerz", "")


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    Accounts(data).close()
    (database,) = data.glob("*.db")
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    before = database.read_bytes()
    code, lines, _ = nsm(data, "run", "-i", "lo", "--listen", "127.0.0.1:0")
    assert code == 3
    assert len(lines) == 3
    assert lines[2].startswith("  mend:  ")
    assert database.read_bytes() == before


def test_status_without_a_service_is_one_clear_error(tmp_path: Path) -> None:
    code, lines, out = nsm(tmp_path, "status")
    assert (code, out) == (5, "")
    assert lines[0] == "nsm: no service is running"
    assert lines[2] == "  mend:  sudo nsm run   or   --data DIR"
    assert "service: not running" in nsm(tmp_path)[2]


def test_status_of_a_running_service(watched: LiveService) -> None:
    code, lines, out = nsm(watched.data, "status", "--json")
    assert (code, lines) == (0, [])
    status = json.loads(out)
    assert [one["name"] for one in status["processes"]][:4] == ["supervisor", "store", "analyst", "web"]
    assert all(one["alive"] and one["rss_bytes"] > 1_000_000 for one in status["processes"])
    assert status["capture"]["state"] == "running"
    assert status["page"] == f"http://127.0.0.1:{watched.port}/"
    _, _, text = nsm(watched.data, "status")
    assert "running on v0b" in text
    assert "store    ok" in text
    assert "service: running" in nsm(watched.data)[2]


def test_an_interface_that_goes_away_is_shown_and_taken_up_again_when_it_is_back(
    lab: Namespaces, tmp_path: Path, spare: str
) -> None:
    with LiveService(lab, "b", tmp_path / "data", port=8063, interface=spare) as service:
        assert service.state()["state"] == "running"
        lab.run("b", "ip", "link", "del", spare)
        assert wait_for(lambda: service.state()["state"] == "failed" and capture_of(service)["error"], 5.0)
        error = capture_of(service)["error"]
        assert spare in error["title"]
        assert any(fix["cmd"] for fix in error["fix"])
        plug_in(lab)
        assert wait_for(lambda: service.state()["state"] == "running", 10.0)
        assert wait_for(lambda: all(one["alive"] for one in service.health()), 10.0)
        lab.start("b", "ping", "-q", "-i", "0.2", "-c", "40", "10.99.0.9", stdout=subprocess.DEVNULL)
        assert any(message["v"]["pps"] for message in service.messages("second", 10.0))
        assert capture_of(service)["error"] is None


def test_without_the_privilege_the_page_says_what_mends_it(lab: Namespaces, tmp_path: Path) -> None:
    with LiveService(lab, "b", tmp_path / "data", port=8064, prefix=NO_RAW) as service:
        capture = capture_of(service)
        assert capture["state"] == "failed"
        assert capture["error"]["type"] == "capture/permission"
        assert "sudo nsm run" in [fix["cmd"] for fix in capture["error"]["fix"]]
        _, _, text = nsm(service.data, "status")
        assert "permission denied" in text
        assert "mend: sudo nsm run" in text


def test_without_the_privilege_the_demo_is_shown_when_that_was_asked_for(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*NO_RAW, sys.executable, "-m", "nsm", "--data", str(tmp_path / "data"), "run", "--or-demo",
         "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    said = []
    try:
        for line in child.stderr:
            said.append(line)
            if line.startswith("demo: http://"):
                break
    finally:
        child.terminate()
        child.wait(30)
        child.stderr.close()
    assert "No permission to capture, so this is the demo" in said[0]
    assert said[-1].startswith("demo: http://")


def test_a_full_disk_is_told_and_analysis_goes_on(lab: Namespaces, tmp_path: Path) -> None:
    full = {"NSM_STORE__FREE_MIN_BYTES": str(1 << 50)}
    with LiveService(lab, "b", tmp_path / "data", port=8065, environ=full) as service:
        gap = next(service.messages("gap", 10.0))
        assert gap["process"] == "store"
        assert "disk is full" in gap["what"]
        second = next(message for message in service.messages("second", 10.0) if message["store"])
        assert second["store"]["state"] == "full"
        assert service.state()["state"] == "running"
        _, _, text = nsm(service.data, "status")
        assert "store    full" in text


def test_a_file_of_events_that_cannot_be_written_is_told_and_the_rest_goes_on(lab: Namespaces, tmp_path: Path) -> None:
    with LiveService(
        lab, "b", tmp_path / "data", port=8065, environ={"NSM_OUTPUT__EVE_FILE__PATH": "/dev/full"}
    ) as service:
        refused = f"import socket; socket.socket().connect_ex(({lab.address('b')!r}, 9))"
        lab.run("a", sys.executable, "-c", refused)  # a flow that ends at once
        gap = next(service.messages("gap", 20.0))
        assert gap["process"] == "eve_file"
        assert gap["what"] == "Events are not written: cannot write /dev/full: no space left on device"
        assert all(item["alive"] and not item["restarts"] for item in service.health())
        assert wait_for(lambda: "refused" in nsm(service.data, "flows", "--json")[2], 15.0)


def test_a_file_of_events_in_no_folder_is_an_error_at_the_start(tmp_path: Path) -> None:
    code, lines, _ = nsm(
        tmp_path,
        "run",
        "-i",
        "lo",
        "--listen",
        "127.0.0.1:0",
        environ={"NSM_OUTPUT__EVE_FILE__PATH": "/nowhere/eve.json"},
    )
    assert code == 3
    assert lines[0] == "nsm: cannot write /nowhere/eve.json: no such file or directory"
