"""Alerts and what belongs to them, as rows: written in the transaction of the batch that brought them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from nsm.model.address import halves
from nsm.model.finding import OVER, Alert, NearMiss
from nsm.model.notice import alert_of
from nsm.store.database import open_database
from nsm.store.records import Gap, HostSeen

NEAR_MISSES_PER_BATCH_MAX: Final = 5_000  # ours: 100 bytes each; a batch a second is half a megabyte at most
HOSTS_MAX: Final = 100_000  # ours: spoofed sources must not fill the table; the longest unseen leave
GAPS_MAX: Final = 10_000
OPEN_MAX: Final = 1_000
ALERTS_MAX: Final = 2_000

_ALERT = """INSERT INTO alert(
 id, ts, first_seen, rev, state, detector, kind, signature, signature_id, category, severity, risk, confidence, count,
 src, dst, src_port, dst_port, proto, incident, settings_hash, json)
 VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
 ON CONFLICT(id) DO UPDATE SET ts=excluded.ts, first_seen=excluded.first_seen, rev=excluded.rev,
 detector=excluded.detector, kind=excluded.kind, signature=excluded.signature, category=excluded.category,
 severity=excluded.severity, risk=excluded.risk, confidence=excluded.confidence, count=excluded.count,
 src=excluded.src, dst=excluded.dst, src_port=excluded.src_port, dst_port=excluded.dst_port, proto=excluded.proto,
 incident=excluded.incident, settings_hash=excluded.settings_hash, json=excluded.json,
 state=CASE WHEN alert.state IN ('new', 'over') THEN excluded.state ELSE alert.state END
 WHERE excluded.rev > alert.rev"""

_HOST = """INSERT INTO host VALUES (?,?,?,?,?,?) ON CONFLICT(address) DO UPDATE SET
 mac=CASE WHEN excluded.mac<>'' THEN excluded.mac ELSE mac END,
 name=CASE WHEN excluded.name<>'' THEN excluded.name ELSE name END, local=excluded.local,
 first_seen=min(first_seen, excluded.first_seen), last_seen=max(last_seen, excluded.last_seen)"""


def address_bytes(text: str) -> bytes | None:
    """The 16 bytes of an address, which sort as addresses do; None when the text is none."""
    try:
        hi, lo = halves(text)
    except ValueError:
        return None
    return hi.to_bytes(8, "big") + lo.to_bytes(8, "big")


def add_alerts(connection: sqlite3.Connection, alerts: Iterable[Alert]) -> None:
    """Insert alerts, or bring them up to date when ``rev`` is higher; what people made of them stays."""
    for alert in alerts:
        finding = alert.finding
        connection.execute(_ALERT, (
            alert.id, alert.last_seen, alert.first_seen, alert.rev, alert.state, finding.detector, finding.kind,
            finding.signature, finding.signature_id, finding.category, int(alert.severity), alert.risk,
            finding.confidence, alert.count, address_bytes(finding.src_ip), address_bytes(finding.dest_ip),
            finding.src_port, finding.dest_port, finding.proto, alert.incident, alert.settings_hash,
            msgspec.json.encode(alert.as_dict()),
        ))  # fmt: skip
        sides = (("actor", finding.actors), ("victim", finding.victims))
        named = [(alert.id, address_bytes(text), side) for side, texts in sides for text in texts]
        named += [(alert.id, address_bytes(text), "end") for text in (finding.src_ip, finding.dest_ip) if text]
        connection.executemany(
            "INSERT OR IGNORE INTO alert_host VALUES (?,?,?)", [row for row in named if row[1] is not None]
        )


def open_alerts(directory: Path, detector: str) -> list[Alert]:
    """The alerts of a detector that never ended, of each key the newest; at most OPEN_MAX."""
    with closing(open_database(directory)) as connection:
        rows = connection.execute(
            "SELECT json, state FROM alert WHERE detector=? AND state<>? ORDER BY ts DESC LIMIT ?",
            (detector, OVER, OPEN_MAX),
        ).fetchall()
    found: dict[tuple[str, ...], Alert] = {}
    for data, state in rows:
        alert = alert_of({**msgspec.json.decode(data), "state": state})
        if not alert.ended:
            found.setdefault(alert.finding.key, alert)
    return list(found.values())


def alerts_since(connection: sqlite3.Connection, us: int) -> list[Alert]:
    """Alerts last seen since then, the oldest first, in the state that people gave them; the newest ALERTS_MAX."""
    rows = connection.execute(
        "SELECT json, state FROM alert WHERE ts>=? ORDER BY ts DESC LIMIT ?", (us, ALERTS_MAX)
    ).fetchall()
    return [alert_of({**msgspec.json.decode(data), "state": state}) for data, state in reversed(rows)]


def add_near_misses(connection: sqlite3.Connection, near_misses: tuple[NearMiss, ...]) -> int:
    """How many were left out, being more than ``NEAR_MISSES_PER_BATCH_MAX``."""
    kept = near_misses[:NEAR_MISSES_PER_BATCH_MAX]
    connection.executemany(
        "INSERT INTO near_miss VALUES (?,?,?,?,?,?)",
        [(miss.ts, miss.detector, " ".join(miss.key), miss.measured, miss.threshold, miss.window_s) for miss in kept],
    )
    return len(near_misses) - len(kept)


def add_hosts(connection: sqlite3.Connection, hosts: tuple[HostSeen, ...]) -> None:
    """Insert hosts, or widen the time in which they were seen."""
    rows = [(address_bytes(host.address), host.mac, host.name, host.local, host.first_seen, host.last_seen)
            for host in hosts]  # fmt: skip
    connection.executemany(_HOST, [row for row in rows if row[0] is not None])
    surplus = connection.execute("SELECT count(*) FROM host").fetchone()[0] - HOSTS_MAX if hosts else 0
    if surplus > 0:
        connection.execute(
            "DELETE FROM host WHERE address IN (SELECT address FROM host ORDER BY last_seen LIMIT ?)", (surplus,)
        )


def add_gaps(connection: sqlite3.Connection, gaps: tuple[Gap, ...]) -> None:
    """Insert times without monitoring; the oldest of ``GAPS_MAX`` leave."""
    connection.executemany(
        "INSERT INTO gap(start_us, stop_us, process, what, packets) VALUES (?,?,?,?,?)",
        [(gap.start_us, gap.stop_us, gap.process, gap.what, gap.packets) for gap in gaps],
    )
    if gaps:
        connection.execute(
            "DELETE FROM gap WHERE id <= (SELECT id FROM gap ORDER BY id DESC LIMIT 1 OFFSET ?)", (GAPS_MAX,)
        )
