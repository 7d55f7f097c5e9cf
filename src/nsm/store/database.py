"""``nsm.db``: the one SQLite file of what is transactional; made, checked and migrated here.

Write-ahead log, ``synchronous=FULL``: a commit that returned is on the disk. Readers never block the
writer and the writer never blocks readers. Every process opens its own connections; a second one that
writes (a person's triage, a log-in) waits its turn at most ``BUSY_S``.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from nsm.errors import StoreError
from nsm.store.folders import private_folder

SCHEMA_VERSION: Final = 2
BUSY_S: Final = 10.0  # ours: the longest writing transaction measured is 0.2 s
DATABASE: Final = "nsm.db"

SCHEMA: Final = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('epoch', 0), ('floor_1', 0), ('floor_60', 0), ('floor_3600', 0);

CREATE TABLE batch_range(
  sensor TEXT, boot_id TEXT, first INTEGER, last INTEGER NOT NULL, at_us INTEGER NOT NULL,
  PRIMARY KEY(sensor, boot_id, first)) WITHOUT ROWID;
CREATE TABLE segment(
  id INTEGER PRIMARY KEY AUTOINCREMENT, tab TEXT NOT NULL, file TEXT NOT NULL UNIQUE, open INTEGER NOT NULL,
  t_min INTEGER NOT NULL, t_max INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  crc32 INTEGER NOT NULL, schema_version INTEGER NOT NULL, added_us INTEGER NOT NULL);
CREATE INDEX segment_time ON segment(tab, t_max);
CREATE TABLE trash(file TEXT PRIMARY KEY, at_us INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rollup(
  res INTEGER, dim INTEGER, t INTEGER, key TEXT, flows INTEGER NOT NULL, pkts INTEGER NOT NULL,
  bytes_s INTEGER NOT NULL, bytes_c INTEGER NOT NULL, PRIMARY KEY(res, dim, t, key)) WITHOUT ROWID;
CREATE TABLE watermark(sensor TEXT PRIMARY KEY, ts INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE alert(
  id TEXT PRIMARY KEY, ts INTEGER NOT NULL, first_seen INTEGER NOT NULL, rev INTEGER NOT NULL,
  state TEXT NOT NULL, notes INTEGER NOT NULL DEFAULT 0, detector TEXT NOT NULL, kind TEXT NOT NULL,
  signature TEXT NOT NULL, signature_id INTEGER NOT NULL, category TEXT NOT NULL, severity INTEGER NOT NULL,
  risk INTEGER NOT NULL, confidence REAL NOT NULL, count INTEGER NOT NULL, src BLOB, dst BLOB,
  src_port INTEGER NOT NULL, dst_port INTEGER NOT NULL, proto INTEGER NOT NULL, incident TEXT NOT NULL,
  settings_hash TEXT NOT NULL, json BLOB NOT NULL);
CREATE INDEX alert_ts ON alert(ts);
CREATE TABLE alert_host(alert TEXT, address BLOB, side TEXT, PRIMARY KEY(alert, address, side)) WITHOUT ROWID;
CREATE INDEX alert_host_address ON alert_host(address);
CREATE TABLE note(
  id INTEGER PRIMARY KEY, alert TEXT NOT NULL, ts INTEGER NOT NULL, who TEXT NOT NULL, state TEXT NOT NULL,
  text TEXT NOT NULL);
CREATE INDEX note_alert ON note(alert);
CREATE TABLE near_miss(
  ts INTEGER NOT NULL, detector TEXT NOT NULL, key TEXT NOT NULL, measured REAL NOT NULL,
  threshold REAL NOT NULL, window_s REAL NOT NULL);
CREATE INDEX near_miss_ts ON near_miss(detector, ts);
CREATE TABLE host(
  address BLOB PRIMARY KEY, mac TEXT NOT NULL, name TEXT NOT NULL, local INTEGER NOT NULL,
  first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX host_first ON host(first_seen);
CREATE TABLE interface(number INTEGER PRIMARY KEY, name TEXT NOT NULL, seen_us INTEGER NOT NULL);
CREATE TABLE gap(
  id INTEGER PRIMARY KEY, start_us INTEGER NOT NULL, stop_us INTEGER NOT NULL, process TEXT NOT NULL,
  what TEXT NOT NULL, packets INTEGER NOT NULL);
CREATE TABLE settings_history(hash TEXT PRIMARY KEY, since_us INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE user(
  name TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL, created_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE login_link(digest BLOB PRIMARY KEY, name TEXT NOT NULL, until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE session(
  digest BLOB PRIMARY KEY, name TEXT NOT NULL, csrf TEXT NOT NULL, opened_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audit(
  id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE page_setting(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE saved_session(
  id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, timestamp TEXT NOT NULL, logs TEXT NOT NULL);
"""


def _to_version_1(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";"):
        connection.execute(statement)


