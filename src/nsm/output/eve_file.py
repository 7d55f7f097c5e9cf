"""EVE lines to a file that other tools tail: appended whole, rotated by size."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from nsm.errors import SinkError
from nsm.model.interfaces import SinkSpec
from nsm.settings.section import Bytes, Count


class EveFileSettings(msgspec.Struct, frozen=True):
    """Where EVE JSON of a live run goes."""

    path: str = ""
    """The file; empty: none is written."""
    file_bytes_max: Bytes = 268_435_456
    """At this size the file is renamed to .1, .1 to .2, and so on."""
    files_max: Count = 4
    """Renamed files kept."""


class EveFile:
    """The open file; SinkError when it cannot be written."""

    def __init__(self, settings: EveFileSettings) -> None:
        self._settings = settings
        self._path = Path(settings.path)
        self._open()

    def _open(self) -> None:
        try:
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {(error.strerror or str(error)).lower()}") from error

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines in one write; a batch is never torn across two files."""
        if not lines:
            return
        try:
            self._file.write(b"\n".join(lines) + b"\n")
            if self._file.tell() > self._settings.file_bytes_max:
                self._rotate()
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {(error.strerror or str(error)).lower()}") from error

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._settings.files_max, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)
        self._open()

    def close(self) -> None:
        """Make what was written durable; SinkError when it is not."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno != errno.EINVAL:  # a pipe or a device: nothing there is ever durable
                raise SinkError(f"cannot write {self._path}: {(error.strerror or str(error)).lower()}") from error
        finally:
            self._file.close()


SPEC: Final = SinkSpec(name="eve_file", settings=EveFileSettings, sink=EveFile)
