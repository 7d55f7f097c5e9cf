"""What every test may use. Nothing here reads the user's own files: each test has a home of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]
IN_CI = bool(os.environ.get("CI"))

# The same examples every time: a failure that one run finds is there for the next. No deadline: the machine is shared.
settings.register_profile("plain", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("plain"), derandomize=False, max_examples=5_000)
settings.load_profile(os.environ.get("NSM_HYPOTHESIS", "plain"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory that the process takes for its user's, without any setting in the environment."""
    for name in [
        name for name in os.environ if name.startswith(("NSM_", "XDG_", "SUDO_")) or name == "STATE_DIRECTORY"
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def need_tool() -> Callable[[str], str]:
    """``need_tool("nmap")`` gives the program's path; without it the test is skipped, or fails where CI is set."""

    def need(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            reason = f"needs {name}: scripts/system-deps net lab clients oracle browser"
            if IN_CI:
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return need


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of captures with known origin, which lies beside the checkout; skips where it does not."""
    folder = Path(os.environ.get("NSM_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not folder.is_dir():
        pytest.skip("needs the captures: NSM_CORPUS names no folder and there is none beside the checkout")
    return folder
