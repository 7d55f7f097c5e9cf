"""The fixed store and its facts, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from nsm.report.facts import Facts
from tests.report.kit import build, facts_of


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a day in it; tests only read."""
    return build(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def facts(folder: Path) -> Facts:
    """What is to be said of that day."""
    return facts_of(folder)
