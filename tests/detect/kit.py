"""What the tests of detectors share: a case goes the whole way from packets to alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nsm.model.address import Networks, halves
from nsm.model.finding import Alert, Finding, NearMiss
from nsm.model.interfaces import Surroundings
from nsm.model.table import Rows, Table
from nsm.pipeline import HOME_NET
from nsm.run.engine import Engine, engine_sections
from nsm.run.reading import Reading
from nsm.settings.read_settings import read_settings
from tests.data.detect.make import CASES, in_time
from tests.kernels.frames import Timed, pcap

# Small tables: making the large ones takes longer than any of these captures.
SMALL = {"flow": {"records_max": 16_384, "targets_max": 16_384}}
SURROUNDINGS = Surroundings(Networks(HOME_NET))


class Seen(NamedTuple):
    """What came out of a capture."""

    alerts: list[Alert]
    near: list[NearMiss]
    saturated: dict[str, int]

    def of(self, detector: str) -> list[Alert]:
        return [alert for alert in self.alerts if alert.finding.detector == detector]

    @property
    def detectors(self) -> set[str]:
        return {alert.finding.detector for alert in self.alerts}


def analysed(frames: list[Timed], folder: Path, settings: Mapping[str, Any] | None = None) -> Seen:
    """Alerts and near misses of frames."""
    path = folder / "case.pcap"
    path.write_bytes(pcap(frames))
    reading = Reading(path, Engine.of(read_settings({**SMALL, **(settings or {})}, engine_sections())))
    results = list(reading.results())
    return Seen(
        [alert for result in results for alert in result.alerts], [near for result in results for near in result.near_misses],
        reading.analyst.saturated,
    )  # fmt: skip


def case(name: str, folder: Path, settings: Mapping[str, Any] | None = None) -> Seen:
    """Alerts and near misses of a golden case."""
    return analysed(in_time(CASES[name]), folder, settings)


def rows_of(table: Table, rows: list[dict[str, Any]]) -> Rows:
    """Rows from dictionaries; ``src`` and ``dst`` stand for address columns; what is not given is the default."""
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if name in ("src", "dst"):
                hi, lo = halves(value)
                if f"{name}_hi" in table.names:
                    columns.setdefault(f"{name}_hi", []).append(hi)
                columns.setdefault(f"{name}_lo", []).append(lo)
            else:
                columns.setdefault(name, []).append(value)
    arrays = {
        name: np.array(values, object if table.column(name).dtype == "text" else table.column(name).dtype)
        for name, values in columns.items()
    }
    return Rows(table, arrays, len(rows))


def findings(detector: Any, rows: Rows) -> list[Finding]:
    """The findings of rows, near misses left out."""
    return [item for item in detector.observe(rows) if isinstance(item, Finding)]
