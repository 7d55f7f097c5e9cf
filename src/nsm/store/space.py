"""Room on the disk: when bulk rows are refused, and what is given back first.

``ok`` -> ``early`` (the oldest segments go before their age) -> ``full`` (bulk rows are refused, alerts go on).
The ballast is a file that stands for free space of our own: it is given back when the disk is full, so that
alerts and deletions, which need a little room themselves, still succeed.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Final

from nsm.store.folders import free_bytes, unlink
from nsm.store.settings import StoreSettings

log = logging.getLogger(__name__)
SIZE_MAX_BYTES: Final = 100_000_000_000  # with ``size_max_bytes`` 0: a fifth of the disk, at most this
DISK_SHARE: Final = 5


class Space:
    """The state of the disk under one store."""

    def __init__(self, directory: Path, settings: StoreSettings) -> None:
        self._directory = directory
        self._ballast = directory / "ballast"
        self._settings = settings
        self.state = "ok"
        self.reason = ""
        self.free_bytes = free_bytes(directory)
        self.look()

    @property
    def size_max_bytes(self) -> int:
        """How large the bulk files may be together."""
        chosen = self._settings.size_max_bytes
        return chosen or min(SIZE_MAX_BYTES, shutil.disk_usage(self._directory).total // DISK_SHARE)

    def look(self) -> str:
        """The state now. A disk that was found full by an error stays full until there is room again."""
        self.free_bytes = free_bytes(self._directory)
        settings = self._settings
        # After an error the ballast has been given back, so room for it again is the sign of recovery.
        least = settings.free_min_bytes + (settings.ballast_bytes if self.state == "full" else 0)
        if self.free_bytes < least:
            self._become("full", f"{self.free_bytes >> 20} MiB free, {least >> 20} MiB needed")
        elif self.free_bytes < settings.free_early_bytes:
            self._become("early", f"{self.free_bytes >> 20} MiB free")
        else:
            self._become("ok", "")
        if self.state != "full":
            self._fill_ballast()
        return self.state

    def met_full(self, error: Exception) -> None:
        """A write failed for want of room: give the ballast back."""
        unlink(self._ballast)
        self._become("full", str(error))

    def _become(self, state: str, reason: str) -> None:
        if state != self.state:
            level = logging.INFO if state == "ok" else logging.WARNING
            log.log(level, "store disk=%s was=%s free_bytes=%d reason=%s", state, self.state, self.free_bytes, reason)
        self.state, self.reason = state, reason

    def _fill_ballast(self) -> None:
        size = self._settings.ballast_bytes
        if not size or self._ballast.exists() or self.free_bytes < self._settings.free_min_bytes + 2 * size:
            return
        try:
            handle = os.open(self._ballast, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
        except OSError as error:
            unlink(self._ballast)
            log.warning("cannot reserve ballast bytes=%d reason=%s", size, error)
