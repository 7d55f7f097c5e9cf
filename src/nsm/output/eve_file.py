"""EVE lines to a file that other tools tail: appended whole, rotated by size."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from io import FileIO
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
    """The file; SinkError when it cannot be opened or written, after which the next ``write`` tries again."""

    def __init__(self, settings: EveFileSettings) -> None:
        self._settings = settings
        self._path = Path(settings.path)
        self._file: FileIO | None = None
        with self._told():
            self._opened()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(
                f"cannot write {self._path}: {(error.strerror or str(error)).lower()}", where="output.eve_file.path"
            ) from error

    def _opened(self) -> FileIO:
        if self._file is None:
            self._file = FileIO(self._path, "ab", opener=_private)
        return self._file

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines, all or none of them; a batch is never torn across two files."""
        if not lines:
            return
        with self._told():
            file = self._opened()
            before = os.fstat(file.fileno()).st_size
            try:
                written = 0
                data = memoryview(b"\n".join(lines) + b"\n")
                while written < len(data):  # a disk that fills up takes a part before it refuses
                    written += file.write(data[written:]) or 0
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(before)
                raise
            if before + written > self._settings.file_bytes_max:
                self._rotate()

    def _rotate(self) -> None:
        self._shut()
        for number in range(self._settings.files_max, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)
        self._opened()

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def close(self) -> None:
        """Make what was written durable; SinkError when it is not."""
        if self._file is None:
            return
        try:
            with self._told():
                os.fsync(self._file.fileno())
        except SinkError as error:
            # A pipe or a device: nothing there is ever durable.
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EINVAL:
                raise
        finally:
            self._shut()


SPEC: Final = SinkSpec(name="eve_file", settings=EveFileSettings, sink=EveFile)


def _private(path: str, flags: int) -> int:
    """Who talked to whom is for the owner, and for a group that ships the file elsewhere."""
    return os.open(path, flags, 0o640)