SCHEMA_2: Final = """
CREATE TABLE api_token(
  id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, name TEXT NOT NULL, label TEXT NOT NULL,
  scope TEXT NOT NULL, created_us INTEGER NOT NULL, until_us INTEGER NOT NULL, used_us INTEGER NOT NULL);
CREATE TABLE scan(
  id TEXT PRIMARY KEY, started INTEGER NOT NULL, ended INTEGER NOT NULL, state TEXT NOT NULL, who TEXT NOT NULL,
  json BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX scan_started ON scan(started);
CREATE TABLE scan_port(
  scan TEXT, address TEXT, proto TEXT, port INTEGER, state TEXT NOT NULL, service TEXT NOT NULL, product TEXT NOT NULL,
  version TEXT NOT NULL, json BLOB NOT NULL, PRIMARY KEY(scan, address, proto, port)) WITHOUT ROWID;
CREATE INDEX scan_port_address ON scan_port(address, proto, port);
CREATE TABLE schedule(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, trigger TEXT NOT NULL,
  task TEXT NOT NULL, enabled INTEGER NOT NULL, who TEXT NOT NULL, created_us INTEGER NOT NULL,
  due_us INTEGER NOT NULL);
CREATE TABLE job(
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, schedule INTEGER NOT NULL,
  who TEXT NOT NULL, started_us INTEGER NOT NULL, ended_us INTEGER NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL,
  result TEXT NOT NULL);
CREATE INDEX job_schedule ON job(schedule, started_us);
CREATE TABLE health_series(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE health_sample(
  series INTEGER, ts INTEGER, value REAL NOT NULL, PRIMARY KEY(series, ts)) WITHOUT ROWID;
CREATE TABLE notice(
  id TEXT PRIMARY KEY, seq INTEGER NOT NULL, channel TEXT NOT NULL, title TEXT NOT NULL, json BLOB NOT NULL,
  made_us INTEGER NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL, due_us INTEGER NOT NULL,
  ended_us INTEGER NOT NULL, error TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX notice_queue ON notice(channel, state, due_us);
CREATE TABLE notice_told(
  channel TEXT, alert TEXT, rev INTEGER, severity INTEGER NOT NULL, at_us INTEGER NOT NULL,
  PRIMARY KEY(channel, alert, rev)) WITHOUT ROWID;
CREATE INDEX notice_told_at ON notice_told(at_us)
"""


def _to_version_2(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA_2.split(";"):
        connection.execute(statement)


# Numbered steps: MIGRATIONS[n] brings version n to n + 1, in one transaction, after a copy of the file.
MIGRATIONS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (_to_version_1, _to_version_2)


def open_database(directory: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection that may write; the folder, the file and its schema are made when ``create``.

    Raises StoreError when there is no store (and not ``create``), it is of a newer version, or unreadable.
    """
    path = directory / DATABASE
    if not create and not path.exists():
        raise no_store(directory)
    try:
        _private_folder(directory)
        connection = _connect(path)
        with _translated(path):
            _prepare(connection, path)
    except OSError as error:
        raise StoreError(f"cannot open the store: {error.strerror}", where=str(path), mend="--data DIR") from error
    return connection


def open_read_only(directory: Path) -> sqlite3.Connection:
    """A connection that only reads; StoreError when there is no store or it is of a newer version."""
    path = directory / DATABASE
    if not path.exists():
        raise no_store(directory)
    with _translated(path):
        connection = _connect(path)
        check_version(connection, path)
        connection.execute("PRAGMA query_only=ON")
    return connection


def no_store(directory: Path) -> StoreError:
    """The error for a folder that has no store yet."""
    return StoreError("there is no store yet", where=str(directory), mend="nsm run   or   --data DIR")


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of the file, 0 when it is new; StoreError when it is newer than this program."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store was written by a newer version of nsm (schema {version}, this one knows {SCHEMA_VERSION})",
            where=str(path),
            mend="upgrade nsm   or   --data DIR for a new store",
        )
    return version


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One writing transaction: committed at the end, rolled back on any error.

    After ENOSPC SQLite has rolled back by itself, and a second ROLLBACK would hide the first error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _private_folder(directory: Path) -> None:
    private_folder(directory)
    path = directory / DATABASE
    if not path.exists():
        # Made by hand, so that no moment exists at which others could open it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA journal_size_limit=16777216")
    version = check_version(connection, path)
    if version == SCHEMA_VERSION:
        return
    if version:
        with closing(sqlite3.connect(path.with_name(f"{DATABASE}.v{version}"))) as copy:
            connection.backup(copy)
    with transaction(connection):
        # Another process may have been first: look again under the lock.
        for step in MIGRATIONS[check_version(connection, path) :]:
            step(connection)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the store cannot be read: {error}", where=str(path), mend="nsm doctor   or   --data DIR for a new store"
        ) from error
