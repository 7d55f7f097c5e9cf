"""The source for a file name: the one place that knows which kinds of files there are."""

from __future__ import annotations

import os

from nsm.capture.files import PcapFile, no_capture, open_bytes
from nsm.capture.pcapng import PcapngFile
from nsm.capture.source import Source
from nsm.errors import CaptureError
from nsm.model.batch import BATCH_PACKETS, BATCH_PACKETS_MAX
from nsm.model.capture_format import PCAP_MAGICS, PCAPNG_MAGIC


def open_capture(source: str | os.PathLike[str], rows: int = BATCH_PACKETS) -> Source:
    """The packets of a capture file, ``rows`` at a time; CaptureError when it is none.

    ``-`` is standard input. A FIFO is read as it fills.
    """
    reader = open_bytes(source)
    rows = max(1, min(rows, BATCH_PACKETS_MAX))
    try:
        head = reader.peek(16)
        if head[:4] in PCAP_MAGICS:
            return PcapFile(reader, rows)
        if head[:4] == PCAPNG_MAGIC:
            return PcapngFile(reader, rows)
        raise no_capture(reader, head)
    except CaptureError:
        reader.close()
        raise
