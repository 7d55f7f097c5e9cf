"""The journal: whole or not there, private, and read with suspicion."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsm.errors import ScanError, ScanPermissionError
from nsm.model.scan import PortState, ScannedHost, ScannedPort
from nsm.scan.journal import FORM, Journal, Request, Underway, Writer, parse, read, write
from nsm.scan.ledger import Tally
from nsm.scan.schedule import HostState
from nsm.scan.targets import Target

PORT = ScannedPort("10.0.0.1", "tcp", 22, PortState.OPEN, "syn-ack")
JOURNAL = Journal(
    FORM, "a1", 5, Request(("10.0.0.1",), "1-9"), 7, [Target("10.0.0.1", "x")],
    underway={"tcp": Underway([HostState(3, [1, 2])], [Tally({PortState.OPEN: 1}, {22: PORT}, {PortState.CLOSED: [PORT]})])},
)  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.journal"
    write(path, JOURNAL)
    write(path, JOURNAL)
    assert read(path) == JOURNAL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    path = tmp_path / "scan.journal"
    with pytest.raises(ScanError, match="cannot read"):
        read(path)
    path.write_bytes(b"hello")
    with pytest.raises(ScanError, match="is no journal"):
        read(path)
    write(path, msgspec.structs.replace(JOURNAL, form="nsm scan journal 0"))
    with pytest.raises(ScanError, match="another version"):
        read(path)


@given(st.integers(0, 400), st.binary(max_size=8))
def test_a_damaged_journal_is_an_error_and_nothing_else(cut: int, tail: bytes) -> None:
    data = msgspec.msgpack.encode(JOURNAL)
    with contextlib.suppress(ScanError):
        parse(data[:cut] + tail, Path("x"))


def test_a_journal_cannot_get_round_the_rails() -> None:
    outside = msgspec.structs.replace(JOURNAL, targets=[Target("8.8.8.8")])
    with pytest.raises(ScanPermissionError):
        parse(msgspec.msgpack.encode(outside), Path("x"))
    more = msgspec.structs.replace(JOURNAL, hosts=[ScannedHost("8.8.8.8")])
    with pytest.raises(ScanError, match="not asked for"):
        parse(msgspec.msgpack.encode(more), Path("x"))


def test_a_journal_that_cannot_be_written_is_told_of_once(tmp_path: Path) -> None:
    told: list[str] = []
    now = [0.0]
    writer = Writer(tmp_path / "missing" / "scan.journal", lambda: now[0], told.append)
    assert not writer.due()
    now[0] = 1.0
    assert writer.due()
    assert not writer.write(JOURNAL)
    assert not writer.due()
    assert not writer.write(JOURNAL)
    assert len(told) == 1
    assert "cannot be resumed" in told[0]


def test_a_complete_scan_leaves_no_journal(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "scan.journal", lambda: 0.0, print)
    assert writer.write(JOURNAL)
    writer.remove()
    writer.remove()
    assert not list(tmp_path.iterdir())
