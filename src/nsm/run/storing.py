"""What of the analysis goes into a store; and a store for one capture alone, apart from the live history."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from nsm.errors import StoreError
from nsm.model.address import Networks
from nsm.model.finding import Alert, NearMiss
from nsm.model.flow import FLOW, Report
from nsm.model.record import RECORD
from nsm.model.records import TICK_US, Records
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, SECOND
from nsm.pipeline import Result
from nsm.run.hosts import HostsTold
from nsm.store.records import BatchId, HostSeen, StoredBatch
from nsm.store.settings import StoreSettings
from nsm.store.writer import Writer

ROWS_TOGETHER: Final = 100_000  # of one batch: a batch is a file for each table
FLOWS_MAX: Final = 2_000_000  # ours: about 100 MB of Parquet, and a report in some seconds
NEAR_MISSES_MAX: Final = 10_000  # of one batch
STORED: Final = (FLOW, SECOND, ANOMALY, RECORD)


def stored_tables(records: Records) -> list[Rows]:
    """The rows that the store keeps: flows that ended, what was said, seconds, and anomalies not of ours."""
    tables = []
    flows = records.flows.take(records.flows["report"] == Report.ENDED) if len(records.flows) else records.flows
    if len(flows):
        tables.append(flows)
    if len(records.seconds):
        tables.append(records.seconds)
    if len(records.anomalies):
        ours = np.array([name.startswith("nsm.") for name in records.anomalies["event"].tolist()], np.bool_)
        kept = records.anomalies.take(~ours)
        if len(kept):
            tables.append(kept)
    if len(records.said):
        tables.append(records.said)
    return tables


class CaptureStore:
    """A store in a folder of its own, filled from the results of one capture; nothing in it ages."""

    def __init__(self, folder: Path, home: tuple[str, ...]) -> None:
        folder.mkdir(mode=0o700)
        settings = StoreSettings(home_net=home, ballast_bytes=0, free_min_bytes=0, free_early_bytes=0)
        self._writer = Writer(folder, settings, background=False)
        self._hosts = HostsTold(Networks(home))
        self._tables: dict[str, list[Rows]] = {}
        self._alerts: dict[str, Alert] = {}
        self._near: list[NearMiss] = []
        self._seen: list[HostSeen] = []
        self._rows = self._number = self._watermark = 0
        self.flows = 0
        self.too_many = False

    def add(self, result: Result) -> None:
        """Take what happened in a stretch of time; nothing more once there are too many flows."""
        if self.too_many:
            return
        records = result.records
        for rows in stored_tables(records):
            self._tables.setdefault(rows.table.name, []).append(rows)
            self._rows += len(rows)
            self.flows += len(rows) if rows.table is FLOW else 0
        self._alerts |= {alert.id: alert for alert in result.alerts}
        self._near += result.near_misses[: NEAR_MISSES_MAX - len(self._near)]
        self._seen += [HostSeen(**host) for host in self._hosts.of(records.flows)]
        self._watermark = max(self._watermark, min(records.watermark, 1 << 40) * TICK_US)
        self.too_many = self.flows > FLOWS_MAX
        if self._rows >= ROWS_TOGETHER:
            self._store()

    def finish(self) -> None:
        """Store the rest, and let others read. May be called twice."""
        self._store()
        self._writer.close()

    def _store(self) -> None:
        if not (self._rows or self._alerts or self._seen):
            return
        self._number += 1
        kinds = {table.name: table for table in STORED}
        batch = StoredBatch(
            batch_id=BatchId("capture", "0", self._number),
            tables=tuple(Rows.concat(kinds[name], parts) for name, parts in self._tables.items()),
            alerts=tuple(self._alerts.values()), near_misses=tuple(self._near), hosts=tuple(self._seen),
            watermark=self._watermark,
        )  # fmt: skip
        self._tables, self._alerts, self._near, self._seen, self._rows = {}, {}, [], [], 0
        if not all(self._writer.store([batch])):
            raise StoreError(
                "the capture's own store is full", where=msgspec.json.encode(self._writer.health()).decode()
            )
