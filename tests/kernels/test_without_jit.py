"""The same kernel source as plain Python: the twins agree with it too, and whole captures give the same events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nsm.kernels.jit import COMPILED
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap

ROOT = Path(__file__).parents[2]
FILES = (
    "test_index.py", "test_decode.py", "test_seconds.py", "test_flows.py", "test_recognise.py", "test_activity.py",
    "test_history.py",
)  # fmt: skip
READ = """
import json, sys, nsm
small = {"flow": {"records_max": 1024, "targets_max": 1024}}
for profile in ("default", "zeek"):
    for event in nsm.read(sys.argv[1], settings={**small, "profile": profile}):
        print(json.dumps(event))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMPILED, reason="this process runs without the compiler already"),
]


def environ(off: bool) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NUMBA_DISABLE_JIT": "1" if off else "0"}


def test_the_twins_agree_without_the_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/kernels/{name}" for name in FILES)],
        cwd=ROOT, env=environ(off=True), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.parametrize("name", ["connect", "tunnel", "sweep_arp", "monitoring"])
def test_a_capture_gives_the_same_events_without_the_compiler(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(in_time(CASES[name])))
    outs = [
        # Hashes wrap: NumPy warns of that, and the compiled kernels mean it.
        subprocess.run(
            [sys.executable, "-W", "ignore::RuntimeWarning", "-c", READ, str(path)],
            env=environ(off), capture_output=True, check=True,
        ).stdout
        for off in (False, True)
    ]  # fmt: skip
    assert outs[0] == outs[1]
    assert outs[0]
