"""A recording by the service: packets of a real interface, filtered, bounded, stopped; and read afterwards."""

from __future__ import annotations

import io
import subprocess
import time
from pathlib import Path
from typing import Any

import dpkt
import pytest

from lab.namespaces import Namespaces
from lab.service import LiveService, wait_for
from nsm.errors import CaptureError
from nsm.run.control import ask
from nsm.store.captures import CaptureShelf, CapturesSettings, Kept
from nsm.store.jobs import Job, JobStore

pytestmark = [pytest.mark.net, pytest.mark.long]


def started(service: LiveService, kind: str, task: dict[str, Any]) -> int:
    return int(ask(service.data, "job_start", job=kind, name="lab", task=task, who="ann")["id"])


def ended(service: LiveService, number: int, seconds: float = 30.0) -> Job:
    jobs = JobStore(service.data)
    try:
        assert wait_for(lambda: next(job for job in jobs.jobs() if job.id == number).ended_us, seconds)
        return next(job for job in jobs.jobs() if job.id == number)
    finally:
        jobs.close()


def packets_of(shelf: CaptureShelf, kept: Kept) -> list[tuple[float, bytes]]:
    path = shelf.path(kept.id)
    assert path is not None
    return list(dpkt.pcapng.Reader(io.BytesIO(path.read_bytes())))


def test_packets_are_recorded_stopped_read_and_the_capture_takes_a_filter(lab: Namespaces, tmp_path: Path) -> None:
    iface = lab.interface("b")
    with LiveService(lab, "b", tmp_path / "data", port=8073) as service:
        shelf = CaptureShelf(service.data, CapturesSettings())
        number = started(service, "record", {"iface": iface, "seconds": 60, "filter": "icmp", "snaplen": 64})
        with service.listening() as feed:
            running = (message["job"] for message in feed("job", 20.0))
            assert next(job for job in running if job["progress"].get("stage") == "recording")
        lab.run("a", "ping", "-c", "5", "-i", "0.1", "-s", "400", lab.address("b"))
        time.sleep(0.3)  # the kernel hands a block that is not full over after 20 ms
        ask(service.data, "job_cancel", id=number)
        job = ended(service, number)
        (kept,) = shelf.captures()
        assert (job.state, job.result["capture"], kept.packets, kept.interface) == ("cancelled", kept.id, 10, iface)
        found = packets_of(shelf, kept)
        assert len(found) == 10
        assert {len(data) for _, data in found} == {64}
        assert {dpkt.ethernet.Ethernet(data).data.p for _, data in found} == {1}

        done = ended(service, started(service, "read", {"capture": kept.id}))
        assert done.text.startswith("10 packets, 1 flow, ")
        shelf.remove(kept.id)

        size = started(service, "record", {"iface": iface, "seconds": 30, "bytes_max": 5_000})
        lab.run("a", "ping", "-c", "20", "-i", "0.1", "-s", "1000", lab.address("b"))
        assert ended(service, size).state == "done"
        (kept,) = shelf.captures()
        assert 3_000 < kept.bytes <= 5_000

        with pytest.raises(CaptureError, match="is not understood"):
            ask(service.data, "start", iface=iface, bpf="tcp prot 1")
        state = ask(service.data, "state")
        assert (state["state"], state["filter"]) == ("running", "")  # what ran goes on
        state = ask(service.data, "start", iface=iface, bpf="icmp", snaplen=128, ring_bytes=16 << 20)
        assert (state["state"], state["filter"], state["snaplen"], state["ring_mb"]) == ("running", "icmp", 128, 16)
        with service.listening() as feed:
            pings = lab.start("a", "ping", "-c", "200", "-i", "0.1", lab.address("b"), stdout=subprocess.DEVNULL)
            assert any(message["v"]["pps"] for message in feed("second", 15.0))
            pings.kill()
            pings.wait()
