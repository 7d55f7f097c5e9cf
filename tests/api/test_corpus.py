"""The tools that judge whole corpora, for a bounded time: hostile files, and every event against the schema of EVE."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def tools(corpus: Path) -> Path:
    folder = corpus.parent / "tools"
    if not folder.is_dir():
        pytest.skip("needs the tools that lie beside the captures")
    return folder


def said(tool: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of a tool."""
    done = subprocess.run(
        [sys.executable, str(tool), *arguments], capture_output=True, text=True, check=False, cwd=tool.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    return done.returncode, done.stdout


def test_no_hostile_file_breaks_the_reader(tools: Path) -> None:
    code, out = said(tools / "check_hostile.py", "--minutes", "0.3", "--cli", "0", "--timeout", "20")
    assert [line for line in out.splitlines() if line.startswith("BAD")] == []
    assert code == 0
    read = re.search(r"(\d+) files, ", out)
    assert read
    assert int(read[1]) > 100


def test_every_event_is_valid_eve(tools: Path) -> None:
    code, out = said(tools / "check_schema.py", "--only", "flow")
    assert code == 0, out[-1_000:]
    assert ", 0 invalid," in out


def test_attacks_are_found_and_benign_traffic_passes(tools: Path) -> None:
    code, out = said(tools / "check_traffic.py")
    assert code == 0
    for name in ("port_scan", "host_sweep", "syn_flood", "udp_icmp_flood"):
        row = re.search(rf"^{name} +\w+ +(\d+) +(\d+) ", out, re.MULTILINE)
        assert row, name
        assert row[1] == row[2], row
    counts = re.search(r"alerts in all:\s+info \d+, low (\d+), medium (\d+), high (\d+), critical (\d+)", out)
    assert counts
    assert [int(count) for count in counts.groups()] == [0, 0, 0, 0]
