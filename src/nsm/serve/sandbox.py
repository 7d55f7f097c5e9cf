"""Documents with strangers' words in them, served in a sandbox, under a policy that lets run what they brought and nothing else.

Which that is stands in the document's own first lines, as hashes (``report/html.py``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from fastapi.responses import FileResponse

CLOSED: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
HEAD_BYTES: Final = 1_024
_HASHES: Final = re.compile(
    r'<meta http-equiv="Content-Security-Policy" content="[^"]*?'
    r"; style-src ('sha256-[A-Za-z0-9+/]{43}='); script-src ('sha256-[A-Za-z0-9+/]{43}=')\">"
)


def document(path: Path, name: str) -> FileResponse:
    """An HTML file to look at."""
    with path.open("rb") as stream:
        policy = _policy(stream.read(HEAD_BYTES).decode(errors="replace"))
    return FileResponse(
        path, media_type="text/html; charset=utf-8", filename=name, content_disposition_type="inline",
        headers={"Content-Security-Policy": policy},
    )  # fmt: skip


def download(path: Path, media_type: str, name: str) -> FileResponse:
    """A file to keep; nothing of it runs, should a browser show it all the same."""
    return FileResponse(
        path, media_type=media_type, filename=name, content_disposition_type="attachment",
        headers={"Content-Security-Policy": CLOSED},
    )  # fmt: skip


def _policy(head: str) -> str:
    """The policy of a page: its own style sheet and script by hash; without them, neither."""
    found = _HASHES.search(head)
    return f"{CLOSED} allow-scripts; style-src {found[1]}; script-src {found[2]}" if found else CLOSED
