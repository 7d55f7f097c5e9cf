"""A reader of the analyst's live feed: the web process, the notifier. It may be slow; the analyst's memory is bounded."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

log = logging.getLogger(__name__)

SHED_BYTES: Final = 8 * 1024 * 1024  # beyond, rows and seconds are left out
CLOSE_BYTES: Final = 64 * 1024 * 1024  # beyond, it is cut off: it connects again and asks for what it missed


class Subscriber:
    """One connection. ``skipped`` counts what was left out."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.skipped = 0

    def send(self, kind: str, data: bytes) -> None:
        """Send unless the reader is too far behind; alerts and states go as long as it is there at all."""
        if self.writer.is_closing():
            return
        waiting = self.writer.transport.get_write_buffer_size()
        if waiting > CLOSE_BYTES:
            log.warning("reader of the live feed cut off waiting_bytes=%d", waiting)
            self.writer.transport.abort()
            return
        if waiting > SHED_BYTES and kind in ("rows", "second"):
            self.skipped += 1
            return
        self.writer.write(data)
