"""A copy of the whole store as of one moment, made while the service runs, and the way back.

A backup is a folder: ``nsm.db`` as SQLite's own backup gives it (one consistent state), the bulk files that it lists, the
capsules, the reports, and ``backup.json``. Bulk files never change once they are there, so within one file system they are
linked, not copied. One that the compactor replaced meanwhile stays on the disk for two minutes (``trash_delay_s``).
Captures that are kept (``captures/``) are left out: they may be larger than all of the history.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from nsm._version import __version__
from nsm.errors import StoreError
from nsm.store import registry
from nsm.store.database import DATABASE, SCHEMA_VERSION, check_version, open_read_only
from nsm.store.folders import private_folder, sync_folder
from nsm.store.writer import LOCK

MANIFEST: Final = "backup.json"
CAPSULES: Final = "capsule"
PLAIN_FOLDERS: Final = ("reports", "scans")  # written whole, then never again
TRIES: Final = 3  # a look that takes longer than a replaced file stays is begun anew
CHUNK_BYTES: Final = 1 << 20


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds. ``made_us`` UTC; ``bytes`` of its bulk files."""

    version: str
    schema: int
    made_us: int
    files: int
    bytes: int
    flows: int
    alerts: int


def create(directory: Path, target: Path) -> Backup:
    """Copy the store to a folder that is new or empty; StoreError when it is neither, or there is no store."""
    open_read_only(directory).close()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(
            f"{target} is there already", where="nsm backup create", mend="name a folder that is not there yet"
        )
    private_folder(target.absolute())
    for attempt in range(TRIES):
        try:
            with _translated(target):
                return _copy_all(directory, target)
        except FileNotFoundError:
            if attempt == TRIES - 1:
                break
    raise StoreError("the store changes faster than it can be copied", where=str(directory), mend="try again")


def _copy_all(directory: Path, target: Path) -> Backup:
    made_us = int(time.time() * 1e6)
    with closing(sqlite3.connect(directory / DATABASE)) as source, closing(sqlite3.connect(target / DATABASE)) as copy:
        source.backup(copy)
        (target / DATABASE).chmod(0o600)  # as the store itself has it
        copy.execute("DELETE FROM session")  # who restores a copy logs in anew
        copy.execute("DELETE FROM login_link")
        copy.commit()
        segments = registry.segments(copy)
        flows = sum(segment.rows for segment in segments if segment.tab == "flow")
        alerts = int(copy.execute("SELECT count(*) FROM alert").fetchone()[0])
        for segment in segments:
            _take(directory / segment.file, target / segment.file)
    for month in sorted((directory / CAPSULES).glob("*.db")):
        private_folder(target.absolute() / CAPSULES)
        with (
            closing(sqlite3.connect(month)) as source,
            closing(sqlite3.connect(target / CAPSULES / month.name)) as copy,
        ):
            source.backup(copy)
    for folder in PLAIN_FOLDERS:
        for path in sorted((directory / folder).glob("*")) if (directory / folder).is_dir() else ():
            if path.is_file():
                _take(path, target / folder / path.name)
    made = Backup(
        __version__, SCHEMA_VERSION, made_us, len(segments), sum(segment.bytes for segment in segments), flows, alerts
    )
    (target / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    sync_folder(target)
    return made


def _take(source: Path, target: Path) -> None:
    """Link a file, or copy it to another file system; FileNotFoundError when it went away."""
    private_folder(target.parent.absolute())
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def check(source: Path) -> Backup:
    """What a backup holds, after looking at every byte of it; StoreError when something is missing or changed."""
    path = source / MANIFEST
    try:
        made = msgspec.json.decode(path.read_bytes(), type=Backup)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{source} is no backup", where=str(path), mend="nsm backup create DIR makes one") from error
    with _translated(source), closing(sqlite3.connect(source / DATABASE)) as connection:
        check_version(connection, source / DATABASE)
        if connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            raise StoreError("the backup is damaged", where=str(source / DATABASE))
        for segment in registry.segments(connection):
            if _crc32(source / segment.file) != segment.crc32:
                raise StoreError("the backup is damaged", where=str(source / segment.file), mend="take another backup")
    return made


def restore(source: Path, directory: Path) -> tuple[Backup, Path | None]:
    """Put a backup in the place of the store; (what it held, where the store that was there is now).

    StoreError when a service runs there, or the backup is damaged: then nothing has been changed.
    """
    made = check(source)
    before = directory.with_name(f"{directory.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    fresh = directory.with_name(f"{directory.name}.restoring")
    with _translated(directory):
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(source, fresh, ignore=lambda _folder, names: {MANIFEST} & set(names))
        fresh.chmod(0o700)
        with _nobody_writes(directory):
            moved = directory.exists() and any(directory.iterdir())
            if directory.exists():
                directory.rename(before)
            fresh.rename(directory)
            if not moved:
                shutil.rmtree(before, ignore_errors=True)
        sync_folder(directory.absolute().parent)
    return made, before if moved else None


@contextlib.contextmanager
def _nobody_writes(directory: Path) -> Iterator[None]:
    """Hold the lock of the store's writer."""
    path = directory / LOCK
    if not path.exists():
        yield
        return
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                "a service uses this store", where=str(directory), mend="end it first (Ctrl-C, or systemctl stop nsm)"
            ) from error
        yield


def _crc32(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            total = zlib.crc32(chunk, total)
    return total


@contextlib.contextmanager
def _translated(where: Path) -> Iterator[None]:
    """Errors of the disk as StoreError; a file that went away is the caller's matter."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, sqlite3.Error) as error:
        text = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"cannot copy the store: {text.lower()}", where=str(where)) from error
