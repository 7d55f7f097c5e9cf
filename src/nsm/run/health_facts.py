"""From what the service says of itself to the facts that are judged (``nsm.health.working``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nsm.health.forecast import DAY_S, Forecast
from nsm.health.interfaces import InterfaceHealth
from nsm.health.machine import Machine
from nsm.health.working import Facts, Sight, Trouble
from nsm.model.finding import Finding

LOOKS_S: Final = 600.0
LOOKS_MAX: Final = 128
SIGHT_KEYS: Final = ("flows", "own", "group", "foreign", "tcp", "one_way", "frame_max")
SUM_KEYS: Final = ("sums", "sums_open", "sums_bad")
OFFSETS: Final = 6  # looks, ten seconds apart


class Counts:
    """Packets, drops and cut frames of the last ten minutes, from counters that begin anew with their process."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._looks: deque[tuple[float, dict[str, int]]] = deque(maxlen=LOOKS_MAX)
        self._offsets: deque[float] = deque(maxlen=OFFSETS)

    def offset(self, seconds: float | None) -> None:
        """Note by how much the times of packets lie behind the clock; None: no packet came."""
        if seconds is not None:
            self._offsets.append(seconds)

    @property
    def packet_offset_s(self) -> float | None:
        """The least of the last minute in which packets came: a pause of the analysis is no fault of a clock."""
        return min(self._offsets, key=abs) if len(self._offsets) == OFFSETS else None

    def add(self, now_s: float, counters: Mapping[str, int], *, fresh: bool = False) -> None:
        """Note counters now; the first look says nothing about before, unless they are ``fresh``: of these minutes."""
        steps = {}
        for name, value in counters.items():
            before = self._before.get(name, 0 if fresh else None)
            steps[name] = 0 if before is None else value - before if value >= before else value
        self._before = dict(counters)
        self._looks.append((now_s, steps))
        while self._looks[0][0] < now_s - LOOKS_S:
            self._looks.popleft()

    def total(self, name: str) -> int:
        """The sum of one of them."""
        return sum(steps.get(name, 0) for _, steps in self._looks)


def counters_of(second: Mapping[str, Any]) -> dict[str, int]:
    """{packets, drops, cut, and by interface the sums} of the workers that run, from the analyst's last second."""
    workers = second.get("workers", {}).values()
    found = {name: sum(int(worker.get(name, 0)) for worker in workers) for name in ("packets", "drops", "cut")}
    for worker in workers:
        for name in SUM_KEYS:
            key = f"{name}:{worker.get('iface', '')}"
            found[key] = found.get(key, 0) + int(worker.get(name, 0))
    return found


def offset_of(second: Mapping[str, Any]) -> float | None:
    """By how much the newest packets' times lie behind the clock, in s: the largest of all workers."""
    found = [worker["offset_s"] for worker in second.get("workers", {}).values() if worker.get("offset_s") is not None]
    return max(found, key=abs, default=None)


def answered_of(series: Mapping[str, Sequence[object]]) -> tuple[str, ...]:
    """The addresses that answered probes, from the kept values ``probe.ADDRESS.p50_ms``."""
    return tuple(name[len("probe.") : -len(".p50_ms")] for name in series if name.endswith(".p50_ms"))


def ages(paths: Iterable[str], now_s: float) -> tuple[tuple[str, float | None], ...]:
    """(path, days since it was written; None when it cannot be read) of files."""
    found: list[tuple[str, float | None]] = []
    for path in paths:
        try:
            found.append((path, max(0.0, now_s - Path(path).stat().st_mtime) / DAY_S))
        except (OSError, ValueError):
            found.append((path, None))
    return tuple(found)


def troubles_of(findings: Iterable[Finding]) -> tuple[Trouble, ...]:
    """Alerts that are not over, for the judgements."""
    mends = ((one, [text.rstrip(".") for text in one.explain.next]) for one in findings)
    return tuple(Trouble(one.key, one.explain.what, "   or   ".join(mend)) for one, mend in mends)


def mend_of(error: Mapping[str, Any]) -> str:
    """What mends a fault of the capture: the commands, else the advice."""
    return "   or   ".join(one.get("cmd") or one.get("text") or "" for one in error.get("fix") or ())


def facts_of(
    status: Mapping[str, Any], counts: Counts, machine: Machine | None, interfaces: Iterable[InterfaceHealth],
    forecast: Forecast | None, gaps: Sequence[tuple[int, int, str, str]], now_s: float,
) -> Facts:  # fmt: skip
    """Facts from an answer to ``status``; ``now_s`` is UTC."""
    capture, second = status["capture"], status["second"]
    known = {item.name: item for item in interfaces}
    seen = {one["name"]: one for one in second.get("sight", ())}
    selected = [one["name"] for one in capture["interfaces"] if one["selected"]] or list(seen)
    sights = []
    for name in selected:
        item, sums = known.get(name), seen.get(name, {})
        counted = {key: int(sums.get(key, 0)) for key in SIGHT_KEYS}
        counted |= {key: counts.total(f"{key}:{name}") for key in SUM_KEYS}
        sights.append(Sight(name, item.up if item else True, item.mtu if item else 0, **counted))
    store = second.get("store") or {}
    return Facts(
        capture=capture["state"], fault=(capture["error"] or {}).get("title", ""),
        fault_mend=mend_of(capture["error"] or {}),
        watched_s=now_s - capture["since"] if capture["since"] else 0.0, sights=tuple(sights),
        packets=counts.total("packets"), drops=counts.total("drops"), cut=counts.total("cut"), analysis=bool(second),
        store_state=store.get("state", ""), store_reason=store.get("reason", ""), forecast=forecast,
        clock_synchronised=machine.clock_synchronised if machine else None,
        clock_offset_s=machine.clock_offset_s if machine else None,
        clock_stepped_s=machine.clock_stepped_s if machine else 0.0, packet_offset_s=counts.packet_offset_s,
        gaps=tuple(((stop - start) / 1e6, what) for start, stop, _, what in gaps),
    )  # fmt: skip
