"""Any process of the service may be killed: it is back within seconds, the gap is told, and no row is lost or doubled."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.store.queryspec import from_json
from nsm.store.reader import Reader

pytestmark = [pytest.mark.net, pytest.mark.slow]

BACK_S = 5.0  # DESIGN 3.4


def pid_of(service: LiveService, name: str) -> int | None:
    """The running process whose name begins so."""
    for item in service.health():
        if item["name"].startswith(name) and item["alive"]:
            pid: int = item["pid"]
            return pid
    return None


def replaced(service: LiveService, name: str, old: int) -> bool:
    """Does another process run under that name now?"""
    return pid_of(service, name) not in (None, old)


def test_killed_processes_come_back_and_nothing_stored_is_lost_or_doubled(
    lab: Namespaces, own_watched: Callable[[int], LiveService], need_tool: Callable[[str], str]
) -> None:
    need_tool("nmap")
    with own_watched(8061) as service:
        # Connections that are refused at once: each is a flow that ends and is stored.
        traffic = lab.start(
            "a", "nmap", "-sT", "-n", "-Pn", "-p", "1-4000", "--max-rate", "250", lab.address("b"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for name in ("store", "analyst", "web", "capture"):
            time.sleep(1.5)
            old = pid_of(service, name)
            assert old is not None
            os.kill(old, signal.SIGKILL)
            assert wait_for(functools.partial(replaced, service, name, old), BACK_S), f"{name} did not come back"
        traffic.wait(60)
        assert wait_for(lambda: len(Reader(service.data).gaps()) >= 4, 15.0)
        time.sleep(12.0)  # closed flows end 5 s after their last packet; then they are stored
        told = {gap.process.split("-")[0] for gap in Reader(service.data).gaps()}
    assert told == {"store", "analyst", "web", "capture"}
    reader = Reader(service.data)
    question = {
        "table": "flow", "where": {"f": "src", "op": "=", "v": lab.address("a")},
        "aggs": [{"fn": "count", "as": "n"}, {"fn": "distinct", "f": "flow_id", "as": "ids"}],
    }  # fmt: skip
    answer = reader.query(from_json(question, time.time_ns() // 1000))
    row = dict(zip(answer.columns, answer.rows[0], strict=True))
    assert row["n"] == row["ids"]
    # Only the killed capture worker may take flows with it: what it held of some three seconds.
    assert row["n"] > 2_000
    reader.close()
