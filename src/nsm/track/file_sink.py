"""Files on their way through conversations: counted, hashed, typed by their first bytes, said when they end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from nsm.model.protocol import Interval, Record, Row, Side
from nsm.track.stream_settings import StreamOptions
from nsm.wire import magic

ALL: Final = 1 << 62
KEPT_BY: Final = "sha256"  # names a stored file, so that it is said of what there is of one too


class FileInfo(Record):
    """EVE ``fileinfo``."""

    state: str
    size: int
    gaps: bool | None = None
    filename: str | None = None
    stored: bool | None = None
    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None
    tx_id: int | None = None
    start: int | None = None
    end: int | None = None


class FilesRow(Row):
    """A line of Zeek's files.log."""

    fuid: str
    source: str
    depth: int
    analyzers: frozenset[str]
    mime_type: str | None
    filename: str | None
    duration: Interval
    local_orig: bool
    is_orig: bool
    seen_bytes: int
    total_bytes: int | None
    missing_bytes: int
    overflow_bytes: int = 0
    timedout: bool = False
    parent_fuid: str | None = None
    md5: str | None = None
    sha1: str | None = None
    sha256: str | None = None
    extracted: str | None = None
    extracted_cutoff: bool | None = None
    extracted_size: int | None = None


class File:
    """One file. ``say`` (FileInfo and what is attached) and ``tell`` (the line of files.log, time of the first byte) take it."""

    __slots__ = (
        "_about", "_first", "_first_us", "_gaps", "_hashes", "_last_us", "_limit", "_missing", "_now", "_over",
        "_place", "_seen", "_stored",
        "_tell", "_type", "say",
    )  # fmt: skip

    def __init__(
        self, about: Mapping[str, Any], options: StreamOptions, now: Callable[[], int],
        say: Callable[[FileInfo, Mapping[str, Any]], None], tell: Callable[[FilesRow, int], None] | None,
        place: tuple[str, bool, Side],
    ) -> None:  # fmt: skip
        self._about, self._now, self.say, self._tell, self._place = about, now, say, tell, place
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in options.hashes}
        self._stored = options.stored
        self._first, self._type = b"", ""
        self._limit: int = about["limit"] or ALL
        self._seen = self._missing = 0
        self._gaps = self._over = False
        self._first_us = self._last_us = now()

    def data(self, piece: bytes) -> None:
        """The next bytes."""
        if len(self._first) < magic.BYTES_MAX:
            self._first += piece[: magic.BYTES_MAX - len(self._first)]
        for hasher in self._hashes.values():
            hasher.update(piece)
        self._seen += len(piece)
        self._last_us = self._now()

    def passed(self, size: int) -> None:
        """Bytes that came and were not looked at."""
        self._seen += size
        self._hashes = {}
        self._last_us = self._now()

    def gap(self, size: int) -> None:
        """Bytes that were not seen."""
        self._missing += size
        self._gaps = True
        if not self._stored:
            self._hashes = {}

    @property
    def size(self) -> int:
        """Bytes seen so far."""
        return self._seen

    @property
    def wanted(self) -> int:
        """How many more bytes it wants to see."""
        return ALL if self._hashes else max(0, magic.BYTES_MAX - len(self._first))

    @property
    def fuid(self) -> str:
        """Zeek's name of it."""
        return self._place[0]

    @property
    def mime_type(self) -> str:
        """What the first bytes look like."""
        if not self._type and self._first:
            self._type = magic.mime_type(self._first)
        return self._type

    def close(self, truncated: bool = False) -> None:
        """Say it, once."""
        if self._over:
            return
        self._over = True
        about, digests = self._about, {}
        truncated = truncated or self._gaps or self._seen > self._limit
        if not truncated or self._stored:
            digests = {
                name: hasher.hexdigest() for name, hasher in self._hashes.items() if not truncated or name == KEPT_BY
            }
        attached = about["attached"]() if about["attached"] is not None else {}
        info = FileInfo(
            state="TRUNCATED" if truncated else "CLOSED",
            size=self._seen + self._missing if self._gaps else min(self._seen, self._limit),
            gaps=self._gaps,
            filename=about["filename"] or about["fallback"] or None,
            stored=self._stored, tx_id=about["tx_id"], start=about["start"], end=about["end"], **digests,
        )  # fmt: skip
        self.say(info, attached)
        if self._tell is not None:
            self._tell(self._row(digests), self._first_us)
        self._about = {}  # what was attached refers to the parser, which refers to this: nobody collects cycles in a worker

    def _row(self, digests: Mapping[str, str]) -> FilesRow:
        fuid, local, sender = self._place
        return FilesRow(
            fuid=fuid, source=self._about["source"], depth=self._about["depth"],
            analyzers=frozenset(name.upper() for name in digests),
            mime_type=self.mime_type or None, filename=self._about["filename"] or None,
            duration=Interval((self._last_us - self._first_us) / 1e6), local_orig=local, is_orig=sender == Side.CLIENT,
            seen_bytes=self._seen, total_bytes=self._about["size"], missing_bytes=self._missing, md5=digests.get("md5"),
            sha1=digests.get("sha1"), sha256=digests.get("sha256"),
        )  # fmt: skip
