"""The tour runs: every block of docs/tour.md, in order, and what it prints is what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import pcap

PAGE = Path(__file__).parents[2] / "docs" / "tour.md"
# A block of Python, and the text that it prints when the page shows it.
BLOCK = re.compile(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", re.DOTALL)


def test_the_tour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trace.pcap").write_bytes(pcap(in_time(CASES["connect"])))
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 5
    outs = []
    for code, text in blocks:
        exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102 - the page is ours
        outs.append(capsys.readouterr().out)
        if text:
            assert outs[-1] == text
    assert "0 alerts" in outs[4]
    assert "batch_packets" in outs[4]
    assert "cut short" in outs[-1]
