"""Workers that share an interface see together what one sees: the same flows as the file has that is played to them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import nsm

pytestmark = [pytest.mark.net, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PACKETS = 20_000
SHAPE = ("src", "dst", "src_port", "dst_port", "proto", "pkts_s", "pkts_c", "bytes_s", "bytes_c")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture of ordinary traffic."""
    path = tmp_path_factory.mktemp("spread") / "mix.pcap"
    subprocess.run(
        [sys.executable, ROOT / "bench" / "make_capture.py", "mix", path, "--packets", str(PACKETS)], check=True,
        capture_output=True, timeout=100,
    )  # fmt: skip
    return path


def flows_of_file(path: Path) -> Counter[tuple[Any, ...]]:
    """How often each flow is in the file, without times and numbers."""
    found: Counter[tuple[Any, ...]] = Counter()
    for event in nsm.read(path):
        if event["event_type"] == "flow":
            flow = event["flow"]
            found[
                event["src_ip"], event["dest_ip"], event.get("src_port", 0), event.get("dest_port", 0), event["proto"],
                flow["pkts_toserver"], flow["pkts_toclient"], flow["bytes_toserver"], flow["bytes_toclient"],
            ] += 1  # fmt: skip
    return found
