"""One file in several processes: shares of the flows, faults that are told once, and readers that leave early."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nsm.errors import CaptureError
from nsm.model.flow import Report
from nsm.run.engine import Engine, engine_sections
from nsm.run.reading import Reading
from nsm.run.shards import run_shards
from nsm.settings.read_settings import read_settings
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap

DATA = pcap(in_time(CASES["monitoring"]))

pytestmark = pytest.mark.slow


def engine(**settings: Any) -> Engine:
    small = {"records_max": 4_096, "targets_max": 4_096}
    return Engine.of(read_settings({"flow": small, **settings}, engine_sections()))


def ended(records: Any) -> list[int]:
    rows = records.flows
    found: list[int] = rows["flow_id"][rows["report"] == Report.ENDED].tolist()
    return found


def test_every_worker_has_its_share_and_no_flow_is_in_two(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(DATA)
    shares: dict[int, list[int]] = {0: [], 1: []}
    for worker, records in run_shards(str(tmp_path / "a.pcap"), engine(), 2):
        shares[worker] += ended(records)
    assert all(len(share) > 20 for share in shares.values())
    assert not set(shares[0]) & set(shares[1])
    whole = [flow for result in Reading(tmp_path / "a.pcap", engine()).results() for flow in ended(result.records)]
    assert sorted(shares[0] + shares[1]) == sorted(whole)


def test_what_is_no_capture_is_said_before_a_process_starts(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_text("hello, this is no capture")
    with pytest.raises(CaptureError, match="not a capture"):
        next(run_shards(str(tmp_path / "a.pcap"), engine(), 2))


def test_a_cut_file_gives_what_is_readable_and_one_error(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(DATA[:-3])
    flows = 0
    with pytest.raises(CaptureError, match="cut short"):
        for _, records in run_shards(str(tmp_path / "a.pcap"), engine(), 2):
            flows += len(ended(records))
    assert flows > 100


def test_who_leaves_early_leaves_no_process_behind(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(DATA)
    parts: Any = run_shards(str(tmp_path / "a.pcap"), engine(), 2)
    next(parts)
    parts.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
