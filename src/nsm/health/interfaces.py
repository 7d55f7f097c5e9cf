"""Interfaces over time: state, rates, errors, drops. A counter that goes back is a new start: it gives no rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil

SYS: Final = Path("/sys/class/net")
IFF_UP: Final = 1  # linux/if.h; psutil's "isup" is IFF_RUNNING, which a carrier is part of
INTERFACES_MAX: Final = 256  # ours: machines with many containers; the rest, by name, is left out


class Counters(msgspec.Struct, frozen=True):
    """Since the interface came up."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    errors_in: int
    errors_out: int
    drops_in: int
    drops_out: int


class Rates(msgspec.Struct, frozen=True):
    """A second's worth of each counter."""

    bytes_in: float
    bytes_out: float
    packets_in: float
    packets_out: float
    errors: float
    drops: float


class InterfaceHealth(msgspec.Struct, frozen=True):
    """One interface. ``up``: it is switched on and has a carrier. ``rates`` None: not known yet, or counters began anew."""

    name: str
    up: bool
    enabled: bool
    mtu: int
    speed_mbit: int
    counters: Counters
    rates: Rates | None


class InterfaceReader:
    """Remembers the last counters of each interface."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, Counters]] = {}

    def read(self, now_s: float) -> list[InterfaceHealth]:
        """All interfaces, by name; ``now_s`` is a monotonic time."""
        stats, counted = psutil.net_if_stats(), psutil.net_io_counters(pernic=True, nowrap=False)
        return self.judge(now_s, stats, {name: _counters(item) for name, item in counted.items()})

    def judge(
        self, now_s: float, stats: Mapping[str, object], counted: Mapping[str, Counters]
    ) -> list[InterfaceHealth]:
        """As ``read``, from given figures."""
        found = []
        for name in sorted(counted)[:INTERFACES_MAX]:
            now, before = counted[name], self._before.get(name)
            rates = rates_between(before[1], now, now_s - before[0]) if before is not None else None
            stat = stats.get(name)
            enabled = is_enabled(name, otherwise=bool(getattr(stat, "isup", False)))
            found.append(InterfaceHealth(
                name, enabled and has_carrier(name), enabled, int(getattr(stat, "mtu", 0)),
                int(getattr(stat, "speed", 0)), now, rates,
            ))  # fmt: skip
        self._before = {item.name: (now_s, item.counters) for item in found}
        return found


def rates_between(before: Counters, now: Counters, span_s: float) -> Rates | None:
    """Rates between two readings; None when any counter went back or no time passed."""
    steps = [new - old for new, old in zip(_values(now), _values(before), strict=True)]
    if span_s <= 0 or min(steps) < 0:
        return None
    rate = [step / span_s for step in steps]
    return Rates(rate[0], rate[1], rate[2], rate[3], rate[4] + rate[5], rate[6] + rate[7])


def is_enabled(name: str, *, otherwise: bool, root: Path = SYS) -> bool:
    """Is it switched on, with a carrier or without? ``otherwise``: what holds where the kernel does not say."""
    try:
        return bool(int((root / name / "flags").read_text(), 16) & IFF_UP)
    except (OSError, ValueError):
        return otherwise


def has_carrier(name: str, root: Path = SYS) -> bool:
    """Is there a carrier? Where the driver does not say, yes."""
    try:
        return (root / name / "carrier").read_text().strip() != "0"
    except OSError:  # EINVAL while it is switched off; no such file on some drivers
        return True


def _values(counters: Counters) -> tuple[int, ...]:
    return tuple(getattr(counters, name) for name in Counters.__struct_fields__)


def _counters(item: object) -> Counters:
    names = ("bytes_recv", "bytes_sent", "packets_recv", "packets_sent", "errin", "errout", "dropin", "dropout")
    return Counters(*(int(getattr(item, name)) for name in names))
