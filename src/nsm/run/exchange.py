"""``security_data.json``: the state in the form of the seed dashboard, for programs that read its exchange file.

    {total_packets, suspicious_count, recent_threats: [log row], packet_history: [{timestamp, src, dst, size, protocol}]}

``packet_history`` holds one entry a flow report, TCP and UDP only, with the local time that the seed writes: one entry a
packet would cost more than all of the analysis.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from nsm.iana import PROTO_TCP, PROTO_UDP
from nsm.model.address import texts
from nsm.model.table import Rows
from nsm.serve.answers import SeedLog
from nsm.serve.shapes import seed_log

log = logging.getLogger(__name__)

NAME: Final = "security_data.json"
INTERVAL_S: Final = 2.0
THREATS_MAX: Final = 20
HISTORY_MAX: Final = 100
PROTOCOLS: Final = {PROTO_TCP: "TCP", PROTO_UDP: "UDP"}


class ExchangeFile:
    """Collects, and rewrites the file in place at most every two seconds, when something changed."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._threats: deque[SeedLog] = deque(maxlen=THREATS_MAX)
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY_MAX)
        self._suspicious = self._packets = 0
        self._changed = True
        self._written = -INTERVAL_S
        self._failing = False

    def flows(self, rows: Rows) -> None:
        """Add flow reports, of which the last hundred are kept."""
        chosen = np.flatnonzero(np.isin(rows["proto"], list(PROTOCOLS)))[-HISTORY_MAX:]
        if not len(chosen):
            return
        part = rows.take(chosen)
        sizes = (part["bytes_s"] + part["bytes_c"]).tolist()
        for src, dst, size, ts, proto in zip(
            texts(part["src_hi"], part["src_lo"]), texts(part["dst_hi"], part["dst_lo"]), sizes, part["ts"].tolist(),
            part["proto"].tolist(), strict=True,
        ):  # fmt: skip
            moment = datetime.fromtimestamp(ts / 1e6, UTC).astimezone()
            self._history.append({
                "timestamp": moment.strftime("%Y-%m-%d %H:%M:%S"), "src": src, "dst": dst, "size": size,
                "protocol": PROTOCOLS[proto],
            })  # fmt: skip
        self._changed = True

    def threat(self, row: Mapping[str, Any]) -> None:
        """Add a new alert, as a row of the event log; informational ones are no threats."""
        if row["severity"] != "info":
            self._suspicious += 1
            self._threats.append(seed_log(row))
            self._changed = True

    def packets(self, total: int) -> None:
        """Packets seen so far."""
        self._changed = self._changed or total != self._packets
        self._packets = total

    def clear(self) -> None:
        """The logs were cleared."""
        self._threats.clear()
        self._history.clear()
        self._suspicious = 0
        self._changed = True

    def content(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "total_packets": self._packets, "suspicious_count": self._suspicious, "recent_threats": list(self._threats),
            "packet_history": list(self._history),
        }  # fmt: skip

    def write(self, now_s: float) -> None:
        """Write when it is time and something changed; a reader sees the old file or the new one, never a part.

        A full disk is said once; the next try is two seconds later.
        """
        if not self._changed or now_s - self._written < INTERVAL_S:
            return
        self._written = now_s
        temporary = self._path.with_name(f".{NAME}.new")
        try:
            with os.fdopen(
                os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
            ) as file:
                file.write(msgspec.json.encode(self.content()))
            temporary.replace(self._path)
        except OSError as error:
            if not self._failing:
                log.warning("cannot write path=%s reason=%s", self._path, error.strerror)
            self._failing = True
            return
        self._changed = self._failing = False
