"""The document of the routes (web/src/api/openapi.json), and the page's types made from it (web/src/api/schema.d.ts)."""

from __future__ import annotations

import json
import os
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
    path = os.pathsep.join(
        (os.environ.get("PATH", ""), str(WEB.parent / ".venv" / "node" / "bin"))
    )  # as scripts/setup.py
    npm = shutil.which("npm", path=path)
    if npm is None or not (WEB / "node_modules").is_dir():
        raise SystemExit(f"{OPENAPI} is new; the types need what the page is built with: make page, then make docs")
    environment = {**os.environ, "PATH": path}
    subprocess.run([npm, "run", "--silent", "types"], cwd=WEB, check=True, env=environment)  # noqa: S603  our own script


if __name__ == "__main__":
    main()
