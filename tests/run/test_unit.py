"""The systemd unit: valid, and as tight as it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nsm.errors import ServiceError
from nsm.run.unit import NAME, install, unit

ANALYZE = shutil.which("systemd-analyze")
EXPOSURE_MAX = 2.0  # 0 to 10, "systemd-analyze security"; what is left is the network and compiled code


@pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze")
def test_the_unit_is_valid_and_exposes_little(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text(unit(Path("/bin/true")))
    said = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert found is not None, said.stderr
    assert float(found.group(1)) <= EXPOSURE_MAX
    assert "Unknown" not in said.stderr


def test_homes_can_be_read_only_where_the_program_lies_in_one() -> None:
    assert "ProtectHome=yes" in unit(Path("/opt/nsm/bin/nsm"))
    assert "ProtectHome=read-only" in unit(Path("/home/ann/.venv/bin/nsm"))


def test_a_program_that_only_root_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="only root may read it"):
        install(Path("/root/nsm/bin/nsm"), tmp_path)
    assert list(tmp_path.iterdir()) == []
