"""Records: what a worker hands on, tick by tick."""

from __future__ import annotations

from typing import Final

import msgspec

from nsm.kernels.constants import TICK_NS
from nsm.model.flow import FLOW
from nsm.model.record import RECORD
from nsm.model.table import Rows
from nsm.model.traffic import ANOMALY, ARP, SECOND, TARGET

TICK_US: Final = TICK_NS // 1000
# Columns that order rows and are no part of the tables.
TICK: Final = "tick"
FIRST_NS: Final = "first_ns"


class Records(msgspec.Struct, frozen=True):
    """What a worker hands on: rows of complete ticks, each table in canonical order with the extra column ``tick``.

    ``watermark`` is the last complete tick: nothing earlier follows.
    """

    watermark: int
    flows: Rows
    targets: Rows
    arps: Rows
    anomalies: Rows
    seconds: Rows
    said: Rows = msgspec.field(default_factory=lambda: Rows.empty(RECORD))

    @property
    def tables(self) -> tuple[Rows, ...]:
        """All of them."""
        return self.flows, self.targets, self.arps, self.anomalies, self.seconds, self.said

    def __len__(self) -> int:
        return sum(map(len, self.tables))


def empty_records(watermark: int) -> Records:
    """Nothing happened up to that tick."""
    return Records(
        watermark, Rows.empty(FLOW), Rows.empty(TARGET), Rows.empty(ARP), Rows.empty(ANOMALY), Rows.empty(SECOND)
    )
