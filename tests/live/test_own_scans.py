"""Scans that the service makes: kept, compared, judged; and its own packets are no attack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.run.control import ask
from nsm.store.jobs import JobStore
from nsm.store.scans import ScanStore

pytestmark = [pytest.mark.net, pytest.mark.slow]

SERVER = "import socket,time; s=socket.create_server(('', {port})); s.settimeout(60)\nwhile 1: s.accept()[0].close()"


@pytest.fixture
def service(own_watched: Callable[[int], LiveService]) -> LiveService:
    return own_watched(8071)


def scan(service: LiveService, lab: Namespaces, ports: str = "1-300") -> dict[str, Any]:
    """Scan host a from host b through the service, and wait for its end; the job's result."""
    task = {"targets": [lab.address("a")], "ports": ports}
    number = ask(service.data, "job_start", job="scan", name="lab", task=task, who="ann")["id"]
    jobs = JobStore(service.data)
    ended = [job for job in jobs.jobs() if job.id == number]
    assert wait_for(lambda: next(job for job in jobs.jobs() if job.id == number).ended_us, 60)
    ended = [job for job in jobs.jobs() if job.id == number]
    assert ended[0].state == "done", ended[0].text
    return ended[0].result


def alerts(service: LiveService, seconds: float) -> list[dict[str, Any]]:
    return [message["alert"] for message in service.messages("alert", seconds)]


def test_own_scans_are_kept_compared_and_raise_no_alarm_of_themselves(lab: Namespaces, service: LiveService) -> None:
    with service:
        first = lab.start("a", sys.executable, "-c", SERVER.format(port=80))
        with service.listening() as feed:
            scan(service, lab)
            second = lab.start("a", sys.executable, "-c", SERVER.format(port=99))
            assert wait_for(lambda: lab.run("a", "ss", "-ltn").count(":99 "), 10)
            result = scan(service, lab)
            seen = [message["alert"]["finding"] for message in feed("alert", 8.0)]
        for child in (first, second):
            child.kill()
        assert result["open"] == 2
        assert [finding["signature"] for finding in seen if finding["detector"] != "new_host"] == ["New open port"]
        scans = ScanStore(service.data)
        assert [one.open for one in scans.scans()] == [2, 1]
        found = scans.scan(scans.scans()[0].id)
        assert found is not None
        assert [port.port for port in found.found if port.state == "open"] == [80, 99]


def test_a_scan_by_the_command_line_is_known_and_that_of_another_is_told(
    lab: Namespaces, service: LiveService, tmp_path: Path
) -> None:
    with service:
        with service.listening() as feed:
            done = subprocess.run(
                ["ip", "netns", "exec", lab.name("b"), sys.executable, "-m", "nsm", "--data", str(service.data), "scan",
                 lab.address("a"), "--ports", "1-300", "--format", "json"],
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            seen = [message["alert"]["finding"] for message in feed("alert", 5.0)]
            assert not [finding for finding in seen if finding["kind"] == "network_scan"]
        with service.listening() as feed:
            lab.run("a", "nmap", "-sS", "-n", "-Pn", "-p", "1-200", lab.address("b"))
            found = next(m for m in feed("alert", 20.0) if m["alert"]["finding"]["kind"] == "network_scan")
            assert found["alert"]["finding"]["actors"] == [lab.address("a")]


def test_what_may_not_be_scanned_is_refused(lab: Namespaces, service: LiveService) -> None:
    from nsm.errors import ScanError

    with service:
        for targets in (["8.8.8.8"], ["224.0.0.1"], ["10.0.0.0/8"]):
            with pytest.raises(ScanError):
                ask(service.data, "job_start", job="scan", name="x", task={"targets": targets}, who="ann")
