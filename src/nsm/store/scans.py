"""Scans and what they found: plain rows of ``nsm.db``, written by the scan's own process."""

from __future__ import annotations

import threading
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

import msgspec

from nsm.model.scan import Scan, ScannedPort, ScanState
from nsm.store.database import open_database, transaction

HOSTS_SEEN_MAX: Final = 100_000
SEEN_US: Final = 3_600_000_000
SCANS_MAX: Final = 1_000  # ours: two a day for over a year; the oldest leave


class ScanSummary(msgspec.Struct, frozen=True):
    """A scan in a list: without its ports. Times are us UTC."""

    id: str
    started: int
    ended: int
    state: str
    who: str
    targets: tuple[str, ...]
    ports: str
    hosts: int
    open: int


class ScanStore:
    """Scans of one store; any process may hold one."""

    def __init__(self, directory: Path) -> None:
        self._connection = open_database(directory)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def save(self, scan: Scan, who: str) -> None:
        """Keep a scan, or its newer state; the oldest of ``SCANS_MAX`` leave."""
        bare = msgspec.json.encode(msgspec.structs.replace(scan, found=()))
        ports = [_port_row(scan.id, port) for port in scan.found]
        with self._lock, transaction(self._connection):
            execute = self._connection.execute
            execute("DELETE FROM scan_port WHERE scan=?", (scan.id,))
            row = (scan.id, scan.started, scan.ended, str(scan.state), who, bare)
            execute("INSERT OR REPLACE INTO scan(id, started, ended, state, who, json) VALUES (?,?,?,?,?,?)", row)
            self._connection.executemany("INSERT OR REPLACE INTO scan_port VALUES (?,?,?,?,?,?,?,?,?)", ports)
            old = execute("SELECT id FROM scan ORDER BY started DESC LIMIT -1 OFFSET ?", (SCANS_MAX,)).fetchall()
            for (number,) in old:
                execute("DELETE FROM scan_port WHERE scan=?", (number,))
                execute("DELETE FROM scan WHERE id=?", (number,))

    def scans(self, limit: int = 100) -> list[ScanSummary]:
        """The newest first."""
        sql = (
            "SELECT json, who, (SELECT count(*) FROM scan_port p WHERE p.scan=s.id AND p.state='open')"
            " FROM scan s ORDER BY started DESC LIMIT ?"
        )
        found = []
        for data, who, opened in self._all(sql, (limit,)):
            scan = msgspec.json.decode(data, type=Scan)
            found.append(
                ScanSummary(
                    scan.id,
                    scan.started,
                    scan.ended,
                    str(scan.state),
                    who,
                    scan.targets,
                    scan.ports,
                    len(scan.hosts),
                    opened,
                )
            )
        return found

    def scan(self, number: str) -> Scan | None:
        """One scan with its ports, by address and port; None when there is none."""
        rows = self._all("SELECT json FROM scan WHERE id=?", (number,))
        return self._whole(msgspec.json.decode(rows[0][0], type=Scan)) if rows else None

    def complete_before(self, started: int, limit: int = 20) -> list[Scan]:
        """Complete scans that began earlier, the newest first, with their ports: what a difference is taken against."""
        sql = "SELECT json FROM scan WHERE started<? AND state=? ORDER BY started DESC LIMIT ?"
        rows = self._all(sql, (started, str(ScanState.COMPLETE), limit))
        return [self._whole(msgspec.json.decode(data, type=Scan)) for (data,) in rows]

    def hosts_seen(self, now_us: int) -> frozenset[str]:
        """Addresses of the own networks that the monitor saw in the last hour."""
        rows = self._all(
            "SELECT address FROM host WHERE local AND last_seen>=? LIMIT ?", (now_us - SEEN_US, HOSTS_SEEN_MAX)
        )
        whole = (IPv6Address(address) for (address,) in rows)
        return frozenset(str(address.ipv4_mapped or address) for address in whole)

    def remove(self, number: str) -> bool:
        """False when there is none."""
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM scan_port WHERE scan=?", (number,))
            return bool(self._connection.execute("DELETE FROM scan WHERE id=?", (number,)).rowcount)

    def _whole(self, scan: Scan) -> Scan:
        rows = self._all("SELECT json FROM scan_port WHERE scan=? ORDER BY address, proto, port", (scan.id,))
        found = tuple(msgspec.json.decode(data, type=ScannedPort) for (data,) in rows)
        return msgspec.structs.replace(scan, found=found)

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()


def _port_row(number: str, port: ScannedPort) -> tuple[Any, ...]:
    service = port.service
    said = (service.name, service.product, service.version) if service is not None else ("", "", "")
    return (number, port.address, port.proto, port.port, str(port.state), *said, msgspec.json.encode(port))
