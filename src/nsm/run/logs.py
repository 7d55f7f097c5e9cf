"""The log: text on a terminal, JSON lines elsewhere, and a rotating ``nsm.log`` in the data directory.

The only place that adds handlers. Messages are ``key=value`` words; values of settings that are secrets are
never logged, and ``Redactor`` takes out what looks like one all the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

from nsm.errors import SettingsError
from nsm.settings.places import make_private, owner

LOG_BYTES_MAX: Final = 10 * 1024 * 1024  # ours: weeks of an ordinary run; with the old ones 40 MB at most
LOG_FILES_MAX: Final = 3  # old files kept beside the current one
LINE_CHARACTERS_MAX: Final = 4_000  # ours: longer than any line of ours; a text from outside may be longer

_NAMES: Final = ("console", "file")  # of our handlers; a test or a notebook may have added its own

_SECRET: Final = re.compile(
    r"(?i)\b((?:[\w-]*(?:password|passwd|secret|token|api[_-]?key|authorization|cookie))\s*[=:]\s*)"
    r"((?:bearer |basic )?\"[^\"]*\"|(?:bearer |basic )?\S+)"
)
# Line ends and escape sequences in a logged name would forge lines and colours.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text on one line, without secrets and control characters, at most LINE_CHARACTERS_MAX long."""
    text = _SECRET.sub(r"\1***", text[: LINE_CHARACTERS_MAX + 1])
    text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    return text if len(text) <= LINE_CHARACTERS_MAX else text[: LINE_CHARACTERS_MAX - 1] + "…"


class TextFormatter(logging.Formatter):
    """``12:00:01 WARNING capture: dropped packets=12 iface=eth0``; local time."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{at} {record.levelname} {_place(record)}: {clean(record.getMessage())}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``ts`` (UTC), ``level``, ``part``, ``message``, ``pid`` and at a fault ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        seconds, fraction = divmod(record.created, 1)
        line = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(fraction * 1000):03d}Z",
            "level": record.levelname.lower(),
            "part": _place(record),
            "pid": record.process,
            "message": clean(record.getMessage()),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _place(record: logging.LogRecord) -> str:
    return record.name.removeprefix("nsm.")


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is when the line comes: somebody may have turned it elsewhere since."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # read only, that is the point
        return sys.stderr


def _install(handler: logging.Handler, level: int) -> logging.Handler:
    """Add ``handler`` to the program's logger in place of the one of the same name."""
    root = logging.getLogger("nsm")
    for old in [old for old in root.handlers if old.name == handler.name]:
        root.removeHandler(old)
        old.close()
    handler.setLevel(level)
    root.addHandler(handler)
    root.setLevel(min(other.level for other in root.handlers if other.name in _NAMES))
    root.propagate = False
    return handler


def console(level: int = logging.WARNING, stream: TextIO | None = None) -> logging.Handler:
    """Log to stderr (or ``stream``): text on a terminal, JSON lines elsewhere. Returns the handler."""
    handler = _Stderr() if stream is None else logging.StreamHandler(stream)
    handler.name = "console"
    handler.setFormatter(TextFormatter() if handler.stream.isatty() else JsonFormatter())
    return _install(handler, level)


def log_file(directory: Path, level: int = logging.INFO) -> logging.Handler:
    """Log to ``nsm.log`` in ``directory``, rotated by size; SettingsError when it cannot be written."""
    from logging.handlers import RotatingFileHandler  # brings sockets and pickle, which few commands need

    class PrivateFile(RotatingFileHandler):
        """Each new file is for its owner alone."""

        def _open(self) -> TextIOWrapper:
            stream = super()._open()
            os.fchmod(stream.fileno(), 0o600)
            if os.geteuid() == 0:  # under sudo the calling user writes on, once privileges are dropped
                user = owner()
                os.fchown(stream.fileno(), user.uid, user.gid)
            return stream

    path = make_private(directory) / "nsm.log"
    try:
        handler = PrivateFile(
            path, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_MAX, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise SettingsError(
            f"cannot write {path}: {error.strerror}", where="log file", mend="name another directory with --data"
        ) from error
    handler.name = "file"
    handler.setFormatter(JsonFormatter())
    return _install(handler, level)
