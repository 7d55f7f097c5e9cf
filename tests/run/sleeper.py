"""A job's process for tests: does what its task says."""

from __future__ import annotations

import os
import threading
from typing import Any

from nsm.errors import ScanError
from nsm.run.work import Done, Teller, run_job

STOPPED = threading.Event()


def work(task: dict[str, Any], tell: Teller) -> Done:
    wanted = task["task"]
    if wanted.get("die"):
        os._exit(7)
    if wanted.get("refuse"):
        raise ScanError("not allowed", mend="ask first")
    tell.progress({"share": 0.5})
    STOPPED.wait(wanted.get("seconds", 0))
    return ("stopped early" if STOPPED.is_set() else "slept"), {"seconds": wanted.get("seconds", 0)}


if __name__ == "__main__":
    run_job("sleeper", work, STOPPED.set)
