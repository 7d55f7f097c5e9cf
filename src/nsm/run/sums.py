"""A sample of checksums: few packets a second, looked at beside the hot path, which does not check them.

Packets that this machine sends often have no checksum yet when a capture sees them: the network card computes it. The
kernel marks them, so that they are not mistaken for damaged ones.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nsm.capture.afpacket import RingSource
from nsm.decode.rows import Decoder
from nsm.decode.settings import DecodeSettings
from nsm.kernels.layers import IP_CHECKSUM, L4_CHECKSUM
from nsm.model.batch import PacketBatch

FRAMES: Final = 8  # of one look
WRONG: Final = IP_CHECKSUM | L4_CHECKSUM


class SumSample:
    """Counts: packets looked at, of them not computed yet, of them wrong."""

    def __init__(self, source: RingSource, settings: DecodeSettings) -> None:
        self._source = source
        self._batch = PacketBatch(source.data, FRAMES)
        self._decoder = Decoder(settings, FRAMES, 0, checksums=True)
        self._decoder.decode(self._batch, 0)  # of nothing: what has to be loaded is loaded before packets come
        self.judged = self.unfinished = self.bad = 0

    def look(self) -> None:
        """Look at some packets of the block in hand."""
        unfinished = np.array(self._source.sample(self._batch), np.bool_)
        first = 0
        while first < self._batch.count:  # tunnels may need more than one turn
            after = self._decoder.decode(self._batch, first)
            rows = self._decoder.rows
            packets = np.unique(rows.pkt[: rows.count])
            wrong = np.unique(rows.pkt[: rows.count][(rows.bads[: rows.count] & WRONG) != 0])
            later = unfinished[wrong]
            self.judged += len(packets)
            self.unfinished += int(later.sum())
            self.bad += int((~later).sum())
            first = max(after, first + 1)
