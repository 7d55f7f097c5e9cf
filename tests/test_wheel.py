"""The wheel that people install: it holds the page, and nothing of the checkout that it should not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "src" / "nsm" / "serve" / "static" / "index.html"


@pytest.mark.slow
@pytest.mark.service  # it reads the whole tree: alone, so that nothing changes meanwhile
def test_the_wheel_holds_the_page_and_the_program_only(tmp_path: Path) -> None:
    if not PAGE.exists():
        pytest.skip("needs the page: make page")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "nsm/serve/static/index.html" in names
    assert "nsm/py.typed" in names
    assert [name for name in names if name.endswith("share/man/man1/nsm.1")]
    assert {name.split("/")[0].split("-")[0] for name in names} == {"nsm", "netsecmonitor"}
    assert not [name for name in names if "__pycache__" in name or "node_modules" in name]
