"""A reading that is looked at while it goes on: for the summary, the progress line and Ctrl-C of ``nsm read``."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Final

from nsm.capture.filtered import filtered
from nsm.capture.reading import open_capture
from nsm.capture.source import Source, SourceCounters
from nsm.model.batch import PacketBatch
from nsm.model.records import Records
from nsm.pipeline import Result
from nsm.run.engine import Engine
from nsm.run.reading import CaptureFile, Reading
from nsm.track.worker import run_worker

COLLECT_EVERY: Final = 64  # results, some million packets, between two searches for cyclic garbage


class WatchedReading(Reading):
    """``seen`` gets each result, ``step`` each batch that was used up; when ``stopped`` says so, reading ends tidily.

    With several workers there are no steps, and a stop takes effect between results.
    """

    def __init__(
        self,
        source: CaptureFile,
        engine: Engine,
        seen: Callable[[Result], None],
        step: Callable[[PacketBatch], None],
        stopped: Callable[[], bool],
    ) -> None:
        super().__init__(source, engine)
        self._seen, self._step, self._stopped = seen, step, stopped

    def results(self) -> Iterator[Result]:
        """As of Reading. The cyclic collector is expected to be off; it is asked now and then."""
        for number, result in enumerate(super().results(), 1):
            self._seen(result)
            if number % COLLECT_EVERY == 0:
                gc.collect()
            yield result
            if self.engine.read.workers > 1 and self._stopped():
                return

    def _one(self) -> Iterator[Records]:
        settings = self.engine.worker_settings()
        source = filtered(open_capture(self._source, settings.batch_packets), self.engine.read.bpf)
        return run_worker(_Watched(source, self._step, self._stopped), settings)


class _Watched:
    """A source that tells of its batches, and ends early when it is told to."""

    def __init__(self, source: Source, step: Callable[[PacketBatch], None], stopped: Callable[[], bool]) -> None:
        self._source, self._step, self._stopped = source, step, stopped

    @property
    def interfaces(self) -> tuple[str, ...]:
        """As of the source."""
        return self._source.interfaces

    def batches(self) -> Iterator[PacketBatch]:
        """The source's batches."""
        for batch in self._source.batches():
            yield batch
            self._step(batch)
            if self._stopped():
                return

    def counters(self) -> SourceCounters:
        """As of the source."""
        return self._source.counters()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
