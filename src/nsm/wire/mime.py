"""MIME messages as mail carries them: heads, parts within parts, base64 and quoted-printable. RFC 2045, 2046, 5322.

Works on whole blocks of lines, so that an attachment costs a few calls for each packet.
"""

from __future__ import annotations

import binascii
from typing import Any, Final

from nsm.wire.http_head import NAMES, head_lines, parameter

HEAD_BYTES_MAX: Final = 65_536  # ours: of one part
LINE_BYTES_MAX: Final = 8192  # ours: an unended line that is held
DEPTH_MAX: Final = 10  # ours: parts within parts, as Suricata's mime-depth in spirit
PARTS_MAX: Final = 512  # ours: of one message
LINE_MAX: Final = 998  # RFC 5322 section 2.1.1
ENCODED_LINE_MAX: Final = 76  # RFC 2045 sections 6.7 and 6.8
NAME_BYTES_MAX: Final = 255  # Suricata's longest file name

HEAD, BODY, BETWEEN = 0, 1, 2
IDENTITY, BASE64, QUOTED = 0, 1, 2

MailFields = list[tuple[bytes, bytes]]

_NOT_BASE64: Final = bytes(
    sorted(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
)
_SPACE: Final = b" \t\r\n"


class Part:
    """A part's head: its type, name and coding; ``depth`` is how many heads the message had until then."""

    __slots__ = ("coding", "depth", "fields", "name", "odd_name", "type")

    def __init__(self, fields: MailFields, depth: int) -> None:
        self.fields, self.depth = fields, depth
        kind = field(fields, b"content-type")
        self.type = kind.partition(b";")[0].strip().lower()
        name = parameter(field(fields, b"content-disposition"), b"filename") or parameter(kind, b"name")
        self.odd_name = len(name) > NAME_BYTES_MAX
        self.name = name[:NAME_BYTES_MAX]
        coding = field(fields, b"content-transfer-encoding").strip().lower()
        self.coding = BASE64 if coding == b"base64" else QUOTED if coding == b"quoted-printable" else IDENTITY


def field(fields: MailFields, name: bytes) -> bytes:
    """The first field of that name, unfolded, b"" without one."""
    for key, value in fields:
        if key == name:
            return unfolded(value)
    return b""


def unfolded(value: bytes) -> bytes:
    """A value on one line, a space where it was folded."""
    if b"\n" not in value:
        return value
    return b" ".join(part.strip() for part in value.split(b"\n"))


def mail_fields(head: bytes) -> MailFields:
    """(name in lower case, value) in order; a folded value keeps its line feeds. RFC 5322 section 2.2."""
    found: MailFields = []
    for line in head_lines(head):
        if line[:1] in {b" ", b"\t"}:
            if found:
                found[-1] = (found[-1][0], found[-1][1] + b"\n" + line.rstrip())
            continue
        raw, colon, value = line.partition(b":")
        if colon:
            found.append((NAMES.get(raw) or raw.strip().lower(), value.strip()))
    return found


def addresses(value: bytes) -> list[bytes]:
    """An address list at its commas, those in quotes left alone."""
    if b'"' not in value:
        return [part.strip() for part in value.split(b",") if part.strip()]
    found, start, quoted = [], 0, False
    pieces = value.split(b",")
    at = 0
    for piece in pieces:
        quoted ^= piece.count(b'"') % 2 == 1
        at += len(piece) + 1
        if not quoted:
            found.append(value[start : at - 1].strip())
            start = at
    if start < len(value):
        found.append(value[start:].strip())
    return [part for part in found if part]


Said = tuple[str, Part | None, bytes]
"""("part", part, b"") begins one, ("data", None, decoded), ("end", None, b"")."""


class MimeReader:
    """One message. ``fields`` are those of its own head once that is read."""

    def __init__(self) -> None:
        self._state = HEAD
        self._head = b""
        self._held = b""
        self._marks: list[bytes] = []
        self._coding = IDENTITY
        self._rest = b""  # of base64: what makes no group of four yet; else the line end before a possible boundary
        self._open = False
        self.entities = 0
        self.fields: MailFields | None = None
        self.digest: Any = None  # of all bytes behind the message's own head, where somebody wants one
        self.events: set[str] = set()

    def feed(self, data: bytes) -> list[Said]:
        """What these bytes of the message bring."""
        data = self._held + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > LINE_BYTES_MAX:
            end = len(data)
        self._held = data[end:]
        out: list[Said] = []
        self._block(data[:end], out)
        return out

    def finish(self) -> list[Said]:
        """The message is over."""
        out: list[Said] = []
        data, self._held = self._held, b""
        if data:
            self._block(data, out)
        if self._state == HEAD and (self._head or self.fields is None):
            self._end_head(out)
        self._end_part(out)
        return out

    def lost(self) -> list[Said]:
        """Bytes are missing here: a head that was begun ends without what it said."""
        out: list[Said] = []
        self._held = b""
        if self._state == HEAD:
            self._head = b""
            self._end_head(out)
        return out

    def _block(self, data: bytes, out: list[Said]) -> None:
        at = 0
        if self.digest is not None and self.fields is not None:
            self.digest.update(data)
        while at < len(data):
            if self._state == HEAD:
                first = self.fields is None
                at = self._read_head(data, at, out)
                if first and self.fields is not None and self.digest is not None:
                    self.digest.update(data[at:])
            else:
                at = self._read_body(data, at, out)

    def _read_head(self, data: bytes, at: int, out: list[Said]) -> int:
        """Lines of a head up to the empty one."""
        if not self._head:
            if data.startswith(b"\r\n", at):
                self._end_head(out)
                return at + 2
            if data.startswith(b"\n", at):
                self._end_head(out)
                return at + 1
        start = max(0, at - 1) if not self._head else at
        crlf, bare = data.find(b"\n\r\n", start), data.find(b"\n\n", start)
        if self._head and data.startswith((b"\r\n", b"\n"), at):
            end = at
            behind = at + (2 if data[at] == 13 else 1)
        elif crlf >= 0 and (bare < 0 or crlf < bare):
            end, behind = crlf + 1, crlf + 3
        elif bare >= 0:
            end, behind = bare + 1, bare + 2
        else:
            self._head += data[at:]
            if len(self._head) > HEAD_BYTES_MAX:
                self._end_head(out)
            return len(data)
        self._head += data[at:end]
        self._end_head(out)
        return behind

    def _end_head(self, out: list[Said]) -> None:
        fields = mail_fields(self._head)
        self._head = b""
        self.entities += 1
        part = Part(fields, self.entities)
        if self.fields is None:
            self.fields = fields
        if part.odd_name:
            self.events.add("MIME_LONG_FILENAME")
        self._state = BODY
        self._coding = part.coding
        self._rest = b""
        if part.type.startswith(b"multipart/") and len(self._marks) < DEPTH_MAX:
            mark = parameter(field(fields, b"content-type"), b"boundary")
            if mark:
                self._marks.append(b"--" + mark)
                self._state = BETWEEN
                return
        if part.type == b"message/rfc822" and part.coding == IDENTITY and self.entities < PARTS_MAX:
            self._state = HEAD
            return
        if self.entities < PARTS_MAX:
            out.append(("part", part, b""))
            self._open = True

    def _read_body(self, data: bytes, at: int, out: list[Said]) -> int:
        """Bytes of a part up to the next boundary."""
        if not self._marks:
            self._data(data[at:] if at else data, out)
            return len(data)
        search = at
        while True:
            mark = search if data.startswith(b"--", search) and search == at else -1
            if mark < 0:
                mark = data.find(b"\n--", search) + 1
                if not mark:
                    self._data(data[at:], out)
                    return len(data)
            end = data.find(b"\n", mark)
            end = len(data) if end < 0 else end + 1
            line = data[mark:end].rstrip()
            depth = self._depth(line)
            if depth >= 0:
                self._data(data[at:mark], out)
                self._boundary(depth, line, out)
                return end
            search = end - 1

    def _depth(self, line: bytes) -> int:
        """Which open boundary a line is, the innermost first; -1: none."""
        for depth in range(len(self._marks) - 1, -1, -1):
            mark = self._marks[depth]
            if line.startswith(mark) and line[len(mark) :] in {b"", b"--"}:
                return depth
        return -1

    def _boundary(self, depth: int, line: bytes, out: list[Said]) -> None:
        self._end_part(out)
        last = len(line) == len(self._marks[depth]) + 2
        del self._marks[depth if last else depth + 1 :]
        self._state = BETWEEN if last else HEAD

    def _end_part(self, out: list[Said]) -> None:
        if not self._open:
            return
        if self._rest and (self._coding == BASE64 or not self._marks):
            self._flush(out)
        self._rest = b""
        out.append(("end", None, b""))
        self._open = False

    def _flush(self, out: list[Said]) -> None:
        """What a part's end leaves: a base64 group without its padding, or the last line end of a message."""
        if self._coding != BASE64:
            out.append(("data", None, self._rest))
            return
        self._emit(_base64(self._rest + b"=" * (-len(self._rest) % 4)), out)

    def _emit(self, piece: bytes, out: list[Said]) -> None:
        if piece:
            out.append(("data", None, piece))

    def _data(self, data: bytes, out: list[Said]) -> None:
        """Decode bytes of a part."""
        if not data or self._state != BODY:
            return
        self._measure(data)
        if not self._open:
            return
        if self._coding == BASE64:
            self._base64_data(data, out)
            return
        if self._coding == QUOTED:
            try:
                data = binascii.a2b_qp(self._rest + data)
            except (binascii.Error, ValueError):
                self.events.add("MIME_INVALID_QP")
                return
        else:
            data = self._rest + data
        # The line end before a boundary belongs to the boundary: it waits for what follows.
        cut = len(data) - 2 if data.endswith(b"\r\n") else len(data) - 1 if data.endswith(b"\n") else len(data)
        self._rest = data[cut:]
        self._emit(data[:cut], out)

    def _base64_data(self, data: bytes, out: list[Said]) -> None:
        clean = data.translate(None, _SPACE)
        sound = clean.translate(None, _NOT_BASE64)
        if len(sound) != len(clean):
            self.events.add("MIME_INVALID_BASE64")
        sound = self._rest + sound
        size = len(sound) & ~3
        self._rest = sound[size:]
        self._emit(_base64(sound[:size]), out)

    def _measure(self, data: bytes) -> None:
        """Are lines longer than the standards allow?"""
        limit = ENCODED_LINE_MAX if self._coding != IDENTITY else LINE_MAX
        if len(data) <= limit or (len(self.events) and {"MIME_LONG_LINE", "MIME_LONG_ENC_LINE"} <= self.events):
            return
        longest = max(map(len, data.split(b"\n"))) - 1
        if longest > LINE_MAX:
            self.events.add("MIME_LONG_LINE")
        if self._coding != IDENTITY and longest > ENCODED_LINE_MAX:
            self.events.add("MIME_LONG_ENC_LINE")


def _base64(data: bytes) -> bytes:
    """Decode groups; padding inside ends a run, as where parts were glued."""
    if b"=" not in data[:-2]:
        try:
            return binascii.a2b_base64(data)
        except binascii.Error:
            return b""
    out = []
    for run in data.rstrip(b"=").split(b"="):
        try:
            out.append(binascii.a2b_base64(run + b"=" * (-len(run) % 4)))
        except binascii.Error:
            continue
    return b"".join(out)
