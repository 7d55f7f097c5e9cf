"""From what the service says of itself to the facts that are judged (``nsm.health.working``)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nsm.health.forecast import Forecast
from nsm.health.interfaces import InterfaceHealth
from nsm.health.machine import Machine
from nsm.health.working import Facts, Sight

LOOKS_S: Final = 600.0
LOOKS_MAX: Final = 128
SIGHT_KEYS: Final = ("flows", "own", "group", "foreign", "tcp", "one_way", "frame_max")


class Counts:
    """Packets, drops and cut frames of the last ten minutes, from counters that begin anew with their process."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._looks: deque[tuple[float, dict[str, int]]] = deque(maxlen=LOOKS_MAX)

    def add(self, now_s: float, counters: Mapping[str, int]) -> None:
        """Note counters now; the first look says nothing about before."""
        steps = {}
        for name, value in counters.items():
            before = self._before.get(name)
            steps[name] = 0 if before is None else value - before if value >= before else value
        self._before = dict(counters)
        self._looks.append((now_s, steps))
        while self._looks[0][0] < now_s - LOOKS_S:
            self._looks.popleft()

    def total(self, name: str) -> int:
        """The sum of one of them."""
        return sum(steps.get(name, 0) for _, steps in self._looks)


def counters_of(second: Mapping[str, Any]) -> dict[str, int]:
    """{packets, drops, cut} of the workers that run, from the analyst's last second."""
    workers = second.get("workers", {}).values()
    return {name: sum(int(worker.get(name, 0)) for worker in workers) for name in ("packets", "drops", "cut")}


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
        sights.append(Sight(name, item.up if item else True, item.mtu if item else 0, **counted))
    store = second.get("store") or {}
    return Facts(
        capture=capture["state"], fault=(capture["error"] or {}).get("title", ""),
        watched_s=now_s - capture["since"] if capture["since"] else 0.0, sights=tuple(sights),
        packets=counts.total("packets"), drops=counts.total("drops"), cut=counts.total("cut"), analysis=bool(second),
        store_state=store.get("state", ""), store_reason=store.get("reason", ""), forecast=forecast,
        clock_synchronised=machine.clock_synchronised if machine else None,
        clock_stepped_s=machine.clock_stepped_s if machine else 0.0,
        gaps=tuple(((stop - start) / 1e6, what) for start, stop, _, what in gaps),
    )  # fmt: skip
