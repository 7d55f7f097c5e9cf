"""The document of the routes (web/src/api/openapi.json), and the page's types made from it (web/src/api/schema.d.ts)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from nsm.serve.document import document, with_routes

WEB = Path(__file__).parents[1] / "web"
OPENAPI = WEB / "src" / "api" / "openapi.json"


def text() -> str:
    """What the file has to hold."""
    return json.dumps(document(with_routes()[0]), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write both files."""
    OPENAPI.write_text(text(), encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(f"{OPENAPI} is new; the types need npm: npm run --prefix web types")
    subprocess.run([npm, "run", "--silent", "types"], cwd=WEB, check=True)  # noqa: S603  our own script


if __name__ == "__main__":
    main()
