"""What a page may ask of the live capture."""

from __future__ import annotations

from typing import Any

import pytest

from nsm.capture.settings import CaptureSettings, asked_for
from nsm.errors import CaptureError


def test_what_is_not_said_stays() -> None:
    before = CaptureSettings(filter="tcp", snaplen=128, workers=2)
    assert asked_for(before, {}) == before
    assert asked_for(before, {"bpf": None, "snaplen": None, "ring_bytes": None}) == before
    after = asked_for(before, {"bpf": "", "ring_bytes": 64 << 20})
    assert (after.filter, after.snaplen, after.ring_mb, after.workers) == ("", 128, 64, 2)


@pytest.mark.parametrize(
    "asked", [{"snaplen": 0}, {"snaplen": -1}, {"snaplen": 1 << 40}, {"ring_bytes": 0}, {"ring_bytes": -5}, {"ring_bytes": 1 << 60}]
)  # fmt: skip
def test_what_is_impossible_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(CaptureError, match="the capture cannot be like this"):
        asked_for(CaptureSettings(), asked)
