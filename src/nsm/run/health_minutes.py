"""What each minute means: the values that are kept, and the findings when a figure is above its limit for long enough."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from nsm.bounded.tables import LruDict
from nsm.health import findings
from nsm.health.forecast import Forecast
from nsm.health.interfaces import InterfaceHealth, rates_between
from nsm.health.machine import Machine
from nsm.health.prober import Asked
from nsm.health.probes import percentile
from nsm.health.settings import HealthSettings
from nsm.health.thresholds import Down, Hysteresis, Over, Raised, Usual
from nsm.model.finding import Finding

STATES_MAX: Final = 256  # targets and interfaces that are remembered
INTERFACES_KEPT: Final = 16  # whose figures are stored
RESOLVER_LOSS_MAX: Final = 0.5  # ours: of six questions a minute; one lost datagram is no outage
DISK_AGAIN_S: Final = 86_400.0
DISK_CALM: Final = 2  # looks, ten minutes apart


class Minutes:
    """State of the judgements, and the alerts that are not over. Times: ``now_s`` monotonic, ``now_us`` UTC."""

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._tables: dict[str, LruDict[str, Hysteresis]] = {
            name: LruDict(STATES_MAX, Hysteresis) for name in ("silent", "loss", "latency", "resolver")
        }
        self._usual: LruDict[str, Usual] = LruDict(STATES_MAX, Usual)
        self._down: LruDict[str, Down] = LruDict(STATES_MAX, Down)
        self._disk: tuple[str, float] = ("ok", 0.0)
        self._disk_calm = 0
        self.open: dict[tuple[str, ...], Finding] = {}

    def resume(self, findings_open: Iterable[Finding], now_s: float) -> None:
        """Go on with alerts of an earlier process, so that somebody tells when they are over."""
        for finding in findings_open:
            kind, _, name = ":".join(finding.key).partition(":")
            if kind in self._tables:
                self._tables[kind][name].resume(now_s)
            elif kind == "interface":
                self._down[name].resume()
            elif kind != "disk":
                continue
            self.open[finding.key] = finding

    def targets(self, asked: Iterable[Asked], now_s: float, now_us: int) -> list[Finding]:
        """Judge the last minute of every target. One that never answered is not told: many devices answer no echo."""
        asked = list(asked)
        found = self._gone(("silent", "loss", "latency"), {one.target.address for one in asked}, now_us)
        for one in asked:
            window, target = one.probes.window(now_s), one.target
            if not one.answered or window.loss is None:
                continue
            name, address = findings.named(target), target.address
            silent = one.silent(now_s)
            # The resolver is asked questions too, which say more than echoes do.
            what = self._tables["silent"][address].minute(now_s, float(silent and target.role != "resolver"), 0.5)
            found += self._step(("silent", address), what, now_us, partial(findings.silent, target),
                                f"The {name} answers again.")  # fmt: skip
            lost = None if silent or one.only_echoes(now_s) else window.loss
            limit = self._settings.loss_max
            what = self._tables["loss"][address].minute(now_s, lost, limit)
            found += self._step(("loss", address), what, now_us, partial(findings.loss, target, window.loss, limit),
                                f"Probes to the {name} are answered again: {window.loss:.1%} lost in the last minute.")  # fmt: skip
            limit = self._usual[address].limit(
                window.p50_ms, self._settings.latency_min_ms, self._settings.latency_factor
            )
            took = window.p95_ms
            what = self._tables["latency"][address].minute(now_s, took, limit)
            found += self._step(("latency", address), what, now_us, partial(findings.latency, target, took or 0.0, limit),
                                f"Answers of the {name} are as quick as usual again.")  # fmt: skip
        return found

    def raised(self, address: str) -> list[str]:
        """What of a target is an alert now."""
        return [kind for kind in ("silent", "loss", "latency") if (kind, address) in self.open]

    def resolver(self, address: str, times: Sequence[float | None], now_s: float, now_us: int) -> list[Finding]:
        """Judge the questions of a minute; None: no answer. No address: none is configured."""
        found = self._gone(("resolver",), {address}, now_us)
        if not times or not address:
            return found
        failed = sum(took is None for took in times) / len(times)
        what = self._tables["resolver"][address].minute(now_s, failed, RESOLVER_LOSS_MAX - 1e-9)
        raising = partial(findings.resolver, address, failed, RESOLVER_LOSS_MAX)
        return found + self._step(
            ("resolver", address), what, now_us, raising, f"The resolver {address} answers questions again."
        )

    def interfaces(
        self, items: Iterable[InterfaceHealth], wanted: frozenset[str], watched: frozenset[str], now_s: float, now_us: int
    ) -> list[Finding]:  # fmt: skip
        """Judge the state now, of those that are ``wanted``; called every second."""
        items = list(items)
        found = self._gone(("interface",), {item.name for item in items}, now_us)
        for item in items:
            if item.name in wanted or ("interface", item.name) in self.open:
                what = self._down[item.name].look(now_s, item.up)
                raising = partial(findings.interface_down, item.name, item.name in watched, item.enabled)
                words = f"The interface {item.name} is up again."
                found += self._step(("interface", item.name), what, now_us, raising, words)
        return found

    def disk(self, forecast: Forecast, machine: Machine, freeable: str, now_s: float, now_us: int) -> list[Finding]:
        """Told when it becomes worse, and once a day while it stays so; over when it was well twice in a row."""
        level, told = self._disk
        order = ("ok", "warn", "critical")
        worse = order.index(forecast.level) > order.index(level)
        again = forecast.level != "ok" and now_s - told >= DISK_AGAIN_S
        self._disk = (forecast.level, now_s if worse or again else told)
        self._disk_calm = self._disk_calm + 1 if forecast.level == "ok" else 0
        if self._disk_calm >= DISK_CALM:
            return self._step(("disk",), Over(), now_us, None, "The disk has enough room again.")
        if not worse and not again:
            return []
        finding = findings.disk(
            forecast, machine.disk_free_bytes, machine.disk_total_bytes, self._settings.disk_days_min, freeable, now_us
        )
        self.open[finding.key] = finding
        return [finding]

    def _step(
        self, key: tuple[str, ...], what: Raised | Over | None, now_us: int,
        raising: Callable[[Raised, int], Finding] | None, words: str,
    ) -> list[Finding]:  # fmt: skip
        """What is told of a figure that was raised, or is over; it is over once, and only if it was told."""
        if isinstance(what, Raised) and raising is not None:
            finding, before = raising(what, now_us), self.open.get(key)
            self.open[key] = finding if before is None else replace(finding, first_seen=before.first_seen)
            return [self.open[key]]
        if isinstance(what, Over) and key in self.open:
            minutes = max(1, round((now_us - self.open.pop(key).first_seen) / 60e6))
            return [findings.over(key, f"It is over after {minutes} min. {words}", now_us)]
        return []

    def _gone(self, kinds: Collection[str], there: Collection[str], now_us: int) -> list[Finding]:
        """What nobody looks at any more is over: another gateway, another resolver, an interface that was removed."""
        gone = [key for key in self.open if key[0] in kinds and key[1] not in there]
        for key in gone:
            (self._tables.get(key[0]) or self._down).forget(key[1])
        return [
            found for key in gone for found in self._step(key, Over(), now_us, None, f"{key[1]} is not looked at now.")
        ]


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
