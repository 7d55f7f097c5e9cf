"""The manual page is the one that the commands make, and troff takes it without a word."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from nsm.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "nsm.1"


def test_the_page_in_the_repository_is_the_one_of_these_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["man"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(), "make it anew: nsm man > docs/nsm.1"


def test_every_command_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["--help"])
    listed = capsys.readouterr().out.partition("Commands:")[2].partition("\n\n")[0].splitlines()
    commands = [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "]
    assert len(commands) > 15
    page = PAGE.read_text()
    assert [name for name in commands if f".SS nsm {name}" not in page] == []


def test_troff_has_nothing_to_say() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("needs groff: apt install groff-base")
    done = subprocess.run([groff, "-man", "-ww", "-Tascii", str(PAGE)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "nsm scan" in done.stdout
