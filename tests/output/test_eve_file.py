"""EVE lines to a file that other tools tail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nsm.errors import SinkError
from nsm.output.eve_file import EveFile, EveFileSettings


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    sink = EveFile(EveFileSettings(path=str(path)))
    sink.write([b'{"a":1}', b'{"b":2}'])
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'
    sink.write([])
    sink.close()
    assert path.read_bytes() == b'{"a":1}\n{"b":2}\n'


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    for text in (b"1", b"2"):
        sink = EveFile(EveFileSettings(path=str(path)))
        sink.write([text])
        sink.close()
    assert lines_of(path) == [b"1\n", b"2\n"]


def test_files_are_rotated_by_size_and_no_batch_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    sink = EveFile(EveFileSettings(path=str(path), file_bytes_max=10, files_max=2))
    for number in range(4):
        sink.write([b"%d-first" % number, b"%d-second" % number])
    sink.write([b"short"])
    sink.close()
    assert lines_of(path) == [b"short\n"]
    assert lines_of(tmp_path / "eve.json.1") == [b"3-first\n", b"3-second\n"]
    assert lines_of(tmp_path / "eve.json.2") == [b"2-first\n", b"2-second\n"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_of_exactly_the_size_is_not_rotated(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    sink = EveFile(EveFileSettings(path=str(path), file_bytes_max=10))
    sink.write([b"123456789"])
    sink.close()
    assert [item.name for item in tmp_path.iterdir()] == ["eve.json"]


def test_a_file_that_cannot_be_opened_is_one_line_for_a_person(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"cannot write .*eve\.json: no such file or directory"):
        EveFile(EveFileSettings(path=str(tmp_path / "nowhere" / "eve.json")))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_for_a_person() -> None:
    sink = EveFile(EveFileSettings(path="/dev/full"))
    with pytest.raises(SinkError, match="cannot write /dev/full: no space left on device"):
        sink.write([b"{}"])
    sink.close()  # a device cannot be synced: that is no error


def test_a_disk_that_fills_up_tears_no_line_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk: it takes a part of a write, then refuses."""
    path = tmp_path / "eve.json"
    done = subprocess.run(
        [sys.executable, "-c", FILLING, str(path)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.split() == ["refused", "written"]
    assert lines_of(path) == [b"x" * 600 + b"\n", b"y" * 100 + b"\n"]


FILLING = """
import resource, signal, sys
from nsm.errors import SinkError
from nsm.output.eve_file import EveFile, EveFileSettings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sink = EveFile(EveFileSettings(path=sys.argv[1]))
sink.write([b"x" * 600])
try:
    sink.write([b"z" * 600])
except SinkError:
    print("refused")
sink.write([b"y" * 100])
print("written")
sink.close()
"""
