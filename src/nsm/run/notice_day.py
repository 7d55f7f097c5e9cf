"""What changed in a day, read from the store: new hosts, alerts, differences between scans."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nsm.run.notice_words import Day
from nsm.scan.difference import difference
from nsm.store.notices import NoticeStore
from nsm.store.scans import ScanStore

SCANS_MAX: Final = 20  # ours: of a day, the newest


def day_of(directory: Path, store: NoticeStore, start_us: int, stop_us: int) -> Day:
    """The day between two times in us UTC."""
    alerts = tuple(alert for alert in store.alerts_since(start_us) if start_us <= alert.last_seen < stop_us)
    return Day(start_us, stop_us, store.new_hosts(start_us, stop_us), alerts, _scans(directory, start_us, stop_us))


def _scans(directory: Path, start_us: int, stop_us: int) -> tuple[str, ...]:
    scans = ScanStore(directory)
    try:
        found: list[str] = []
        for summary in scans.scans(SCANS_MAX):
            if not start_us <= summary.ended < stop_us:
                continue
            scan = scans.scan(summary.id)
            earlier = scans.complete_before(summary.started)
            if scan is not None and earlier:
                found += [change.text for change in difference(scan, earlier)]
        return tuple(dict.fromkeys(found))
    finally:
        scans.close()
