"""One setting changed in the text of a TOML file; comments and order stay."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from nsm.errors import SettingsError
from nsm.settings.document import toml_value
from nsm.settings.places import make_private, owner

_TABLE = re.compile(r"^\s*\[\s*([\w.-]+)\s*\]\s*(?:#.*)?$")


def with_value(text: str, section: str, name: str, value: Any) -> str:
    """The text with ``name = value`` in the table ``section``.

    The line that sets it is replaced; else the commented line of the example; else it is added to the table, and
    the table at the end when there is none. A value that spans lines is not understood: SettingsError.
    """
    # Not splitlines: in TOML a line ends at a line feed alone, and a text may have other separators of lines in it.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    line = f"{name} = {toml_value(value)}"
    start, end = _table(lines, section)
    if start is None:
        return "\n".join([*lines, *([""] if lines else []), f"[{section}]", line]) + "\n"
    for pattern in (rf"^\s*{re.escape(name)}\s*=\s*(.*)$", rf"^\s*#\s*{re.escape(name)}\s*=\s*(.*)$"):
        for index in range(start + 1, end):
            if found := re.match(pattern, lines[index]):
                if found[1].count("[") != found[1].count("]") or '"""' in found[1] or "'''" in found[1]:
                    where = f"line {index + 1}"
                    raise SettingsError(f"{section}.{name} spans several lines", where=where, mend="use an editor")
                lines[index] = line
                return "\n".join(lines) + "\n"
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    return "\n".join([*lines[:end], line, *lines[end:]]) + "\n"


def _table(lines: list[str], section: str) -> tuple[int | None, int]:
    """First line of the table and the line after its last; (None, 0) when there is none."""
    start = None
    for index, line in enumerate(lines):
        if line.lstrip().startswith("["):
            if start is not None:
                return start, index
            found = _TABLE.match(line)
            if found and found[1] == section:
                start = index
    return (start, len(lines)) if start is not None else (None, 0)


def write(path: Path, text: str) -> None:
    """Replace the file by ``text`` in one step, mode 0600, owned by the calling user; else SettingsError."""
    user = owner()
    make_private(path.parent)
    new = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            os.fsync(file.fileno())
        if path.exists():  # a file that an administrator shares stays shared
            new.chmod(path.stat().st_mode & 0o777)
        if os.geteuid() == 0:
            os.chown(new, user.uid, user.gid)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise SettingsError(f"cannot write {path}: {error.strerror}", where=f"file {path}") from error
