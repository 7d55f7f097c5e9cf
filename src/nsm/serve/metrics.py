"""Figures of the service in the text format of Prometheus (exposition format 0.0.4).

Names are ``nsm_*`` and end with their unit; totals that only grow end with ``_total``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], Any]
Family = tuple[str, str, str, list[Sample]]
"""Name, type, help, samples."""


def exposition(health: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """All families as text; those without a known value are left out."""
    figures = health.get("figures") or {}
    lines: list[str] = []
    for name, kind, text, samples in (
        *_service(health), *_capture(health, second), *_machine(figures), *_interfaces(figures), *_probes(figures),
    ):  # fmt: skip
        known = [(labels, value) for labels, value in samples if value is not None and math.isfinite(value)]
        if known:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in known]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: Any) -> str:
    return str(value) if isinstance(value, float) else str(int(value))


def _service(health: Mapping[str, Any]) -> Iterator[Family]:
    processes = [({"process": one["name"]}, one) for one in health.get("processes", ())]
    for name, kind, text, key in (
        ("nsm_process_up", "gauge", "Whether the process runs.", "alive"),
        ("nsm_process_restarts_total", "counter", "Times the process was started again.", "restarts"),
        ("nsm_process_resident_memory_bytes", "gauge", "Memory of the process.", "rss_bytes"),
        ("nsm_process_cpu_percent", "gauge", "CPU of the process, in percent of one core.", "cpu_pct"),
    ):
        yield name, kind, text, [(labels, one.get(key)) for labels, one in processes]
    queues = [({"queue": name}, one) for name, one in (health.get("queues") or {}).items()]
    yield ("nsm_queue_waiting", "gauge", "Batches that are not acknowledged.",
           [(labels, one.get("waiting")) for labels, one in queues])  # fmt: skip
    yield ("nsm_queue_shed_total", "counter", "Rows left out for want of room.",
           [(labels, one.get("shed")) for labels, one in queues])  # fmt: skip
    store = health.get("store") or {}
    for name, kind, text, key in (
        ("nsm_store_bytes", "gauge", "Size of the stored rows.", "bulk_bytes"),
        ("nsm_store_free_bytes", "gauge", "Room on the disk of the store.", "free_bytes"),
        ("nsm_store_rows_total", "counter", "Rows stored.", "rows_stored"),
        ("nsm_store_rows_refused_total", "counter", "Rows refused for want of room.", "rows_refused"),
        ("nsm_store_dropped_bytes_total", "counter", "Bytes that retention deleted.", "bytes_dropped"),
        ("nsm_store_errors_total", "counter", "Failed writes of the store.", "errors"),
    ):
        yield name, kind, text, [({}, store.get(key))]


def _capture(health: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Family]:
    workers = list((health.get("workers") or {}).items())
    for name, text, key in (
        ("nsm_capture_packets_total", "Packets seen.", "packets"),
        ("nsm_capture_drops_total", "Packets that the kernel dropped.", "drops"),
        ("nsm_capture_cut_total", "Frames that were too long to be seen whole.", "cut"),
    ):
        yield (
            name,
            "counter",
            text,
            [({"worker": worker, "interface": one.get("iface", "")}, one.get(key)) for worker, one in workers],
        )
    yield ("nsm_flows_active", "gauge", "Flows that are followed.",
           [({"worker": worker}, one.get("live")) for worker, one in workers])  # fmt: skip
    yield (
        "nsm_security_score",
        "gauge",
        "The security score, 0 to 100.",
        [({}, (second.get("score") or {}).get("score"))],
    )
    severities = (second.get("threats") or {}).get("by_severity") or {}
    yield "nsm_alerts", "gauge", "Alerts since the start.", [({"severity": word}, n) for word, n in severities.items()]


def _machine(figures: Mapping[str, Any]) -> Iterator[Family]:
    machine = figures.get("machine") or {}
    for name, text, key in (
        ("nsm_machine_cpu_ratio", "CPU of the machine, 0 to 1.", "cpu_ratio"),
        ("nsm_machine_memory_used_bytes", "Memory in use.", "memory_used_bytes"),
        ("nsm_machine_memory_bytes", "Memory of the machine.", "memory_total_bytes"),
        ("nsm_disk_used_bytes", "Used on the disk of the store.", "disk_used_bytes"),
        ("nsm_disk_free_bytes", "Free on the disk of the store.", "disk_free_bytes"),
        ("nsm_machine_temperature_celsius", "The warmest CPU sensor.", "temperature_c"),
        ("nsm_clock_synchronised", "Whether the kernel counts the clock as synchronised.", "clock_synchronised"),
        ("nsm_clock_offset_seconds", "What the time service has left to correct.", "clock_offset_s"),
    ):
        yield name, "gauge", text, [({}, machine.get(key))]
    days = (figures.get("forecast") or {}).get("days_left")
    left = None if days is None else days * 86_400.0
    yield "nsm_disk_full_seconds", "gauge", "Time until the disk is full, by its trend.", [({}, left)]


def _interfaces(figures: Mapping[str, Any]) -> Iterator[Family]:
    items = [(one["name"], one["counters"], one) for one in figures.get("interfaces", ())]
    yield ("nsm_interface_up", "gauge", "Whether the interface is up and has a carrier.",
           [({"interface": name}, one["up"]) for name, _, one in items])  # fmt: skip
    for name, text, key in (
        ("nsm_interface_bytes_total", "Bytes.", "bytes"), ("nsm_interface_packets_total", "Packets.", "packets"),
        ("nsm_interface_errors_total", "Errors.", "errors"), ("nsm_interface_drops_total", "Drops.", "drops"),
    ):  # fmt: skip
        yield (
            name,
            "counter",
            text,
            [
                ({"interface": item, "direction": side}, counters[f"{key}_{side}"])
                for item, counters, _ in items
                for side in ("in", "out")
            ],
        )


def _probes(figures: Mapping[str, Any]) -> Iterator[Family]:
    items = [
        ({"target": one["address"], "role": one["role"], "method": one["method"]}, one)
        for one in figures.get("probes", ())
    ]
    for name, text, key in (
        ("nsm_probe_loss_ratio", "Probes without an answer, of the last minute.", "loss"),
        ("nsm_probe_late", "Answers after the time-out, of the last minute.", "late"),
    ):
        yield name, "gauge", text, [(labels, one["minute"][key]) for labels, one in items]
    quantiles = (("0.5", "p50_ms"), ("0.95", "p95_ms"), ("1", "max_ms"))
    yield (
        "nsm_probe_rtt_seconds",
        "gauge",
        "Round trip, of the last minute.",
        [
            ({**labels, "quantile": quantile}, _seconds(one["minute"][key]))
            for labels, one in items
            for quantile, key in quantiles
        ],
    )
    yield ("nsm_probe_jitter_seconds", "gauge", "Jitter (RFC 3550, section 6.4.1).",
           [(labels, _seconds(one["jitter_ms"])) for labels, one in items])  # fmt: skip
    asked = figures.get("resolver") or {}
    if asked:
        took = _seconds(asked.get("time_ms"))
        yield (
            "nsm_resolver_seconds",
            "gauge",
            "The last question to the resolver.",
            [({"target": asked["address"]}, took)],
        )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1_000
