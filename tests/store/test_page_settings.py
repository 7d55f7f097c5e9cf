"""Settings made on the page are kept, and bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.errors import FullError
from nsm.store.page_settings import PAGE_SETTINGS_MAX, PageSettings


def test_they_are_kept_and_removed(tmp_path: Path) -> None:
    kept = PageSettings(tmp_path)
    kept.set("detect.port_scan.ports_min", 30)
    kept.set("serve.allowed_hosts", ["a", "b"])
    kept.set("detect.port_scan.ports_min", 31)
    again = PageSettings(tmp_path)
    assert again.all() == {"detect.port_scan.ports_min": 31, "serve.allowed_hosts": ["a", "b"]}
    again.set("detect.port_scan.ports_min", None)
    assert kept.all() == {"serve.allowed_hosts": ["a", "b"]}


def test_there_are_not_too_many(tmp_path: Path) -> None:
    kept = PageSettings(tmp_path)
    for number in range(PAGE_SETTINGS_MAX):
        kept.set(f"a.b{number}", 1)
    with pytest.raises(FullError, match="too many"):
        kept.set("a.one_more", 1)
    assert len(kept.all()) == PAGE_SETTINGS_MAX
