"""The data's way in one process: batches -> worker -> merger -> detectors -> alerts. Live and file runs share it.

This is the only file that knows all the stations. What comes out is a ``Result`` for each stretch of packet time;
sinks (EVE, Zeek, the store, the live page) take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from nsm.alert.desk import AlertDesk, AlertSettings
from nsm.bounded.tables import LruDict
from nsm.model.address import Networks
from nsm.model.discovery import specs
from nsm.model.finding import Alert, Finding, NearMiss
from nsm.model.interfaces import Detector, DetectorSpec, Surroundings
from nsm.model.records import TICK_US, Records
from nsm.model.table import Rows
from nsm.track.merge import Merger

# RFC 1918, RFC 4193, RFC 4291, RFC 3927.
HOME_NET: Final = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10")
ALERTED_MAX: Final = 65_536


class Result(msgspec.Struct, frozen=True):
    """What happened up to ``records.watermark``: rows, the alerts new or changed, and near misses."""

    records: Records
    alerts: tuple[Alert, ...]
    near_misses: tuple[NearMiss, ...]


def detector_specs() -> dict[str, DetectorSpec]:
    """All detectors, by name."""
    return specs("nsm.detect", "nsm.detectors")


class Analyst:
    """Detectors that look across flows, and the alert desk. Rows come merged, in canonical order."""

    def __init__(
        self,
        detectors: Mapping[str, tuple[DetectorSpec, Any]],
        home: Networks,
        alerts: AlertSettings,
        settings_hash: str,
    ) -> None:
        surroundings = Surroundings(home)
        self._detectors: list[tuple[str, str, Detector]] = [
            (name, spec.wants.name, spec.detector(settings, surroundings))
            for name, (spec, settings) in detectors.items()
        ]
        self._desk = AlertDesk(alerts, settings_hash)
        self.unseen: Callable[[Rows], Rows] = lambda rows: rows
        """What detectors are not to see is taken out by this: the packets of one's own scans."""
        self._alerted: LruDict[int, list[int]] = LruDict(ALERTED_MAX, list)

    @property
    def saturated(self) -> dict[str, int]:
        """How often each detector's bounds were reached."""
        return {name: detector.saturated for name, _, detector in self._detectors}

    def take(self, records: Records) -> Result:
        """Judge a stretch of time."""
        tables = {rows.table.name: rows for rows in records.tables}
        findings: list[Finding] = []
        near: list[NearMiss] = []
        for _, wants, detector in self._detectors:
            rows = self.unseen(tables[wants])
            if len(rows):
                for item in detector.observe(rows):
                    (findings if isinstance(item, Finding) else near).append(item)  # type: ignore[arg-type]
        alerts = self.judge(findings)
        self.mark(records.flows)
        return Result(records, alerts, tuple(near))

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Go on with alerts that an earlier process left open."""
        for alert in alerts:
            self._desk.adopt(alert)

    def judge(self, findings: list[Finding]) -> tuple[Alert, ...]:
        """The alerts of findings, whoever states them, in an order that does not depend on who came first."""
        findings.sort(key=lambda finding: (-(-finding.ts // TICK_US), finding.ts, finding.detector, finding.key))
        alerts = tuple(self._desk.take(findings))
        for alert in alerts:
            for flow_id in alert.finding.flow_ids:
                self._alerted[flow_id].append(-(-alert.finding.ts // TICK_US))
        return alerts

    def mark(self, flows: Rows) -> None:
        """Set ``alerted`` of flows that an alert of the same or an earlier tick named."""
        if not len(self._alerted) or not len(flows):
            return
        named = np.flatnonzero(np.isin(flows["flow_id"], np.fromiter(self._alerted, np.uint64)))
        if len(named):
            alerted = flows["alerted"]
            for place in named.tolist():
                ticks = self._alerted.get(int(flows["flow_id"][place])) or [0]
                alerted[place] = int(ticks[0] <= int(flows["tick"][place]))
            flows["alerted"] = alerted


def analysed(parts: Iterable[tuple[int, Records]], workers: int, analyst: Analyst) -> Iterator[Result]:
    """Results of the records (worker, records) of all workers, merged."""
    merger = Merger(workers)
    for worker, records in parts:
        merger.add(worker, records)
        ready = merger.ready()
        if ready is not None:
            yield analyst.take(ready)
