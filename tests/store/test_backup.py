"""Backup, destroy, restore: nothing is lost."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from nsm.errors import StoreError
from nsm.store import backup
from nsm.store.accounts import Accounts
from nsm.store.queryspec import QuerySpec
from nsm.store.reader import Reader
from tests.serve.kit import Store, make_alert, make_flows

NOW = 1_700_000_000.0


def fill(folder: Path) -> Store:
    store = Store(folder)
    store.add(make_flows([NOW + i for i in range(200)]), alerts=[make_alert(1, NOW), make_alert(2, NOW + 1)])
    return store


def held(folder: Path) -> tuple[int, int, list[str]]:
    """(flows, alerts, users) that can be read there."""
    reader, accounts = Reader(folder), Accounts(folder)
    try:
        counts = reader.counts()
        return counts["flow"]["rows"], counts["alert"]["rows"], [user.name for user in accounts.users()]
    finally:
        reader.close()
        accounts.close()


def test_backup_destroy_restore_nothing_is_lost(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    store = fill(data)
    accounts = Accounts(data)
    accounts.add_user("ann", "correct horse")
    token = accounts.open_session("ann").token
    made = backup.create(data, copy)  # while the writer is open
    assert (made.flows, made.alerts) == (200, 2)
    store.add(make_flows([NOW + 500]))
    store.close()
    accounts.close()
    shutil.rmtree(data)
    assert backup.restore(copy, data) == (made, None)
    assert held(data) == (200, 2, ["ann"])
    assert stat.S_IMODE((data / "nsm.db").stat().st_mode) == 0o600
    again = Accounts(data)
    assert again.session(token) is None  # a copy opens no session
    again.close()
    reader = Reader(data)
    assert len(reader.query(QuerySpec(limit=500)).rows) == 200
    reader.close()


def test_the_store_that_was_there_is_kept(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    store = fill(data)
    backup.create(data, copy)
    store.add(make_flows([NOW + 900 + i for i in range(5)]))
    store.close()
    _, before = backup.restore(copy, data)
    assert before is not None
    assert held(data)[0] == 200
    assert held(before)[0] == 205


def test_a_service_that_runs_is_left_alone(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    store = fill(data)
    backup.create(data, copy)
    with pytest.raises(StoreError, match="a service uses this store"):
        backup.restore(copy, data)
    store.close()
    assert held(data)[0] == 200


def test_a_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    fill(data).close()
    backup.create(data, copy)
    (victim,) = copy.rglob("*.parquet")
    content = bytearray(victim.read_bytes())
    content[100] ^= 1
    victim.unlink()  # it may be the very file of the store
    victim.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        backup.restore(copy, data)
    assert held(data)[0] == 200


def test_what_is_no_backup_or_no_place_for_one_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(StoreError, match="there is no store yet"):
        backup.create(data, tmp_path / "copy")
    fill(data).close()
    with pytest.raises(StoreError, match="is there already"):
        backup.create(data, data)
    with pytest.raises(StoreError, match="is no backup"):
        backup.restore(tmp_path / "nothing", data)
