"""The one that writes. A batch acknowledged is a batch kept, once, through ``kill -9``.

A batch's rows become files in ``spool/`` (written, fsynced, renamed, folder fsynced); then one SQLite transaction
registers the files, notes the batch's number and adds sums, alerts and all else that came with it. Until
the commit nothing of it exists for a reader; files of a batch that got no further are removed at the next start.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from nsm.errors import StoreError
from nsm.model.address import Networks
from nsm.model.table import Rows
from nsm.store import batches as known_batches
from nsm.store import findings, registry, retention
from nsm.store.capsules import CapsuleWriter
from nsm.store.catalog import BULK, stored_batch
from nsm.store.compactor import Compactor
from nsm.store.database import open_database, transaction
from nsm.store.files import encode_batch, write_durably
from nsm.store.folders import sync_folder
from nsm.store.records import BatchId, Gap, Health, StoredBatch
from nsm.store.registry import Segment
from nsm.store.rollup import Caps, add_rollups
from nsm.store.settings import StoreSettings
from nsm.store.space import Space

log = logging.getLogger(__name__)
LOCK: Final = "writer.lock"
ROUND_S: Final = 2.0  # between looks of the compactor
RETENTION_EVERY: Final = 15  # rounds
NICE: Final = 10  # of the compactor's thread: capture and analysis come first
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Writer:
    """Writes one store; a second one on the same folder is a StoreError that names the first one's process.

    ``background``: compaction and retention run in a thread; without it the caller calls ``maintain``.
    ``clock`` gives seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        *,
        clock: Callable[[], float] = time.time,
        background: bool = True,
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._connection = open_database(directory)
        self._held = _hold(directory / LOCK)
        self._lock = threading.RLock()
        self._home = Networks(settings.home_net)
        self._caps = Caps(settings.keys_minute_max, settings.keys_hour_max)
        self._space = Space(directory, settings)
        self._capsules = CapsuleWriter(directory, settings.capsule_bytes_max, settings.capsules_per_second_max)
        self._count = dict.fromkeys(
            ("stored", "known", "refused", "rows", "rows_refused", "near_misses", "errors", "bytes_dropped"), 0
        )
        with transaction(self._connection):
            orphans, missing = registry.put_in_order(self._connection, directory)
        log.info("store opened directory=%s orphans_removed=%d files_missing=%d", directory, orphans, missing)
        self._compactor = Compactor(open_database(directory), directory, settings, self._lock, clock)
        self._maintenance = open_database(directory)
        self._closed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._background, name="store-compactor", daemon=True)
        if background:
            self._thread.start()

    def store(self, batches: Sequence[StoredBatch]) -> tuple[bool, ...]:
        """For each batch whether it is kept; returns after the commit. All new ones share one transaction.

        False: the disk is full or failed; its alerts are kept where that was possible, and the sender sends it
        again later. A batch that is known already is True, and no file is touched.
        """
        with self._lock:
            return self._store(batches)

    def set_interfaces(self, names: Mapping[int, str]) -> None:
        """Keep the names of interfaces; numbers are what rows have."""
        with self._lock, transaction(self._connection):
            rows = [(number, name, self._now()) for number, name in names.items()]
            self._connection.executemany("INSERT OR REPLACE INTO interface VALUES (?,?,?)", rows)

    def note_settings(self, settings_hash: str, values: Mapping[str, Any]) -> None:
        """Keep the settings that alerts are made under; nothing happens when the hash is known."""
        with self._lock, transaction(self._connection):
            row = (settings_hash, self._now(), json.dumps(values, default=str, sort_keys=True))
            self._connection.execute("INSERT OR IGNORE INTO settings_history VALUES (?,?,?)", row)

    def add_gap(self, gap: Gap) -> None:
        """Keep a time without monitoring that no batch tells of."""
        with self._lock, transaction(self._connection):
            findings.add_gaps(self._connection, (gap,))

    def watermark(self, sensor: str) -> int:
        """Packet time (us) up to which the rows of a sensor are complete; 0 when it has none."""
        with self._lock:
            row = self._connection.execute("SELECT ts FROM watermark WHERE sensor=?", (sensor,)).fetchone()
        return int(row[0]) if row else 0

    def maintain(self, *, force: bool = False) -> int:
        """How many segments were made by one round of compaction, retention and removal."""
        made = self._compactor.round(force=force)
        self._retain()
        return made

    def health(self) -> Health:
        """How the writer is, and what it has counted since it was opened."""
        with self._lock:
            waiting, size = self._connection.execute(
                "SELECT count(*) FILTER (WHERE open), coalesce(sum(bytes), 0) FROM segment"
            ).fetchone()
        space, count = self._space, self._count
        return Health(
            space.state, space.reason, space.free_bytes, size, waiting, count["stored"], count["known"],
            count["refused"], count["rows"], count["rows_refused"], self._capsules.dropped, count["near_misses"],
            self._compactor.made, self._compactor.damaged, count["errors"], count["bytes_dropped"],
        )  # fmt: skip

    def close(self) -> None:
        """End the background work and let others write; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._connection.close()
            self._maintenance.close()
            self._compactor.close()
            os.close(self._held)

    def _store(self, batches: Sequence[StoredBatch]) -> tuple[bool, ...]:
        new = {batch.batch_id: batch for batch in batches
               if not known_batches.is_known(self._connection, batch.batch_id)}  # fmt: skip
        self._count["known"] += len(batches) - len(new)
        full = self._space.look() == "full"
        stored: set[BatchId] = set()
        try:
            stored = self._attempt(new.values(), bulk=not full)
        except (OSError, sqlite3.Error, pa.ArrowException) as error:
            self._failed(error)
            if not full:
                stored = self._alerts_at_least(new.values())
        refused = [batch for batch in new.values() if batch.batch_id not in stored]
        self._count["stored"] += len(stored)
        self._count["refused"] += len(refused)
        self._count["rows"] += sum(_rows(batch) for batch in new.values() if batch.batch_id in stored)
        self._count["rows_refused"] += sum(_rows(batch) for batch in refused)
        if self._space.state == "full":
            self._make_room()
        return tuple(batch.batch_id in stored or batch.batch_id not in new for batch in batches)

    def _alerts_at_least(self, new: Any) -> set[BatchId]:
        try:
            return self._attempt(new, bulk=False)
        except (OSError, sqlite3.Error) as error:
            self._failed(error)
            return set()

    def _attempt(self, new: Any, *, bulk: bool) -> set[BatchId]:
        """The ids of the batches that the commit made permanent; without ``bulk`` only those that have no rows."""
        whole = [batch for batch in new if bulk or not _rows(batch)]
        files: list[Segment] = []
        try:
            for batch in whole:
                files.extend(self._write(rows, batch.batch_id) for rows in batch.tables if len(rows))
            for folder in {(self._directory / segment.file).parent for segment in files}:
                sync_folder(folder)
            self._capsules.add(capsule for batch in new for capsule in batch.payloads)
            with transaction(self._connection):
                for segment in files:
                    registry.add(self._connection, segment)
                for batch in new:
                    findings.add_alerts(self._connection, batch.alerts)
                for batch in whole:
                    self._add(batch)
        except BaseException:
            registry.remove_unregistered(self._connection, self._directory, [segment.file for segment in files])
            raise
        return {batch.batch_id for batch in whole}

    def _add(self, batch: StoredBatch) -> None:
        connection = self._connection
        known_batches.remember(connection, batch.batch_id, self._now())
        for rows in batch.tables:
            add_rollups(connection, rows, self._home, self._caps)
        self._count["near_misses"] += findings.add_near_misses(connection, batch.near_misses)
        findings.add_hosts(connection, batch.hosts)
        findings.add_gaps(connection, batch.gaps)
        connection.execute(
            "INSERT INTO watermark VALUES (?,?) ON CONFLICT(sensor) DO UPDATE SET ts=max(ts, excluded.ts)",
            (batch.batch_id.sensor, batch.watermark),
        )

    def _write(self, rows: Rows, batch_id: BatchId) -> Segment:
        table = rows.table
        if table.name not in BULK:
            raise StoreError(f"the store has no table {table.name}")
        data = encode_batch(stored_batch(rows), table)
        # The random part: a resend must never overwrite or unlink the file of a registered batch.
        name = f"spool/{table.name}/{batch_id.seq:012d}-{secrets.token_hex(8)}.parquet"
        crc = write_durably(self._directory / name, data)
        ts = rows["ts"]
        return Segment(0, table.name, name, 1, int(ts.min()), int(ts.max()), len(rows), data.size, crc,
                       table.version, self._now())  # fmt: skip

    def _failed(self, error: Exception) -> None:
        self._count["errors"] += 1
        full = getattr(error, "errno", 0) in NO_ROOM or "full" in str(error)
        # The same trouble comes with every batch: said at the first, second, fourth, eighth ... time.
        if self._count["errors"].bit_count() == 1:
            log.error("store cannot write errors=%d reason=%s", self._count["errors"], error)
        if full:
            self._space.met_full(error)

    def _make_room(self) -> None:
        """Let the oldest files go at once: on a full disk readers rather retry than nothing works."""
        wanted = self._settings.free_min_bytes + self._settings.ballast_bytes
        try:
            short = wanted - self._space.free_bytes
            registry.empty_trash(self._connection, self._directory, 1 << 62)
            # When somebody else has filled the disk, losing our history would not help: keep it, and say so.
            if 0 < short <= retention.bulk_bytes(self._connection):
                self._count["bytes_dropped"] += retention.drop_largest(self._connection, short, self._now())
                registry.empty_trash(self._connection, self._directory, 1 << 62)
        except sqlite3.Error as error:
            self._failed(error)
        self._space.look()

    def _retain(self) -> None:
        connection, settings = self._maintenance, self._settings
        with self._lock:
            before = retention.bulk_bytes(connection)
            retention.drop_old(connection, self._directory, settings, self._now())
            at_us = self._now() + settings.trash_delay_s * 1_000_000
            surplus = retention.bulk_bytes(connection) - self._space.size_max_bytes
            if self._space.look() != "ok":
                soon_free = self._space.free_bytes + retention.trash_bytes(connection)
                surplus = max(surplus, settings.free_early_bytes - soon_free)
            if 0 < surplus <= retention.bulk_bytes(connection):
                retention.drop_largest(connection, surplus, at_us)
            self._count["bytes_dropped"] += before - retention.bulk_bytes(connection)
            registry.empty_trash(connection, self._directory, self._now())

    def _background(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        rounds = 0
        while not self._stop.wait(ROUND_S):
            rounds += 1
            try:
                self._compactor.round()
                if rounds % RETENTION_EVERY == 0:
                    self._retain()
            except (OSError, sqlite3.Error, pa.ArrowException, StoreError) as error:
                with self._lock:
                    self._failed(error)

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def _rows(batch: StoredBatch) -> int:
    return sum(len(rows) for rows in batch.tables)


def _hold(path: Path) -> int:
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        pid = os.pread(handle, 32, 0).decode(errors="replace").strip()
        os.close(handle)
        raise StoreError(
            f"another process writes this store: pid {pid}", where=str(path.parent), mend="stop it   or   --data DIR"
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle
