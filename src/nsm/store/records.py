"""What goes into the store besides the record types of ``model``, and what it says of itself."""

from __future__ import annotations

import msgspec

from nsm.model.finding import Alert, NearMiss
from nsm.model.table import Rows


class BatchId(msgspec.Struct, frozen=True, order=True):
    """Names a batch for ever: the same one sent again is stored once. ``seq`` rises by one within a ``boot_id``."""

    sensor: str
    boot_id: str
    seq: int


class HostSeen(msgspec.Struct, frozen=True):
    """A device of the network was seen; times in us UTC. Empty ``mac`` and ``name`` keep what is known."""

    address: str
    first_seen: int
    last_seen: int
    mac: str = ""
    name: str = ""
    local: bool = True


class Capsule(msgspec.Struct, frozen=True):
    """The packets behind one alert: ``pcapng`` bytes, at most ``StoreSettings.capsule_bytes_max``."""

    alert_id: str
    ts: int
    pcapng: bytes


class Gap(msgspec.Struct, frozen=True):
    """A time in which nobody watched, or not everything was seen."""

    start_us: int
    stop_us: int
    process: str
    what: str
    packets: int = 0


class StoredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored or refused as one. ``watermark``: packet time (us) up to which the sender is complete."""

    batch_id: BatchId
    tables: tuple[Rows, ...] = ()
    alerts: tuple[Alert, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    hosts: tuple[HostSeen, ...] = ()
    watermark: int = 0
    payloads: tuple[Capsule, ...] = ()
    gaps: tuple[Gap, ...] = ()


class Health(msgspec.Struct, frozen=True):
    """How the writer is. ``state``: ok, early (old data leave before their age), full (bulk rows are refused)."""

    state: str
    reason: str
    free_bytes: int
    bulk_bytes: int
    open_files: int
    batches_stored: int
    batches_known: int
    batches_refused: int
    rows_stored: int
    rows_refused: int
    capsules_dropped: int
    near_misses_dropped: int
    segments_made: int
    files_damaged: int
    errors: int
    bytes_dropped: int = 0


class ClearCounts(msgspec.Struct, frozen=True):
    """What clearing the logs removes, or would remove; times in us UTC, 0 when there is nothing."""

    rows: int
    alerts: int
    alerts_kept: int
    start_us: int
    stop_us: int
