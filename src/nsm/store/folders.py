"""Folders and names on the disk: private, and there to stay."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def private_folder(path: Path) -> None:
    """Make a folder and those above it, each for the owner alone."""
    for folder in (*reversed(path.parents), path):
        # ``mkdir(parents=True)`` would give the ones above the common mode.
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unlink(*paths: Path) -> None:
    """Remove files that may be gone already."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def free_bytes(directory: Path) -> int:
    """Free space of the file system, for those who are not root."""
    stat = os.statvfs(directory)
    return stat.f_bavail * stat.f_frsize
