"""What every process of the service begins with: its task from standard input, its log, an orderly end.

A task is a plain dictionary, so that nothing secret stands on a command line.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from nsm.run.logs import console, log_file

log = logging.getLogger(__name__)


def begin(name: str) -> dict[str, Any]:
    """The task of this process; logs are set up, Ctrl-C is the supervisor's affair."""
    task: dict[str, Any] = msgspec.msgpack.decode(sys.stdin.buffer.read())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    console(task.get("log_level", logging.WARNING))
    if task.get("data"):
        log_file(Path(task["data"]))
    sys.excepthook = lambda kind, fault, trace: log.critical("fault process=%s", name, exc_info=(kind, fault, trace))
    log.info("started process=%s pid=%d", name, os.getpid())
    return task


def on_end(stop: Callable[[], None]) -> None:
    """Call ``stop`` when the process is asked to end."""
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop())
