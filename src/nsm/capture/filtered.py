"""A source behind a capture filter, applied by a kernel: what the Linux kernel does for live interfaces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nsm.capture.bpf import compile_filter
from nsm.capture.source import Source, SourceCounters
from nsm.errors import CaptureError
from nsm.kernels.bpf import select
from nsm.kernels.constants import LINK_ETHERNET
from nsm.model.batch import PacketBatch
from nsm.model.table import Array


class FilteredSource:
    """A source of which only the packets pass that a filter accepts; numbers count those."""

    def __init__(self, source: Source, expression: str) -> None:
        self._source, self._expression = source, expression
        self._programs: dict[int, Array] = {LINK_ETHERNET: compile_filter(expression)}
        self._memory = np.zeros(16, np.int64)
        self._passed = 0

    @property
    def interfaces(self) -> tuple[str, ...]:
        """As of the source."""
        return self._source.interfaces

    def batches(self) -> Iterator[PacketBatch]:
        """Batches with the packets that pass."""
        for batch in self._source.batches():
            kept = 0
            start = 0
            links = batch.links[: batch.count]
            # Runs of one link type: a pcapng may mix them, and a program is made for one.
            changes = np.flatnonzero(links[1:] != links[:-1]) + 1
            for stop in [*changes.tolist(), batch.count]:
                link = int(links[start]) if batch.count else LINK_ETHERNET
                if link not in self._programs:
                    self._programs[link] = compile_filter(self._expression, link)
                program = self._programs[link].reshape(-1)
                kept = int(select(program, self._memory, batch.data, *batch.columns, start, stop, kept))
                start = stop
            batch.count, batch.first_number = kept, self._passed + 1
            self._passed += kept
            yield batch

    def counters(self) -> SourceCounters:
        """Counters of the source; packets are those that passed."""
        below = self._source.counters()
        return SourceCounters(packets=self._passed, drops=below.drops, freezes=below.freezes, cut=below.cut)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def filtered(source: Source, expression: str) -> Source:
    """The source itself when there is no filter; closed again when the filter is wrong."""
    if not expression:
        return source
    try:
        return FilteredSource(source, expression)
    except CaptureError:
        source.close()
        raise
