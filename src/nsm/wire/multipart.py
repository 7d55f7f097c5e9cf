"""Multipart bodies as forms send them: parts one after the other, each with a small head. RFC 2046 section 5.1, RFC 7578."""

from __future__ import annotations

from typing import Final

from nsm.wire.http_head import Fields, head_end, head_fields, head_lines, parameter

HEAD_BYTES_MAX: Final = 16_384  # ours: of one part
BOUNDARY_BYTES_MAX: Final = 250  # RFC 2046 allows 70; libhtp's longest

PREAMBLE, HEAD, BODY, EPILOGUE = 0, 1, 2, 3

Part = tuple[str, Fields | None, bytes]
"""("part", fields, b"") begins one, ("data", None, piece) is of it, ("end", None, b"") ends it."""


def boundary(content_type: bytes) -> bytes:
    """The boundary of a Content-Type, b"" when it has none of use."""
    if not content_type[:10].lower().startswith(b"multipart/"):
        return b""
    value = parameter(content_type, b"boundary")
    return value if len(value) <= BOUNDARY_BYTES_MAX else b""


class Multipart:
    """Cuts a body at its boundary; holds what may be the beginning of one, or of a part's head."""

    def __init__(self, mark: bytes) -> None:
        self._mark = b"\n--" + mark
        self._state = PREAMBLE
        self._held = b"\n"  # a body may begin with its boundary
        self._lead = False
        self.odd = False

    @property
    def complete(self) -> bool:
        """Was the last boundary seen?"""
        return self._state == EPILOGUE

    def feed(self, data: bytes) -> list[Part]:
        """What these bytes bring."""
        data, self._held = self._held + data, b""
        out: list[Part] = []
        while data:
            if self._state == HEAD:
                rest = self._head(data, out)
            elif self._state == EPILOGUE:
                return out
            else:
                rest = self._to_boundary(data, out)
            if rest is None:
                break
            data = rest
        return out

    def _to_boundary(self, data: bytes, out: list[Part]) -> bytes | None:
        """Give what lies before the boundary; what follows it, None when more is needed."""
        at = data.find(self._mark)
        if at < 0:
            keep = data.rfind(b"\n", max(0, len(data) - len(self._mark)))
            if keep < 0 or not self._mark.startswith(data[keep:]):
                keep = len(data)
            if data[keep - 1 : keep] == b"\r":
                keep -= 1
            self._data(data[:keep], out)
            self._held = data[keep:]
            return None
        behind = at + len(self._mark)
        if len(data) < behind + 2:
            cut = at - 1 if at and data[at - 1 : at] == b"\r" else at
            self._data(data[:cut], out)
            self._held = data[cut:]
            return None
        self._data(data[: at - 1 if at and data[at - 1 : at] == b"\r" else at], out)
        if self._state == BODY:
            out.append(("end", None, b""))
        if data[behind : behind + 2] == b"--":
            self._state = EPILOGUE
            return b""
        self._state = HEAD
        return data[behind:].lstrip(b" \t")

    def _data(self, piece: bytes, out: list[Part]) -> None:
        if piece and self._state == BODY:
            if self._lead:
                self._lead, piece = False, piece[1:]
            if piece:
                out.append(("data", None, piece))

    def _head(self, data: bytes, out: list[Part]) -> bytes | None:
        """A part's head, the end of the boundary's line before it."""
        end = head_end(data)
        if end < 0:
            if len(data) <= HEAD_BYTES_MAX:
                self._held = data
                return None
            self.odd = True
            end = len(data)
        lines = head_lines(data[:end].lstrip(b"\r\n"))
        fields, odd = head_fields(lines, 0)
        self.odd = self.odd or bool(odd)
        out.append(("part", fields, b""))
        self._state = BODY
        # The line end before a boundary belongs to it, and a part may be empty: the head's last line feed comes again.
        self._lead = True
        return b"\n" + data[end:]
