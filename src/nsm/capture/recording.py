"""Packets from a source to capture files, until one of several limits: ``nsm capture`` and the job "record" share it."""

from __future__ import annotations

import time
from collections.abc import Callable

from nsm.capture.source import Source
from nsm.capture.writing import CaptureWriter
from nsm.errors import CaptureError


def record(
    source: Source, writer: CaptureWriter, stopped: Callable[[], bool], step: Callable[[float], None], seconds: float = 0.0
) -> CaptureError | None:  # fmt: skip
    """What broke the source, None when it ended, a limit was reached or ``stopped``; SinkError when writing fails.

    ``step`` is called after each batch with the seconds since the start; ``seconds`` of the wall's clock: 0 no limit.
    """
    began = time.monotonic()
    try:
        for batch in source.batches():
            writer.write(batch)
            lasted = time.monotonic() - began
            if writer.full or stopped() or (seconds and lasted >= seconds):
                break
            step(lasted)
    except CaptureError as error:
        return error
    return None
