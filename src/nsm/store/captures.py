"""The captures that the service keeps, recorded or uploaded, and what was found in each; a folder beside the live history.

Files are named by an id that is made here; the name that a person gave is a label, never a path. A capture is there once
its ``.about`` is. Nothing is removed by itself: where a bound is reached, the next capture is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec

from nsm.errors import SinkError
from nsm.model.capture_format import ENDINGS, HEAD_BYTES, ending_of
from nsm.settings.section import Bytes, SettingsSection
from nsm.store.folders import free_bytes, private_folder, sync_folder, unlink

FOLDER: Final = "captures"
MIB, GIB = 1 << 20, 1 << 30
NAME_CHARACTERS_MAX: Final = 100
EVENTS, REPORT = "events.json.gz", "report.html"
PRODUCTS: Final = (EVENTS, REPORT)
"""Endings of what an analysis makes beside its figures."""
_T = TypeVar("_T")
_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_ABOUT, _FOUND, _RECORDING, _UPLOAD, _WORK = ".about", ".found", ".recording", ".upload", ".work"


class CapturesSettings(msgspec.Struct, frozen=True):
    """Captures that the service keeps."""

    files_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100
    """Captures that are kept; the next one is refused until one is removed."""

    total_bytes_max: Bytes = 10 * GIB
    """Size of all of them with what was found in them."""

    record_bytes_max: Annotated[int, msgspec.Meta(ge=MIB, le=1 << 40)] = GIB
    """The largest recording."""

    record_seconds_max: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 3_600
    """The longest recording."""

    upload_bytes_max: Annotated[int, msgspec.Meta(ge=MIB, le=1 << 40)] = GIB
    """The largest upload."""

    free_min_bytes: Bytes = GIB
    """Free space of the disk that captures leave alone."""

    events_bytes_max: Annotated[int, msgspec.Meta(ge=MIB, le=1 << 40)] = 256 * MIB
    """Size of the compressed events of one capture; later ones are left out, and the page says so."""

    analysis_seconds_max: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 3_600
    """Seconds after which an analysis ends with what it has."""


SETTINGS: Final = SettingsSection(name="captures", struct=CapturesSettings)


class Kept(msgspec.Struct, frozen=True):
    """A capture. ``form`` is its ending; ``interface`` is empty for an upload, ``packets`` None where nobody counted."""

    id: str
    name: str
    who: str
    made_us: int
    form: str
    bytes: int
    interface: str = ""
    filter: str = ""
    packets: int | None = None
    drops: int = 0
    note: str = ""


class Found(msgspec.Struct, frozen=True):
    """What is in a capture. Times in us UTC; ``problem``: where it broke off; ``report_problem``: why there is no report.

    Rows of ``applications`` and ``hosts`` are {name, flows, packets, bytes}; those of ``alerts`` {severity, detector, title,
    what, count, first, last, src, dest}, the worst first, at most a hundred of ``alerts_count``.
    """

    made_us: int
    seconds: float
    packets: int
    bytes: int
    flows: int
    first_us: int
    last_us: int
    applications: tuple[dict[str, Any], ...]
    hosts: tuple[dict[str, Any], ...]
    alerts: tuple[dict[str, Any], ...]
    alerts_count: int
    by_severity: dict[str, int]
    events: int
    events_left_out: int = 0
    products: dict[str, int] = {}
    problem: str = ""
    report_problem: str = ""


def label(name: str, otherwise: str = "capture") -> str:
    """A name that a person or a program gave, as a label: its last part, without what cannot be printed."""
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join(one for one in last if one.isprintable()).strip(" .")
    return plain[:NAME_CHARACTERS_MAX] or otherwise


def file_name(kept: Kept, ending: str = "") -> str:
    """What a download is called: plain letters, and the ending of what it is (``ending`` empty: of the capture itself)."""
    stem = kept.name
    for known in sorted(ENDINGS, key=len, reverse=True):
        stem = stem.removesuffix(f".{known}")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")
    return f"{plain or 'capture'}.{ending or kept.form}"


class CaptureShelf:
    """The folder of one store; any process may hold one."""

    def __init__(self, data: Path, settings: CapturesSettings) -> None:
        self.folder = data / FOLDER
        self.settings = settings

    def new_id(self) -> str:
        """An id that sorts by time."""
        return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"

    def room(self) -> int:
        """Bytes that may still be added; SinkError that says which bound is reached."""
        private_folder(self.folder)
        limits = self.settings
        if self.count() >= limits.files_max:
            raise SinkError(
                f"{limits.files_max} captures are kept, which is as many as may be", where="captures.files_max",
                mend="remove one, or raise the setting",
            )  # fmt: skip
        left = limits.total_bytes_max - self.used()
        if left <= 0:
            raise SinkError(
                f"the captures take {limits.total_bytes_max >> 20} MiB together, which is as much as they may",
                where="captures.total_bytes_max", mend="remove one, or raise the setting",
            )  # fmt: skip
        free = free_bytes(self.folder)
        if free <= limits.free_min_bytes:
            raise SinkError(
                f"the disk is short: {free >> 20} MiB are free, of which captures leave {limits.free_min_bytes >> 20}"
                " MiB alone", where=str(self.folder), mend="make room, or lower captures.free_min_bytes",
            )  # fmt: skip
        return min(left, free - limits.free_min_bytes)

    def used(self) -> int:
        """Bytes of all files of the folder."""
        if not self.folder.is_dir():
            return 0
        total = 0
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):  # one that went away meanwhile
                total += path.stat().st_size
        return total

    # Making

    def recording(self, number: str) -> Path:
        """Where a capture is written while it is recorded."""
        private_folder(self.folder)
        return self.folder / f"{number}{_RECORDING}"

    def upload(self, number: str) -> Path:
        """Where a capture is written while it arrives."""
        private_folder(self.folder)
        return self.folder / f"{number}{_UPLOAD}"

    def keep(self, kept: Kept, written: Path) -> Kept:
        """Take a written file in, durably; its size is measured. SinkError when it cannot be kept, and then it is gone."""
        try:
            with written.open("rb") as file:
                os.fsync(file.fileno())
            whole = msgspec.structs.replace(kept, bytes=written.stat().st_size)
            written.chmod(0o600)
            written.replace(self._file(kept.id, kept.form))
            self._write(f"{kept.id}{_ABOUT}", whole)
        except OSError as error:
            unlink(written, self._file(kept.id, kept.form))
            raise SinkError(f"cannot keep the capture: {error.strerror}", where=str(self.folder)) from error
        return whole

    def rescue(self) -> None:
        """Take in recordings whose process was killed: a file on the disk always ends with a whole packet.

        For the one that records; uploads that were broken off are worth nothing and go (``forget_uploads``).
        """
        for path in self.folder.glob(f"*{_RECORDING}"):
            number = path.name.removesuffix(_RECORDING)
            with path.open("rb") as file:
                form = ending_of(file.read(HEAD_BYTES))
            if form and _ID.fullmatch(number):
                made_us = int(path.stat().st_mtime * 1e6)
                note = "its recording broke off"
                self.keep(Kept(number, f"{number}.{form}", "", made_us, form, 0, "?", note=note), path)
            else:
                unlink(path)

    def forget_uploads(self) -> None:
        """Remove what a killed web server left. For its start."""
        unlink(*self.folder.glob(f"*{_UPLOAD}"))

    @contextlib.contextmanager
    def workplace(self, number: str) -> Iterator[Path]:
        """A folder for an analysis, gone afterwards; those that killed analyses left go first."""
        private_folder(self.folder)
        for old in self.folder.glob(f"*{_WORK}"):
            shutil.rmtree(old, ignore_errors=True)
        path = self.folder / f"{number}{_WORK}"
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def note(self, number: str, found: Found, products: dict[str, Path]) -> bool:
        """Keep what was found with its files (by ending); False when the capture was removed meanwhile."""
        if self.about(number) is None:
            return False
        for ending in PRODUCTS:
            target = self._file(number, ending)
            if ending in products:
                products[ending].chmod(0o600)
                products[ending].replace(target)
            else:
                unlink(target)
        sizes = {ending: self._file(number, ending).stat().st_size for ending in products}
        self._write(f"{number}{_FOUND}", msgspec.structs.replace(found, products=sizes))
        if self.about(number) is None:  # removed in this very moment
            self.remove(number)
            return False
        return True

    # Looking

    def captures(self, limit: int = 1_000) -> list[Kept]:
        """The newest first; one whose words cannot be read is left out."""
        found = (self.about(number) for number in self._ids()[:limit])
        return [one for one in found if one is not None]

    def count(self) -> int:
        """How many there are."""
        return len(self._ids())

    def about(self, number: str) -> Kept | None:
        """One capture; None when there is none of that id."""
        return self._read(number, _ABOUT, Kept)

    def found(self, number: str) -> Found | None:
        """What was found in it; None when it was not analysed."""
        return self._read(number, _FOUND, Found)

    def path(self, number: str) -> Path | None:
        """The file of a capture; None when there is none."""
        kept = self.about(number)
        return self._there(self._file(number, kept.form)) if kept is not None and kept.form in ENDINGS else None

    def product(self, number: str, ending: str) -> Path | None:
        """A file that the analysis made, one of ``PRODUCTS``; None when there is none."""
        if not _ID.fullmatch(number) or ending not in PRODUCTS:
            return None
        return self._there(self._file(number, ending))

    def remove(self, number: str) -> bool:
        """Remove a capture and all that was found in it; False when there is none."""
        if not _ID.fullmatch(number):
            return False
        paths = [self.folder / f"{number}{end}" for end in (_ABOUT, _FOUND)]
        paths += [self._file(number, ending) for ending in (*ENDINGS, *PRODUCTS)]
        there = [path for path in paths if path.exists()]
        unlink(*there)
        return bool(there)

    def _ids(self) -> list[str]:
        """All ids, the newest first."""
        names = (path.name.removesuffix(_ABOUT) for path in self.folder.glob(f"*{_ABOUT}"))
        return sorted((name for name in names if _ID.fullmatch(name)), reverse=True)

    def _file(self, number: str, ending: str) -> Path:
        return self.folder / f"{number}.{ending}"

    def _read(self, number: str, ending: str, kind: type[_T]) -> _T | None:
        if not _ID.fullmatch(number):
            return None
        try:
            return msgspec.json.decode((self.folder / f"{number}{ending}").read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def _write(self, name: str, value: msgspec.Struct) -> None:
        """Whole or not at all, and there to stay."""
        part = self.folder / f"{name}.part"
        descriptor = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(value))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / name)
        sync_folder(self.folder)

    @staticmethod
    def _there(path: Path) -> Path | None:
        return path if path.is_file() else None
