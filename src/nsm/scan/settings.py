"""What a person can set about port scans."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from nsm.settings.section import SettingsSection

RATE_MAX: Final = 20_000  # ours: probes a second that a number may ask for; more is said in a word, "max"

Rate = Annotated[int, msgspec.Meta(ge=1, le=RATE_MAX)]
Wait = Annotated[float, msgspec.Meta(ge=0.001, le=60)]


class ScanSettings(msgspec.Struct, frozen=True):
    """Port scans."""

    ports: str = "1-1024"
    """Ports that are tried when a scan does not name any."""
    rate: Rate = 1_000
    """Probes a second over all hosts."""
    rate_host: Rate = 300
    """Probes a second to one host; a rate that is asked for with a scan holds for one host too."""
    tries: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    """Tries of a port that never answers; with proven loss it grows by itself, up to ten."""
    timeout_first_s: Wait = 0.3
    """Wait for an answer of a host that has not answered yet."""
    timeout_min_s: Wait = 0.05
    """The shortest wait for an answer."""
    timeout_max_s: Wait = 1.0
    """The longest wait for an answer."""
    hosts_max: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 4_096
    """Hosts of one scan; more need to be asked for with --large."""


SETTINGS: Final = SettingsSection(name="scan", struct=ScanSettings)
