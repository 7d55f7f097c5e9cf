"""What a person can set about health."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from nsm.settings.section import SettingsSection, Share


class HealthSettings(msgspec.Struct, frozen=True):
    """Health of this machine and of the way out of the network."""

    probes: bool = True
    """Send one echo a second to the gateway and the resolver."""
    targets: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)] = ()
    """More addresses to probe; by default nothing but the gateway and the resolver is asked."""
    resolver_name: Annotated[str, msgspec.Meta(max_length=253)] = "."
    """The name that the resolver is asked for (its NS records); the root is in every resolver's cache."""
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 1.0
    """An answer that comes after this time is late."""
    loss_max: Share = 0.05
    """Share of probes without an answer in a minute, above which the minute counts against the target."""
    latency_min_ms: Annotated[float, msgspec.Meta(ge=1, le=60_000)] = 100.0
    """95th percentile of the round trips that is never too long."""
    latency_factor: Annotated[float, msgspec.Meta(ge=1, le=1_000)] = 4.0
    """Above it, so many times the target's own median is too long."""
    disk_days_min: Annotated[float, msgspec.Meta(ge=0, le=3_650)] = 14.0
    """Days until the disk is full, below which it is told; less than 3 is critical."""
    disk_free_min: Share = 0.05
    """Share of the disk that should be free; less is critical."""
    files: Annotated[tuple[str, ...], msgspec.Meta(max_length=64)] = ()
    """Files that somebody should renew now and then: lists of addresses, rules, databases. One that is old is told."""
    files_days_max: Annotated[float, msgspec.Meta(gt=0, le=3_650)] = 14.0
    """Days after which such a file is old."""
    keep_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 30
    """Days for which the figures of each minute are kept."""


SETTINGS: Final = SettingsSection(name="health", struct=HealthSettings)
