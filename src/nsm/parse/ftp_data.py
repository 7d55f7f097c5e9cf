"""Data channels of FTP: the bytes are the file that the session's command names. RFC 959, section 3.

A flow is one because its session announced it; nothing in the bytes tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nsm.model.protocol import Conversation, FileSink, Match, ProtocolSpec, Record, Side
from nsm.wire.ftp_note import FtpNote

ENDLESS: Final = 1 << 48  # ours: more than any flow brings
TRANSFERS: Final = frozenset(("RETR", "STOR", "STOU", "APPE"))  # RFC 959 section 4.1.3: those that carry a file


class FtpDataRecord(Record):
    """The ftp_data object of EVE."""

    command: str | None = None
    filename: str | None = None


def probe(data: bytes, side: Side, port: bool) -> Match:
    """Only a session's word leads here."""
    return Match.NO


class FtpDataParser:
    """One per flow."""

    def __init__(self, conv: Conversation) -> None:
        self._conv = conv
        note = conv.expected
        self._note: FtpNote | None = note if isinstance(note, FtpNote) else None
        self._sinks: list[FileSink | None] = [None, None]
        self._command = self._filename = ""

    def feed(self, side: Side, data: bytes) -> int:
        """All of it is the file."""
        sink = self._sinks[side] or self._open(side)
        if sink.wanted:
            sink.data(data)
        else:
            sink.passed(len(data))
        if not sink.wanted:
            self._conv.skip(side, ENDLESS, sink)
        return len(data)

    def gap(self, side: Side, size: int) -> bool:
        """A hole in the file."""
        (self._sinks[side] or self._open(side)).gap(size)
        return True

    def finish(self) -> None:
        """The flow's end is the file's."""
        for sink in self._sinks:
            if sink is not None:
                sink.close()
        if self._sinks == [None, None]:
            self._read_note()
        if self._conv.wants("ftp_data") and self._command:
            self._conv.emit("ftp_data", self._objects())

    def _read_note(self) -> None:
        if self._note is not None:
            self._command = self._note.command
            self._filename = self._note.filename if self._command in TRANSFERS else ""

    def _open(self, side: Side) -> FileSink:
        self._read_note()
        sink = self._conv.file(side, source="FTP_DATA", filename=self._filename, tx_id=0, attached=self._objects)
        self._sinks[side] = sink
        return sink

    def _objects(self) -> Mapping[str, Any]:
        return {"ftp_data": FtpDataRecord(command=self._command or None, filename=self._filename or None)}


SPEC: Final = ProtocolSpec(
    name="ftp-data", transports=("tcp",), ports=(), probe=probe, parser=FtpDataParser, service="ftp-data",
    kinds=("ftp_data", "fileinfo"),
)  # fmt: skip
