"""Workers that share an interface see together what one sees: the same flows as the file has that is played to them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dpkt
import pytest

import nsm
from lab.namespaces import Namespaces
from lab.service import LiveService
from nsm.store.queryspec import from_json
from nsm.store.reader import Reader

pytestmark = [pytest.mark.net, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SHAPE = (
    "src_port",
    "dst_port",
    "proto",
    "vlan",
    "app",
    "outcome",
    "tcp_s",
    "tcp_c",
    "pkts_s",
    "pkts_c",
    "bytes_s",
    "bytes_c",
)

Flows = Counter[tuple[Any, ...]]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of ordinary traffic."""
    path = tmp_path_factory.mktemp("spread") / "mix.pcap"
    subprocess.run(
        [sys.executable, ROOT / "bench" / "make_capture.py", "mix", path, "--packets", "20000"], check=True,
        capture_output=True, timeout=100,
    )  # fmt: skip
    return path


def shape_of(flow: dict[str, Any]) -> tuple[Any, ...]:
    """What makes flows equal."""
    return tuple(flow[name] for name in SHAPE)


def flows_of_file(path: Path) -> Flows:
    """How often each flow is in the file, without times and numbers."""
    rows = nsm.flows(path).select(["src_ip", "dest_ip", *SHAPE]).to_pylist()
    return Counter((row["src_ip"], row["dest_ip"], *shape_of(row)) for row in rows)


def flows_of_store(data: Path) -> Flows:
    """The same of what was stored."""
    reader, found, after = Reader(data), Flows(), None
    while True:
        question = {
            "table": "flow",
            "select": ["src", "dst", *SHAPE, "bytes_s", "bytes_c"],
            "limit": 10_000,
            "cursor": after,
        }
        answer = reader.query(from_json(question, time.time_ns() // 1000))
        found.update((row["src"], row["dst"], *shape_of(row)) for row in answer.dicts())
        after = answer.cursor
        if after is None:
            reader.close()
            return found


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_played_is_stored_as_it_is_read_from_the_file(
    workers: int, capture: Path, lab: Namespaces, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    need_tool("tcpreplay")
    with capture.open("rb") as file:
        packets = sum(1 for _ in dpkt.pcap.Reader(file))
    environ = {"NSM_CAPTURE__WORKERS": str(workers)}
    with LiveService(lab, "b", tmp_path / "data", port=8067, environ=environ) as service:
        lab.run("a", "tcpreplay", "-q", "--topspeed", "-i", lab.interface("a"), str(capture), timeout=60)
        seen = 0
        for message in service.messages("second", 20.0):
            seen = message["packets_total"]
            if seen >= packets:
                break
        assert seen >= packets
        second = next(service.messages("second", 5.0))
        assert second["drops"] == {lab.interface("b"): 0}
    stored, read = flows_of_store(service.data), flows_of_file(capture)
    assert read - stored == Counter()
