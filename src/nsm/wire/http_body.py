"""Bodies of HTTP messages on their way to file sinks: decoded, cut into the parts of a form, counted.

What nobody wants to see is only counted, so that a download costs nothing once its sink has enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nsm.model.protocol import Conversation, FileSink, Side
from nsm.wire import content_coding
from nsm.wire.content_coding import Decoder
from nsm.wire.http_head import Fields, disposition_name, percent_decoded, text
from nsm.wire.multipart import Multipart

PARTS_MAX: Final = 256  # ours: files of one body that are remembered for Zeek's columns
NAME_BYTES_MAX: Final = 1024  # Suricata's longest file name

Attached = Callable[[], Mapping[str, Any]]


def path_name(uri: bytes) -> str:
    """The name that a body has by its URL: the path, decoded."""
    path = uri.partition(b"?")[0].partition(b"#")[0]
    scheme, sep, rest = path.partition(b"://")
    if sep and b"/" not in scheme:
        slash = rest.find(b"/")
        path = rest[slash:] if slash >= 0 else b"/"
    return text(percent_decoded(path)[:NAME_BYTES_MAX])


class Body:
    """One body."""

    __slots__ = (
        "_attached",
        "_base",
        "_conv",
        "_decoded",
        "_decoder",
        "_form",
        "_name",
        "_planned",
        "_seen",
        "_side",
        "_tx",
        "coding_odd",
        "end",
        "files",
        "limit",
        "many_codings",
        "names",
        "part_odd",
        "path",
        "sink",
        "size",
        "start",
    )  # fmt: skip

    def __init__(self, conv: Conversation, side: Side, tx: int, fields: Fields, attached: Attached) -> None:
        self._conv, self._side, self._tx, self._attached = conv, side, tx, attached
        self._decoder: Decoder | None = None
        self._form: Multipart | None = None
        disposition = fields.get(b"content-disposition")
        self._name = disposition_name(disposition) if disposition else ""
        self.sink: FileSink | None = None
        self.files: list[FileSink] = []
        self.names: list[str] = [self._name] if self._name else []
        self._seen = self._decoded = self.limit = self._planned = 0
        self._base = -1  # size of the sink where a skip began, -1: none is under way
        self.path = ""
        self.size: int | None = None
        self.start: int | None = None
        self.end: int | None = None
        self.coding_odd = self.part_odd = self.many_codings = False
        coding = fields.get(b"content-encoding")
        if coding and coding != b"identity":
            found = content_coding.layers(coding, bool(conv.option("lzma_enabled", False)))
            limit = conv.option("response_body_decompress_layer_limit", 2)
            self.many_codings = len(found) > limit
            if found[:limit]:
                self._decoder = Decoder(found[:limit])

    def cut(self, boundary: bytes) -> None:
        """Its parts are files of their own."""
        self._form = Multipart(boundary)

    @property
    def seen(self) -> int:
        """Bytes that came, as sent but without chunks."""
        return self._seen + self._passing

    @property
    def decoded(self) -> int:
        """Bytes that came, decoded."""
        return self._decoded + self._passing

    @property
    def _passing(self) -> int:
        """Bytes that only its sink has counted so far."""
        if self._base < 0 or self.sink is None:
            return 0
        return max(0, self.sink.size - self._base)

    @property
    def is_form(self) -> bool:
        """Is it cut into parts?"""
        return self._form is not None

    @property
    def is_complete_form(self) -> bool:
        """Was it no form, or did the form end with its last boundary?"""
        return self._form is None or self._form.complete

    @property
    def is_bomb(self) -> bool:
        """Did decoding stop for giving too much?"""
        return self._decoder is not None and self._decoder.is_bomb

    def data(self, piece: bytes) -> None:
        """The next bytes, as sent but without chunks."""
        if self._base >= 0:
            self._settle(self._planned)
        self._seen += len(piece)
        if self._decoder is None:
            self._plain(piece)
            return
        for out in self._decoder.decode(piece):
            self._plain(out)
        if self._decoder.failed:
            self.coding_odd = True

    def skip(self, size: int) -> bool:
        """Let so many bytes go by to the file alone; False: they are needed here."""
        sink = self.sink
        if sink is None or self._decoder is not None or self._form is not None:
            return False
        self._base, self._planned = sink.size, size
        self._conv.skip(self._side, size, sink)
        return True

    def _settle(self, size: int) -> None:
        self._seen += size
        self._decoded += size
        self._base = -1

    def gap(self, size: int) -> None:
        """So many bytes of it were lost."""
        if self._base >= 0:
            self._settle(self._planned)
        self._seen += size
        if self._decoder is None:
            self._decoded += size
        if self.sink is None and self._form is None:
            self.sink = self._open(self._name, self.path)
        if self.sink is not None:
            self.sink.gap(size)

    def close(self, truncated: bool = False) -> None:
        """No more comes."""
        if self._form is not None and self._form.odd:
            self.part_odd = True
        if self.sink is not None:
            if self._base >= 0:  # it ended among bytes that only its sink has counted
                self._settle(max(0, self.sink.size - self._base))
            self.sink.close(truncated)
            self.sink = None

    def mime_types(self) -> list[str]:
        """What its files look like, those without a type left out."""
        return [file.mime_type for file in self.files if file.mime_type]

    def _plain(self, piece: bytes) -> None:
        self._decoded += len(piece)
        if self._form is not None:
            self._part(piece)
            return
        sink = self.sink
        if sink is None:
            sink = self.sink = self._open(self._name, self.path)
        if sink.wanted:
            sink.data(piece)
        else:
            sink.passed(len(piece))

    def _part(self, piece: bytes) -> None:
        assert self._form is not None  # noqa: S101 - the caller asked
        for what, fields, data in self._form.feed(piece):
            if what == "data":
                if self.sink is None:
                    self.sink = self._open("", "")
                self.sink.data(data)
            elif what == "part" and fields is not None:
                name = disposition_name(fields.get(b"content-disposition", b""))
                if name and len(self.names) < PARTS_MAX:
                    self.names.append(name)
                self.sink = self._open(name, "") if name else None
            elif self.sink is not None:
                self.sink.close()
                self.sink = None

    def _open(self, name: str, fallback: str) -> FileSink:
        sink = self._conv.file(
            self._side, source="HTTP", filename=name[:NAME_BYTES_MAX], tx_id=self._tx,
            size=self.size if self._decoder is None and self._form is None else None,
            attached=self._attached, start=self.start, end=self.end, fallback=fallback, limit=self.limit,
            depth=1 if self._form is not None else 0,
        )  # fmt: skip
        if len(self.files) < PARTS_MAX:
            self.files.append(sink)
        return sink
