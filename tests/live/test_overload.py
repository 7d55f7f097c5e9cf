"""What the analyst does not take for a while is kept by the workers, and arrives: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.store.queryspec import from_json
from nsm.store.reader import Reader

pytestmark = [pytest.mark.net, pytest.mark.slow]

PORTS = 1_000
STOPPED_S = 5.0


@pytest.mark.long
def test_records_of_a_stopped_analyst_are_kept_and_stored_later(
    lab: Namespaces, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    need_tool("nmap")
    with LiveService(lab, "b", tmp_path / "data", port=8068) as service:
        analyst = next(one["pid"] for one in service.health() if one["name"] == "analyst")
        # Connections that are refused at once end five seconds later: in the midst of the pause.
        scan = lab.start(
            "a", "nmap", "-sT", "-n", "-Pn", "-p", f"1-{PORTS}", "--max-rate", "500", lab.address("b"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(3.0)
        os.kill(analyst, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        os.kill(analyst, signal.SIGCONT)
        scan.wait(30)
        second = next(message for message in service.messages("second", 10.0) if message["v"]["pps"] is not None)
        assert second["v"]["drops_queue"] == 0
        assert all(one["restarts"] == 0 for one in service.health() if one["name"] != "supervisor")
        assert wait_for(lambda: flows_of(service.data, lab.address("a"))[0] >= PORTS, 20.0)
    stored, different = flows_of(service.data, lab.address("a"))
    assert stored == different


def flows_of(data: Path, address: str) -> tuple[int, int]:
    """(flows stored of an address, different ones among them)."""
    question = {
        "table": "flow", "where": {"f": "src", "op": "=", "v": address},
        "aggs": [{"fn": "count", "as": "n"}, {"fn": "distinct", "f": "flow_id", "as": "ids"}],
    }  # fmt: skip
    reader = Reader(data)
    answer = reader.query(from_json(question, time.time_ns() // 1000))
    reader.close()
    return (answer.rows[0][0], answer.rows[0][1]) if answer.rows else (0, 0)
