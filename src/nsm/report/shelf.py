"""The reports that a store keeps: a folder with the files of each, named by an id, and a few words on what it is.

Only names that this file makes are ever opened, so that an id from outside reaches nothing else.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from nsm.errors import QueryError, SinkError
from nsm.store.folders import private_folder

FOLDER: Final = "reports"
FORMATS: Final = {"html": "html", "pdf": "pdf", "json": "json", "csv": "zip"}
"""Format -> ending of its file."""
_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_ABOUT: Final = ".about"


def formats_of(text: str | Iterable[str]) -> tuple[str, ...]:
    """The formats that ``html,pdf`` or a list names, each once; QueryError for an unknown one."""
    words = text.split(",") if isinstance(text, str) else list(text)
    named = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for name in named:
        if name not in FORMATS:
            raise QueryError(f"there is no format {name[:20]!r}", where="--format", mend=", ".join(FORMATS))
    if not named:
        raise QueryError("no format is named", where="--format", mend=", ".join(FORMATS))
    return named


class About(msgspec.Struct, frozen=True):
    """What a report is. ``files``: ending -> bytes. Times in us UTC; ``problem``: a format that could not be made, and why.

    ``mailed``: a mail of it was put into the outbox, under ``notice_of_report``.
    """

    id: str
    name: str
    who: str
    made_us: int
    start_us: int
    stop_us: int
    zone: str
    summary: str
    score: int | None
    files: dict[str, int]
    problem: str = ""
    mailed: bool = False


def notice_of_report(number: str) -> str:
    """The id of the message about a report: of the same report there is only one."""
    return f"report-{number}"


class Shelf:
    """The folder of one store; any process may hold one."""

    def __init__(self, data: Path) -> None:
        self.folder = data / FOLDER

    def new_id(self) -> str:
        """An id that sorts by time."""
        return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"

    def make_folder(self) -> None:
        """Make the folder, readable by the owner alone."""
        private_folder(self.folder)

    def keep(self, about: About, files: Mapping[str, bytes], most: int) -> About:
        """Write the files (by ending) and the words on them; the oldest of more than ``most`` leave. SinkError on a full disk."""
        self.make_folder()
        whole = msgspec.structs.replace(about, files={ending: len(data) for ending, data in files.items()})
        try:
            for ending, data in files.items():
                self._write(f"{about.id}.{ending}", data)
            self._write(f"{about.id}{_ABOUT}", msgspec.json.encode(whole))
        except OSError as error:
            self.remove(about.id)
            raise SinkError(f"cannot keep the report: {error.strerror}", where=str(self.folder)) from error
        for number in self._ids()[most:]:
            self.remove(number)
        return whole

    def reports(self, limit: int = 200) -> list[About]:
        """The newest first; a report whose words cannot be read is left out."""
        found = (self.about(number) for number in self._ids()[:limit])
        return [one for one in found if one is not None]

    def about(self, number: str) -> About | None:
        """One report; None when there is none of that id."""
        if not _ID.fullmatch(number):
            return None
        try:
            return msgspec.json.decode((self.folder / f"{number}{_ABOUT}").read_bytes(), type=About)
        except (OSError, msgspec.DecodeError):
            return None

    def path(self, number: str, ending: str) -> Path | None:
        """The file of a report; None when there is none."""
        if not _ID.fullmatch(number) or ending not in FORMATS.values():
            return None
        path = self.folder / f"{number}.{ending}"
        return path if path.is_file() else None

    def remove(self, number: str) -> bool:
        """False when there is none."""
        if not _ID.fullmatch(number):
            return False
        paths = [self.folder / f"{number}{end}" for end in (_ABOUT, *(f".{ending}" for ending in FORMATS.values()))]
        there = [path for path in paths if path.exists()]
        for path in there:
            path.unlink(missing_ok=True)
        return bool(there)

    def _ids(self) -> list[str]:
        """All ids, the newest first."""
        names = (path.name.removesuffix(_ABOUT) for path in self.folder.glob(f"*{_ABOUT}"))
        return sorted((name for name in names if _ID.fullmatch(name)), reverse=True)

    def _write(self, name: str, data: bytes) -> None:
        """Whole or not at all."""
        part = self.folder / f"{name}.part"
        descriptor = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        part.replace(self.folder / name)
