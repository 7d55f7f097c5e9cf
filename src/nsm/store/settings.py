"""What a person can set about the store."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from nsm.settings.section import Age, Bytes, Count, SettingsSection

MIB: Final = 1 << 20
GIB: Final = 1 << 30


class StoreSettings(msgspec.Struct, frozen=True):
    """Bounds of the store; the figures behind the defaults are made by ``bench/store.py``."""

    home_net: tuple[str, ...] = (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
    """Local networks: decide the direction of a flow, and are first in the rollup of hosts."""

    flow_days: Age = 30
    """Days that flows are kept."""

    other_days: Age = 14
    """Days that the other bulk tables are kept."""

    alert_days: Age = 400
    """Days that alerts and their packets are kept."""

    size_max_bytes: Bytes = 0
    """Size of the bulk files; 0: a fifth of the disk, at most 100 GB."""

    free_early_bytes: Bytes = 2 * GIB
    """Free space below which the oldest segments go before their age."""

    free_min_bytes: Bytes = 512 * MIB
    """Free space below which bulk rows are refused; alerts go on."""

    ballast_bytes: Bytes = 64 * MIB
    """A file that is given back first when the disk is full; 0: none."""

    segment_rows: Annotated[int, msgspec.Meta(ge=1_000, le=10_000_000)] = 1_000_000
    """Rows that a segment is made of."""

    spool_files_max: Count = 64
    """Open batches of one table after which a segment is made of fewer rows."""

    spool_age_s: Count = 60
    """Age of the oldest open batch after which ``spool_files_max`` applies."""

    trash_delay_s: Count = 120
    """Seconds a replaced file stays for readers that still have it in their list; twice the longest query."""

    rollup_second_hours: Age = 2
    """Hours that sums per second are kept."""

    rollup_minute_days: Age = 30
    """Days that sums per minute are kept."""

    rollup_hour_days: Age = 400
    """Days that sums per hour are kept."""

    keys_minute_max: Count = 200
    """Hosts, and server ports, that one minute names; the rest are summed as "other"."""

    keys_hour_max: Count = 2_000
    """Hosts, and server ports, that one hour names; the rest are summed as "other"."""

    capsule_bytes_max: Bytes = 64 * 1024
    """Packets kept for one alert."""

    capsules_per_second_max: Count = 10
    """Alerts of one second whose packets are kept; more are counted."""

    near_miss_days: Age = 30
    """Days that near misses are kept."""


SETTINGS: Final = SettingsSection(name="store", struct=StoreSettings)
