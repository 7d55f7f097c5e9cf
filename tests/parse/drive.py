"""A conversation for tests: it remembers what a parser says, and brings unread bytes back as the engine does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from nsm.errors import MalformedError
from nsm.model.protocol import FileSink, Parser, ProtocolSpec, Row, Side, log_of

Piece = tuple[Side, bytes]
C, S = Side.CLIENT, Side.SERVER


class KeptFile:
    """A file sink that keeps everything."""

    def __init__(self, about: dict[str, Any], attached: Callable[[], Mapping[str, Any]] | None) -> None:
        self.about, self.body, self.gaps, self.closed, self.truncated = about, b"", 0, False, False
        self._attached = attached
        self.attached: dict[str, Any] = {}
        self.wanted: int = 1 << 62
        self.counted = 0

    def data(self, piece: bytes) -> None:
        assert not self.closed
        self.body += piece

    def passed(self, size: int) -> None:
        self.counted += size

    def gap(self, size: int) -> None:
        self.gaps += size

    def close(self, truncated: bool = False) -> None:
        assert not self.closed
        self.closed, self.truncated = True, truncated
        self.attached = msgspec.to_builtins(dict(self._attached())) if self._attached else {}

    @property
    def mime_type(self) -> str:
        return ""

    @property
    def fuid(self) -> str:
        return ""

    @property
    def size(self) -> int:
        return len(self.body) + self.counted


class Told:
    """What a parser said. ``events``: (kind, objects as JSON knows them, sender, tx_id)."""

    def __init__(self, transport: str = "tcp", options: Mapping[str, Any] | None = None, rows: bool = True) -> None:
        self.transport, self.rows = transport, rows
        self.client, self.server, self.client_port, self.server_port = "10.0.0.1", "192.0.2.1", 40_000, 80
        self.ts_us = 1_700_000_000_000_000
        self.events: list[tuple[str, Any, Side | None, int | None]] = []
        self.zeek: list[tuple[str, dict[str, Any]]] = []
        self.anomalies: list[str] = []
        self.files: list[KeptFile] = []
        self.names: list[str] = []
        self.labels: list[str] = []
        self.services: list[str] = []
        self.expectations: list[tuple[str, int, str, Any]] = []
        self.skipped = [0, 0]
        self.skipped_of: list[FileSink | None] = [None, None]
        self.file_wanted: int = 1 << 62
        self.ignored: set[Side] = set()
        self.over = False
        self.switched: str | None = None
        self.passed_on: Any = None
        self.app: str | None = None
        self.note: Any = None
        self.origin = ""
        self._options = dict(options or {})

    def wants(self, kind: str) -> bool:
        return True

    def option(self, name: str, default: Any) -> Any:
        return self._options.get(name, default)

    def emit(
        self, kind: str, objects: Mapping[str, Any], *, sender: Side | None = None, tx_id: int | None = None,
        app_proto: str = "",
    ) -> None:  # fmt: skip
        self.events.append((kind, msgspec.json.decode(msgspec.json.encode(dict(objects))), sender, tx_id))

    def row(self, row: Row, ts_us: int | None = None) -> None:
        self.zeek.append((log_of(type(row)), msgspec.structs.asdict(row)))

    def anomaly(self, event: str, *, side: Side | None = None, tx_id: int | None = None) -> None:
        self.anomalies.append(event)

    def skip(self, side: Side, size: int, file: FileSink | None = None) -> None:
        self.skipped[side] += max(0, size)
        self.skipped_of[side] = file

    def ignore(self, side: Side) -> None:
        self.ignored.add(side)

    def done(self) -> None:
        self.over = True

    def switch(self, name: str, note: Any = None) -> None:
        self.switched, self.passed_on = name, note

    def expect(self, server: str, port: int, name: str, note: Any = None) -> None:
        self.expectations.append((server, port, name, note))

    @property
    def expected(self) -> Any:
        return self.note

    def named(self, host: str) -> None:
        self.names.append(host)

    def label(self, app: str) -> None:
        self.labels.append(app)

    def protocol(self, name: str) -> None:
        self.app = name

    def service(self, name: str) -> None:
        self.services.append(name)

    def file(
        self, sender: Side, *, source: str, filename: str = "", tx_id: int | None = None, size: int | None = None,
        attached: Callable[[], Mapping[str, Any]] | None = None, start: int | None = None, end: int | None = None,
        fallback: str = "", limit: int = 0, depth: int = 0,
    ) -> KeptFile:  # fmt: skip
        about = {"sender": sender, "source": source, "filename": filename, "tx_id": tx_id, "size": size}
        more = {"start": start, "end": end, "fallback": fallback, "limit": limit, "depth": depth}
        about |= {name: value for name, value in more.items() if value}
        self.files.append(KeptFile(about, attached))
        self.files[-1].wanted = self.file_wanted
        return self.files[-1]

    @property
    def said(self) -> Any:
        """Everything, to compare two ways of handing over the same bytes."""
        files = [(f.about, f.body, f.counted, f.gaps, f.truncated, f.attached) for f in self.files]
        return self.events, self.zeek, self.anomalies, files, self.names, self.services, self.switched


class Talk:
    """A parser and what it was told."""

    def __init__(self, spec: ProtocolSpec, told: Told) -> None:
        assert spec.parser is not None
        self.told, self._spec = told, spec
        self._parser: Parser = spec.parser(told)
        self._unread = [b"", b""]
        self._skip = [0, 0]
        self._given_up = False

    def send(self, side: Side, data: bytes) -> None:
        """Hand bytes over as the engine does; what is left after ``switch`` stays unread."""
        told = self.told
        if told.transport == "udp":
            if not self._stopped(side):
                self._feed(side, data)
            return
        data = self._unread[side] + data[self._pass(side, data) :]
        while data and not self._stopped(side):
            before = told.skipped[side]
            used = self._feed(side, data)
            assert 0 <= used <= len(data)
            self._skip[side] += told.skipped[side] - before
            data = data[used:]
            passed = self._pass(side, data)
            data = data[passed:]
            if not used and not passed:
                break
        self._unread[side] = data if not self._stopped(side) else b""
        assert len(self._unread[side]) <= self._spec.buffer_max, "left too much unread"

    def gap(self, side: Side, size: int) -> None:
        """Bytes were lost."""
        lost = min(self._skip[side], size)
        self._skip[side] -= lost
        file = self.told.skipped_of[side]
        if lost and file is not None:
            file.gap(lost)
        size -= lost
        if not size:
            return
        self._unread[side] = b""
        if not self._stopped(side) and not self._parser.gap(side, size):
            self._given_up = True

    def finish(self) -> None:
        """The flow is over."""
        self._parser.finish()

    def _pass(self, side: Side, data: bytes) -> int:
        passed = min(self._skip[side], len(data))
        self._skip[side] -= passed
        file = self.told.skipped_of[side]
        if passed and file is not None:
            if file.wanted:
                file.data(data[:passed])
            else:
                file.passed(passed)
        return passed

    def _stopped(self, side: Side) -> bool:
        told = self.told
        return self._given_up or told.over or side in told.ignored or told.switched is not None

    def _feed(self, side: Side, data: bytes) -> int:
        try:
            return self._parser.feed(side, data)
        except MalformedError as error:
            self.told.anomaly(str(error))
            self._given_up = True
            return 0


def talk(spec: ProtocolSpec, pieces: Iterable[Piece], told: Told | None = None) -> Told:
    """What a parser says of these pieces, each handed over as it is."""
    session = Talk(spec, told or Told(spec.transports[0]))
    for side, data in pieces:
        session.send(side, data)
    session.finish()
    return session.told


def byte_by_byte(pieces: Sequence[Piece]) -> list[Piece]:
    """The same bytes one at a time."""
    return [(side, data[at : at + 1]) for side, data in pieces for at in range(len(data))]
