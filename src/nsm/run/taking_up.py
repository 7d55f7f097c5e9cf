"""What an analyst that starts goes on from: the alerts of the last day, and for how long was watched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from nsm.errors import NsmError
from nsm.model.finding import Alert
from nsm.store.database import open_database
from nsm.store.findings import alerts_since
from nsm.store.registry import seconds_since

DAY_US: Final = 86_400_000_000


class Before(NamedTuple):
    """Alerts last seen in the last day, the oldest first, with what people did with them; seconds watched in it."""

    alerts: list[Alert]
    watched_s: float


def before(data: Path, now_us: int) -> Before:
    """What the store says; nothing where there is no store yet, or it cannot be read."""
    try:
        with closing(open_database(data, create=False)) as connection:
            return Before(alerts_since(connection, now_us - DAY_US), float(seconds_since(connection, now_us - DAY_US)))
    except (sqlite3.Error, NsmError):
        return Before([], 0.0)
