"""A real scan between two hosts: one message at each receiver, whatever the others do; nothing twice over a kill."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from tests.live.receivers import Receivers

pytestmark = [pytest.mark.net, pytest.mark.slow]

SECRET = "t0ken-of-the-webhook"  # noqa: S105  of tests alone


def environ(ports: dict[str, int]) -> dict[str, str]:
    values = {
        "NOTIFY__SEVERITY_MIN": "low", "NOTIFY__GROUP_S": "1", "NOTIFY__KINDS": "network_scan",
        "NOTIFY__WEBHOOK__URL": f"http://127.0.0.1:{ports['webhook']}/{SECRET}",
        "NOTIFY__APPRISE_URLS__URLS": f"json://127.0.0.1:{ports['apprise']}/{SECRET} "
        f"json://127.0.0.1:{ports['hanging']}/{SECRET} json://127.0.0.1:{ports['refused']}/{SECRET}",
        "NOTIFY__MAIL__HOST": "127.0.0.1", "NOTIFY__MAIL__PORT": str(ports["mail"]), "NOTIFY__MAIL__SECURITY": "none",
        "NOTIFY__MAIL__SENDER": "nsm@example.org", "NOTIFY__MAIL__TO": "ann@example.org",
        "NOTIFY__SYSLOG__HOST": "127.0.0.1", "NOTIFY__SYSLOG__PORT": str(ports["udp"]),
    }  # fmt: skip
    return {f"NSM_{name}": value for name, value in values.items()}


def test_a_scan_is_one_message_at_each_receiver(lab: Namespaces, receivers: Receivers, tmp_path: Path) -> None:
    names = ("webhook", "apprise", "mail", "udp")
    with LiveService(lab, "b", tmp_path / "data", port=8077, environ=environ(receivers.ports)) as service:
        began = time.monotonic()
        scan = (
            "import socket\nfor port in range(1, 400):\n s = socket.socket(); s.settimeout(0.05)\n"
            f" s.connect_ex(({lab.address('b')!r}, port)); s.close()"
        )
        lab.run("a", sys.executable, "-c", scan)
        assert wait_for(lambda: all(receivers.scans(name) for name in names), 30)
        told_s = time.monotonic() - began
        (notifier,) = [one for one in service.health() if one["name"] == "notifier"]
        os.kill(notifier["pid"], signal.SIGKILL)

        def back() -> bool:
            return any(one["name"] == "notifier" and one["alive"] and one["restarts"] for one in service.health())

        assert wait_for(back, 10)
        time.sleep(8)  # what it reads again from the store
        assert {name: len(receivers.scans(name)) for name in names} == dict.fromkeys(names, 1)
        assert receivers.got("hanging") >= 1
        assert service.state()["state"] == "running"
    log = (tmp_path / "data" / "nsm.log").read_text() + (tmp_path / "data.log").read_text(errors="replace")
    assert SECRET not in log
    assert told_s < 30
