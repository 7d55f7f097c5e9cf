"""What each minute means: the values that are kept, and the findings when a figure is above its limit for long enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from nsm.bounded.tables import LruDict
from nsm.health import findings
from nsm.health.forecast import Forecast
from nsm.health.interfaces import InterfaceHealth, rates_between
from nsm.health.machine import Machine
from nsm.health.prober import Asked
from nsm.health.probes import percentile
from nsm.health.settings import HealthSettings
from nsm.health.thresholds import Down, Hysteresis, Usual
from nsm.model.finding import Finding

STATES_MAX: Final = 256  # targets and interfaces that are remembered
INTERFACES_KEPT: Final = 16  # whose figures are stored
RESOLVER_LOSS_MAX: Final = 0.5  # ours: of six questions a minute; one lost datagram is no outage
DISK_AGAIN_S: Final = 86_400.0


class Minutes:
    """State of the judgements. Times: ``now_s`` monotonic, ``now_us`` UTC."""

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._loss: LruDict[str, Hysteresis] = LruDict(STATES_MAX, Hysteresis)
        self._slow: LruDict[str, Hysteresis] = LruDict(STATES_MAX, Hysteresis)
        self._usual: LruDict[str, Usual] = LruDict(STATES_MAX, Usual)
        self._down: LruDict[str, Down] = LruDict(STATES_MAX, Down)
        self._resolver = Hysteresis()
        self._disk: tuple[str, float] = ("ok", 0.0)

    def targets(self, asked: Iterable[Asked], now_s: float, now_us: int) -> list[Finding]:
        """Judge the last minute of every target. One that never answered is not told: many devices answer no echo."""
        found = []
        for one in asked:
            window = one.probes.window(now_s)
            if not one.answered or window.loss is None:
                continue
            address = one.target.address
            limit = self._settings.loss_max
            if raised := self._loss[address].minute(now_s, window.loss, limit):
                found.append(findings.loss(one.target, window.loss, limit, raised, now_us))
            limit = self._usual[address].limit(
                window.p50_ms, self._settings.latency_min_ms, self._settings.latency_factor
            )
            raised = self._slow[address].minute(now_s, window.p95_ms, limit)
            if raised and window.p95_ms is not None:
                found.append(findings.latency(one.target, window.p95_ms, limit, raised, now_us))
        return found

    def raised(self, address: str) -> list[str]:
        """What of a target is an alert now."""
        states = (("loss", self._loss), ("latency", self._slow))
        return [name for name, table in states if address in table and table[address].raised]

    def resolver(self, address: str, times: Sequence[float | None], now_s: float, now_us: int) -> list[Finding]:
        """Judge the questions of a minute; None: no answer."""
        if not times:
            return []
        failed = sum(took is None for took in times) / len(times)
        raised = self._resolver.minute(now_s, failed, RESOLVER_LOSS_MAX - 1e-9)
        return [findings.resolver(address, failed, RESOLVER_LOSS_MAX, raised, now_us)] if raised else []

    def interfaces(
        self, items: Iterable[InterfaceHealth], wanted: frozenset[str], watched: frozenset[str], now_s: float, now_us: int
    ) -> list[Finding]:  # fmt: skip
        """Judge the state now, of those that are ``wanted``; called every second."""
        return [
            findings.interface_down(item.name, item.name in watched, raised, now_us)
            for item in items
            if item.name in wanted and (raised := self._down[item.name].look(now_s, item.up))
        ]

    def disk(self, forecast: Forecast, machine: Machine, freeable: str, now_s: float, now_us: int) -> list[Finding]:
        """Told when it becomes worse, and once a day while it stays so."""
        level, told = self._disk
        order = ("ok", "warn", "critical")
        worse = order.index(forecast.level) > order.index(level)
        again = forecast.level != "ok" and now_s - told >= DISK_AGAIN_S
        self._disk = (forecast.level, now_s if worse or again else told)
        if not worse and not again:
            return []
        return [findings.disk(
            forecast, machine.disk_free_bytes, machine.disk_total_bytes, self._settings.disk_days_min, freeable, now_us
        )]  # fmt: skip


def samples(
    machine: Machine | None, interfaces: Iterable[InterfaceHealth], before: Mapping[str, InterfaceHealth],
    asked: Iterable[Asked], questions: Sequence[float | None], status: Mapping[str, Any], now_s: float,
) -> dict[str, float | None]:  # fmt: skip
    """The values of a minute by series; ``before``: the interfaces a minute ago."""
    values: dict[str, float | None] = {}
    if machine is not None:
        for name in ("cpu_ratio", "load_1min", "memory_used_bytes", "disk_used_bytes", "disk_free_bytes",
                     "temperature_c"):  # fmt: skip
            values[f"machine.{name}"] = getattr(machine, name)
    for item in list(interfaces)[:INTERFACES_KEPT]:
        old = before.get(item.name)
        rates = rates_between(old.counters, item.counters, 60.0) if old is not None else None
        for name in ("bytes_in", "bytes_out", "drops", "errors"):
            values[f"interface.{item.name}.{name}"] = getattr(rates, name) if rates is not None else None
    for one in asked:
        window, base = one.probes.window(now_s), f"probe.{one.target.address}"
        jitter = one.probes.jitter_s
        values |= {
            f"{base}.loss": window.loss, f"{base}.p50_ms": window.p50_ms, f"{base}.p95_ms": window.p95_ms,
            f"{base}.max_ms": window.max_ms, f"{base}.jitter_ms": jitter * 1_000 if jitter is not None else None,
        }  # fmt: skip
    answered = sorted(took * 1_000 for took in questions if took is not None)
    values["resolver.p50_ms"] = percentile(answered, 0.5)
    values["resolver.failed"] = 1 - len(answered) / len(questions) if questions else None
    return values | _service(status)


def _service(status: Mapping[str, Any]) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for process in status.get("processes", ()):
        values[f"process.{process['name']}.rss_bytes"] = process["rss_bytes"] or None
        values[f"process.{process['name']}.cpu_pct"] = process["cpu_pct"]
    second = status.get("second") or {}
    store = second.get("store") or {}
    for name in ("bulk_bytes", "bytes_dropped", "rows_stored"):
        values[f"store.{name}"] = store.get(name)
    waiting = (second.get("queues") or {}).get("store") or {}
    values["store.waiting"] = waiting.get("waiting")
    return values
