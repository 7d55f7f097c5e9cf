"""``nsm.write_zeek``: the Zeek logs of a capture."""

from __future__ import annotations

import os
from pathlib import Path

from nsm.capture.source import shown
from nsm.errors import SinkError
from nsm.output.zeek import ZeekLogs
from nsm.run.engine import Engine, engine_sections
from nsm.run.reading import CaptureFile, Reading
from nsm.settings.read_settings import read_settings


def write_zeek(source: CaptureFile, directory: str | os.PathLike[str], *, ignore_checksums: bool = False) -> None:
    """Write Zeek's logs of a capture, one ``<log>.log`` each in ``directory`` (made when missing), in Zeek's TSV form.

    Args:
        source: as ``nsm.read``.
        directory: files there of the same names are replaced.
        ignore_checksums: Zeek's -C; without it packets with wrong checksums are not analysed.

    Raises:
        CaptureError: as ``nsm.read``, after what was readable was written.
        SinkError: the directory cannot be made or written.
    """
    settings = {"profile": "zeek", "checksum_validation": not ignore_checksums}
    reading = Reading(source, Engine.of(read_settings(settings, engine_sections())))
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        logs = ZeekLogs(folder)
        try:
            for result in reading.results():
                logs.take(result.records.flows, result.records.said)
        finally:
            logs.close()
    except OSError as error:
        raise SinkError(f"cannot write {shown(folder)}: {(error.strerror or str(error)).lower()}") from error
