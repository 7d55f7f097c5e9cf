"""A certificate for the receivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notify.receivers import certificate


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("certificate"))
