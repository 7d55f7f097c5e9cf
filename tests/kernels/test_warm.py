"""Warming the kernels: everything the engine calls is compiled ahead, with the very types it calls it with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nsm.kernels import cache
from nsm.kernels.jit import COMPILED

ROOT = Path(__file__).parents[2]

# Runs every part that has kernels, in a process of its own: what other tests compiled must not hide anything.
# The ring is a file of memory with one block in it, in the form of Linux' tpacket_block_desc.
ENGINE = """
import json, os, struct, sys
from dataclasses import dataclass
import numpy as np
from nsm.kernels.warm import KERNELS, warm
folder = sys.argv[1]
warm(lambda line: None)
before = [len(kernel.signatures) for kernel, _ in KERNELS]

from nsm.capture.afpacket import RingSource
from nsm.capture.packet_socket import ring_shape
from nsm.capture.settings import CaptureSettings
from nsm.capture.filtered import filtered
from nsm.capture.reading import open_capture
from nsm.capture.writing import CaptureWriter, Rotation
from nsm.track.worker import run_worker
from nsm.run.reading import read
from nsm.track.settings import TrackOptions
from nsm.track.settings import WorkerSettings
from nsm.track.worker import Worker

frame = bytes.fromhex(
    "02000000000102000000000208004500002800004000400600000102030405060708"
    "0400005000000001000000005002ffff00000000"
)
def pcap(path):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for n in range(40):
            cut = frame[:20] if n % 7 == 0 else frame
            file.write(struct.pack("<IIII", 1000 + n, 0, len(cut), len(frame)) + cut)
pcap(folder + "/a.pcap")
with CaptureWriter(folder + "/a.pcapng", form="pcapng", rotation=Rotation()) as writer:
    source = open_capture(folder + "/a.pcap")
    for batch in source.batches():
        writer.write(batch)
    source.close()
for path, settings in (
    ("a.pcap", {"checksum_validation": True}), ("a.pcapng", {}), ("a.pcap", {"profile": "zeek"}),
    ("a.pcap", {"workers": 2}),
):
    assert list(read(folder + "/" + path, settings=settings))
try:
    list(filtered(open_capture(folder + "/a.pcap"), "tcp").batches())
except Exception as error:
    assert "libpcap" in str(error), error

@dataclass
class MemoryRing:
    number: int
    def fileno(self): return self.number
    def close(self): pass
settings = CaptureSettings(ring_mb=1)
block, blocks = ring_shape(settings)
memory = os.memfd_create("ring")
head = struct.pack("<IIIII", 0, 0, 1, 1, 48).ljust(48, b"\\0")
packet = struct.pack("<IIIIIIHHIII", 0, 5, 6, len(frame), len(frame), 0x11, 82, 82, 0, 7, 0).ljust(82, b"\\0") + frame
os.pwrite(memory, (head + packet).ljust(block * blocks, b"\\0"), 0)
ring = RingSource(MemoryRing(memory), "lo", settings)
worker = Worker(WorkerSettings(home_net=("10.0.0.0/8",), batch_packets=4096))
batch = next(ring.batches())
assert batch.count == 1 and batch.vlan[0] == 0x1007 and batch.ts_ns[0] == 5_000_000_006
worker.feed(batch)
worker.pass_time(10_000_000_000)
worker.activity()
worker.finish()
worker.take()
after = [len(kernel.signatures) for kernel, _ in KERNELS]
print(json.dumps({kernel.py_func.__name__: [a, b] for (kernel, _), a, b in zip(KERNELS, before, after)}))
sys.stdout.flush()
os._exit(0)  # the ring's map is still in use
"""


@pytest.mark.skipif(not COMPILED, reason="without the compiler there is nothing to compile")
@pytest.mark.slow
def test_the_engine_uses_no_types_that_warming_did_not_compile(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENGINE, str(tmp_path)],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert {name: pair for name, pair in counts.items() if pair != [1, 1]} == {}


@pytest.fixture
def place(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setenv("NSM_CACHE_DIR", str(home / "named"))
    return home / "named"


def test_a_cache_is_cold_until_the_last_kernel_is_in_it(place: Path) -> None:
    assert cache.cold()
    folder = cache.safe_directory()
    assert folder is not None
    (folder / "index.index_pcap-64.py311.1.nbc").touch()
    assert cache.cold()
    (folder / "flows.track-346.py311.1.nbc").touch()
    assert not cache.cold()


def test_the_directory_is_private(place: Path) -> None:
    assert Path(cache.cache_directory()).is_relative_to(place)
    assert place.stat().st_mode & 0o777 == 0o700


def grown(path: Path) -> None:
    path.chmod(0o777)


def given_away(path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root to give a directory to another user")
    os.chown(path, 12_345, 12_345)


@pytest.mark.parametrize("spoil", [grown, given_away])
@pytest.mark.parametrize("level", ["", "kernels"])
def test_a_directory_that_another_user_could_have_filled_is_passed_over(
    place: Path, spoil: Callable[[Path], None], level: str
) -> None:
    directory = place / level
    directory.mkdir(parents=True)
    place.chmod(0o700)
    spoil(directory)
    found = Path(cache.cache_directory())
    assert not found.is_relative_to(place)
    assert found.stat().st_mode & 0o777 == 0o700
    if spoil is grown:
        assert directory.stat().st_mode & 0o777 == 0o777  # left as it was: its owner may want to know


def test_a_changed_kernel_gets_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.digest()
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    (tmp_path / "flows.py").write_text("changed")
    assert cache.digest() != before
