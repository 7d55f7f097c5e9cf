"""A capture worker as a process: what it says at its end leaves room for the worker that comes after it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec

from nsm.capture.settings import CaptureSettings
from nsm.kernels.constants import TICK_NS
from nsm.run.engine import Engine
from nsm.run.links import ANALYST, Splitter, listen, socket_path
from nsm.run.transport import Message
from nsm.settings.read_settings import ReadSettings


def test_the_last_word_of_a_worker_is_complete_up_to_now_and_not_for_ever(tmp_path: Path) -> None:
    task = {
        "data": "", "runtime": str(tmp_path), "name": "capture-demo", "iface": "demo", "kind": "demo", "speed": 20.0,
        "settings": msgspec.to_builtins(Engine.of(ReadSettings()).worker_settings()),
        "capture": msgspec.to_builtins(CaptureSettings()),
    }  # fmt: skip
    with listen(socket_path(tmp_path, ANALYST)) as listening:
        child = subprocess.Popen([sys.executable, "-m", "nsm.run.capture_worker"], stdin=subprocess.PIPE)
        assert child.stdin is not None
        child.stdin.write(msgspec.msgpack.encode(task))
        child.stdin.close()
        listening.settimeout(30)
        sock, _ = listening.accept()
        sock.settimeout(30)
        splitter, said = Splitter(), list[Message]()
        while data := sock.recv(1 << 20):
            said += splitter.feed(data)
            if child.poll() is None and sum(message.kind == "records" for message in said) >= 3:
                child.terminate()
        assert child.wait(20) == 0
        sock.close()
    marks = [message.header["watermark"] for message in said if message.kind == "records"]
    assert marks == sorted(marks)
    assert time.time_ns() // TICK_NS - 240 < marks[-1] <= time.time_ns() // TICK_NS
