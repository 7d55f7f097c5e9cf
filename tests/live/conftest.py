"""The real service between two network namespaces, with real tools on the other side."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.namespaces import Namespaces, possible
from lab.service import LiveService
from tests.live.receivers import Receivers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def lab() -> Iterator[Namespaces]:
    """Two hosts joined by a cable; needs root."""
    if os.geteuid() or not possible():
        pytest.skip("needs root and network namespaces")
    with Namespaces(2) as made:
        yield made


@pytest.fixture(scope="session")
def watched(lab: Namespaces, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A service that watches host b, shared by tests that only send it traffic."""
    with LiveService(lab, "b", tmp_path_factory.mktemp("live") / "data") as made:
        yield made


@pytest.fixture
def own_watched(lab: Namespaces, tmp_path: Path) -> Callable[[int], LiveService]:
    """Makes a service for a test that harms it."""
    return lambda port: LiveService(lab, "b", tmp_path / "data", port=port)


@pytest.fixture
def receivers(lab: Namespaces, tmp_path: Path) -> Iterator[Receivers]:
    """Receivers on host b."""
    folder = tmp_path / "receivers"
    folder.mkdir()
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    child = lab.start("b", sys.executable, "-m", "tests.live.receiving", str(folder), cwd=ROOT, env=env)
    yield Receivers(folder)
    child.kill()
    child.wait()
