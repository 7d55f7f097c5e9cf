"""The built page: files of one folder, read once, compressed beforehand, with names that change with their content."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

STATIC: Final = Path(__file__).parent / "static"
FOR_EVER: Final = "public, max-age=31536000, immutable"
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
MISSING: Final = "The page is not built. Mend: make page\n"
TYPES: Final = {".woff2": "font/woff2", ".js": "text/javascript", ".svg": "image/svg+xml"}


class File(msgspec.Struct, frozen=True):
    """One file in every form that there is; "" is the plain one."""

    content: dict[str, bytes]
    media_type: str
    hashed: bool


class Page:
    """Serves the files that the folder had at start; nothing else can be reached through it."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._files: dict[str, File] = {}
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and path.suffix not in (".gz", ".br"):
                name = path.relative_to(folder).as_posix()
                self._files[name] = _read(path, hashed=name.startswith("assets/"))

    def respond(self, request: Request) -> Response:
        """The file of the path; a path without a dot is a place in the page, so it gets ``index.html``."""
        name = request.url.path.lstrip("/")
        file = self._files.get(name or "index.html")
        if file is None and "." not in name:
            file = self._files.get("index.html")
            if file is None:
                return PlainTextResponse(MISSING, 503)
        if file is None:
            return PlainTextResponse("not found\n", 404)
        accepted = {part.split(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
        encoding = next((name for name, _ in ENCODINGS if name in accepted and name in file.content), "")
        headers = {"Cache-Control": FOR_EVER if file.hashed else "no-cache", "Vary": "Accept-Encoding"}
        if encoding:
            headers["Content-Encoding"] = encoding
        return Response(file.content[encoding], media_type=file.media_type, headers=headers)


def _read(path: Path, *, hashed: bool) -> File:
    content = {"": path.read_bytes()}
    for encoding, suffix in ENCODINGS:
        packed = path.with_name(path.name + suffix)
        if packed.is_file():
            content[encoding] = packed.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return File(content, kind, hashed)
