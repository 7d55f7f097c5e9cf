"""How an error reaches a person: three lines on stderr, an exit code, and a traceback in a file, never on the screen.

The form: ``nsm: what failed``, then, indented, ``where: ...`` and ``mend:  ...``.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from typing import Final, TextIO

import click

from nsm.errors import (
    AccountError,
    AuthError,
    CaptureError,
    CapturePermissionError,
    DeliveryError,
    NsmError,
    QueryError,
    RuleError,
    ScanError,
    ScanPermissionError,
    ServiceError,
    SettingsError,
    SinkError,
    StoreError,
)

# Exit codes; `nsm help exit-codes` shows them.
OK: Final = 0
FINDINGS: Final = 1
USAGE: Final = 2
INPUT: Final = 3
PERMISSION: Final = 4
SERVICE: Final = 5
PARTIAL: Final = 6
INTERNAL: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it

EXIT_CODES: Final = (
    (OK, "ok; also when the reader of the output went away"),
    (FINDINGS, "findings at or above --fail-on"),
    (USAGE, "wrong usage, setting, rule or filter"),
    (INPUT, "input not readable or not a capture; a store or file that cannot be used"),
    (PERMISSION, "permission or log-in refused"),
    (SERVICE, "the service is not reachable or failed; a message could not be delivered"),
    (PARTIAL, "partial result: damaged file, time-out, drops; the count is said"),
    (INTERNAL, "a fault of the program; the traceback is in the file that is named"),
    (INTERRUPTED, "interrupted"),
)

# The nearest class in the order of inheritance decides.
_CODES: Final[dict[type[BaseException], int]] = {
    SettingsError: USAGE,
    RuleError: USAGE,
    QueryError: USAGE,
    ScanError: USAGE,
    ScanPermissionError: PERMISSION,
    CaptureError: INPUT,
    CapturePermissionError: PERMISSION,
    StoreError: INPUT,
    SinkError: INPUT,
    AccountError: USAGE,
    AuthError: PERMISSION,
    ServiceError: SERVICE,
    DeliveryError: SERVICE,
    click.FileError: INPUT,
    click.ClickException: USAGE,
}


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends the process with."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return INTERNAL


def show(message: str, where: str = "", mend: str = "", to: TextIO | None = None) -> None:
    """Print the one to three lines of an error; control characters of the message are escaped."""
    from nsm.cli.output import display_safe

    lines = [f"nsm: {display_safe(message)}"]
    if where:
        lines.append(f"  where: {display_safe(where)}")
    if mend:
        lines.append(f"  mend:  {display_safe(mend)}")
    click.echo("\n".join(lines), file=to or sys.stderr)


def show_error(error: Exception) -> None:
    """Print an error of ours or of click."""
    if isinstance(error, NsmError):
        show(str(error), error.where, error.mend)
    elif isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "nsm"
        message = error.format_message().rstrip(".")
        show(message[:1].lower() + message[1:], path, getattr(error, "mend", f"{path} --help"))
    elif isinstance(error, click.ClickException):
        show(error.format_message())
    else:
        show(f"{type(error).__name__}: {error}")


def show_fault(error: Exception, data: Path) -> None:
    """Write the traceback of an unexpected error to a file in ``data`` and print its path."""
    text = "".join(traceback.format_exception(error))
    path = data / f"traceback-{time.strftime('%Y%m%d-%H%M%S')}.txt"
    try:
        from nsm.settings.places import make_private

        make_private(data)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except (OSError, NsmError):
        show(f"internal error: {type(error).__name__}: {error}", mend="nsm --debug ...   shows the traceback")
        return
    show(f"internal error: {type(error).__name__}: {error}", f"traceback in {path}", "please report it with that file")
