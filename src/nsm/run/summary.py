"""What a capture is, for a person: packets, time, flows by application, top talkers, alerts. Bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from nsm.iana import PROTO_NAMES
from nsm.model.address import text
from nsm.model.finding import Alert, Severity
from nsm.model.flow import Report
from nsm.model.table import Rows
from nsm.pipeline import Result

HOSTS_MAX: Final = 65_536  # of which the half with least traffic is forgotten when it is full; then sums are too low
ALERTS_MAX: Final = 10_000
SHOWN: Final = 10
_K = TypeVar("_K", str, tuple[int, int])
SHAPES: Final = {
    Severity.CRITICAL: "■", Severity.HIGH: "▲", Severity.MEDIUM: "◆", Severity.LOW: "●", Severity.INFO: "○"
}  # fmt: skip


class Summary:
    """Sums over results. ``traffic=False`` keeps the alerts alone, which cost nothing."""

    def __init__(self, *, traffic: bool = True) -> None:
        self._traffic = traffic
        self.packets = self.octets = self.flows = 0
        self._first = self._last = 0
        self._apps: dict[str, list[int]] = {}
        self._hosts: dict[tuple[int, int], list[int]] = {}
        self._alerts: dict[str, Alert] = {}
        self.worst = -1  # the highest severity of an alert

    def add(self, result: Result) -> None:
        """Take what happened in a stretch of time."""
        for alert in result.alerts:
            self.worst = max(self.worst, int(alert.severity))
            if alert.id in self._alerts or len(self._alerts) < ALERTS_MAX:
                self._alerts[alert.id] = alert
        seconds = result.records.seconds
        if not self._traffic:
            return
        if len(seconds):
            self._first = min(self._first or 1 << 62, int(seconds["ts"].min()))
            self._last = max(self._last, int(seconds["ts"].max()) + 1_000_000)
            self.packets += int(seconds["pkts"].sum())
            self.octets += int(seconds["bytes"].sum())
        rows = result.records.flows
        ended = rows.take(rows["report"] == Report.ENDED)
        if len(ended):
            self.flows += len(ended)
            self._add_flows(ended)

    def _add_flows(self, rows: Rows) -> None:
        octets = (rows["bytes_s"] + rows["bytes_c"]).tolist()
        packets = (rows["pkts_s"] + rows["pkts_c"]).tolist()
        hosts, apps = self._hosts, self._apps
        columns = [rows[name].tolist() for name in ("app", "proto", "src_hi", "src_lo", "dst_hi", "dst_lo")]
        for app, proto, src_hi, src_lo, dst_hi, dst_lo, size, count in zip(*columns, octets, packets, strict=True):
            for sums in (
                apps.setdefault(app or (PROTO_NAMES.get(proto) or f"IP protocol {proto}").lower(), [0, 0, 0]),
                hosts.setdefault((src_hi, src_lo), [0, 0, 0]),
                hosts.setdefault((dst_hi, dst_lo), [0, 0, 0]),
            ):
                sums[0] += 1
                sums[1] += count
                sums[2] += size
        if len(hosts) > HOSTS_MAX:
            kept = sorted(hosts.items(), key=lambda item: -item[1][2])[: HOSTS_MAX // 2]
            self._hosts = dict(kept)

    @property
    def headline(self) -> str:
        """Packets, bytes, flows and the time they span (to the second, UTC), in one line."""
        if not self.packets:
            return "no packets"
        begin, end = (datetime.fromtimestamp(us / 1e6, UTC) for us in (self._first, self._last))
        until = f"{end:%H:%M:%S}" if begin.date() == end.date() else f"{end:%Y-%m-%d %H:%M:%S}"
        seconds = (self._last - self._first) // 1_000_000
        return (
            f"{counted(self.packets, 'packet')}, {amount(self.octets)}, {counted(self.flows, 'flow')} "
            f"in {seconds:,} s from {begin:%Y-%m-%d %H:%M:%S} to {until} UTC"
        )

    def applications(self) -> Iterator[dict[str, Any]]:
        """The applications with most bytes; flows without a known one by their protocol."""
        for name, sums in _largest(self._apps):
            yield _row("application", name, sums)

    def talkers(self) -> Iterator[dict[str, Any]]:
        """The hosts with most bytes, in both directions."""
        for address, sums in _largest(self._hosts):
            yield _row("host", text(*address), sums)

    def alerts(self) -> Iterator[dict[str, Any]]:
        """The worst alerts, each with its shape, word and sentence."""
        for alert in self._ranked()[: 2 * SHOWN]:
            finding = alert.finding
            yield {
                "severity": f"{SHAPES[alert.severity]} {alert.severity.word}", "detector": finding.detector,
                "count": alert.count, "what": finding.explain.what or finding.signature,
            }  # fmt: skip

    def figures(self, alerts_max: int) -> dict[str, Any]:
        """The same as plain numbers, with the fields of ``nsm.store.captures.Found``."""
        ranked = self._ranked()
        levels = Counter(alert.severity.word for alert in ranked)
        return {
            "packets": self.packets, "bytes": self.octets, "flows": self.flows, "first_us": self._first,
            "last_us": self._last, "applications": tuple(_plain(name, sums) for name, sums in _largest(self._apps)),
            "hosts": tuple(_plain(text(*address), sums) for address, sums in _largest(self._hosts)),
            "alerts": tuple(_told(alert) for alert in ranked[:alerts_max]), "alerts_count": len(ranked),
            "by_severity": dict(levels),
        }  # fmt: skip

    def _ranked(self) -> list[Alert]:
        """The worst first."""
        return sorted(self._alerts.values(), key=lambda alert: (-alert.severity, -alert.risk, alert.first_seen))

    @property
    def span_us(self) -> tuple[int, int]:
        """(first, last) of the seconds with packets, us UTC; zeros when there were none."""
        return self._first, self._last

    @property
    def alert_count(self) -> int:
        """Alerts kept; at most ALERTS_MAX."""
        return len(self._alerts)


def _largest(sums: Mapping[_K, list[int]]) -> list[tuple[_K, list[int]]]:
    """Those with most bytes."""
    return sorted(sums.items(), key=lambda item: (-item[1][2], item[0]))[:SHOWN]


def _plain(name: str, sums: list[int]) -> dict[str, Any]:
    return {"name": name, "flows": sums[0], "packets": sums[1], "bytes": sums[2]}


def _told(alert: Alert) -> dict[str, Any]:
    finding = alert.finding
    return {
        "severity": alert.severity.word, "detector": finding.detector, "title": finding.signature,
        "what": finding.explain.what or finding.signature, "count": alert.count, "first": alert.first_seen,
        "last": alert.last_seen, "src": finding.src_ip, "dest": finding.dest_ip,
    }  # fmt: skip


def _row(kind: str, name: str, sums: list[int]) -> dict[str, Any]:
    return {kind: name, "flows": sums[0], "packets": sums[1], "bytes": amount(sums[2])}


def counted(number: int, noun: str) -> str:
    """1 packet, 2,000 packets."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def amount(octets: float) -> str:
    """Bytes with a unit of 1,024: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1024:
            return f"{octets:,.0f} {unit}" if unit == "B" else f"{octets:,.1f} {unit}"
        octets /= 1024
    return f"{octets:,.1f} TiB"
