"""EVE events of a live run to a file, when one is wanted. A disk that is full stops the file, not the analysis."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from nsm.errors import SinkError
from nsm.model.finding import Alert
from nsm.model.records import Records
from nsm.output.eve import EveOptions, EveWriter, in_order
from nsm.output.eve_file import EveFile, EveFileSettings
from nsm.run.outages import Outages

log = logging.getLogger(__name__)

PART = "eve_file"


class EveLog:
    """Writes nothing when the settings name no file; what cannot be written is an outage."""

    def __init__(self, settings: EveFileSettings, options: EveOptions, outages: Outages) -> None:
        self._file = EveFile(settings) if settings.path else None
        self._writer = EveWriter(options)
        self._outages = outages

    def write(self, alerts: Sequence[Alert], records: Records) -> None:
        """The events of a stretch of time, in order."""
        if self._file is None:
            return
        lines = [self._writer.alert(alert) for alert in alerts]
        flows = list(self._writer.flows(records.flows))
        said = list(self._writer.records(records.said))
        events = in_order(said, flows, list(self._writer.anomalies(records.anomalies)), lines)
        try:
            self._file.write(events)
        except SinkError as error:
            self._outages.goes_on(PART, f"Events are not written: {error}")
        else:
            self._outages.over(PART, "Events were not written to the file")

    def close(self) -> None:
        """Make what was written durable."""
        if self._file is not None:
            try:
                self._file.close()
            except SinkError as error:
                log.warning("eve_file reason=%s", error)
