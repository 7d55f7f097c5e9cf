"""What the live page is told each second: rates, talkers, protocols, threats, score. Only sums; rows go beside."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from nsm.alert.score import score
from nsm.iana import PROTO_ICMP, PROTO_ICMPV6, SERVICE_NAMES, proto_name
from nsm.model.address import Networks, texts
from nsm.model.finding import SEVERITY_WORDS, Alert
from nsm.model.flow import APPS, Report
from nsm.model.table import Rows

TALKERS: Final = 10
PROTOCOLS: Final = 12
ROWS_PER_SECOND_MAX: Final = 1_000
ALERTS_KEPT: Final = 2_000
HOST_ACTIVE_S: Final = 60.0
HOSTS_KEPT: Final = 65_536
EVENT_SEVERITY: Final = "info"
KINDS: Final = ("network_scan", "flood", "large_packet", "external_connection", "suspicious_connection", "new_host")


def service_label(app: str, proto: int, port: int) -> str:
    """The application where it is known, else the port's service, else the protocol."""
    if app:
        return app
    if proto in (PROTO_ICMP, PROTO_ICMPV6):
        return "icmp"
    return SERVICE_NAMES.get(port) or proto_name(proto).lower()


def alert_row(alert: Alert) -> dict[str, Any]:
    """An alert as a row of the event log, in the form of nsm.serve.backend."""
    finding = alert.finding
    return {
        "ts": finding.ts / 1e6, "event_type": finding.kind, "severity": alert.severity.word,
        "src_ip": finding.src_ip, "src_port": finding.src_port, "dest_ip": finding.dest_ip,
        "dest_port": finding.dest_port, "proto": proto_name(finding.proto) if finding.proto else "",
        "details": finding.explain.what, "flow_id": finding.flow_ids[-1] if finding.flow_ids else None,
        "alert_id": alert.id,
    }  # fmt: skip


class LiveView:
    """Collects between two ticks of the page; ``second`` makes the message and starts anew."""

    def __init__(self, home: Networks) -> None:
        self._home = home
        self._alerts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._hosts: OrderedDict[str, float] = OrderedDict()
        self._status: dict[str, dict[str, Any]] = {}
        self._began = time.monotonic()
        self._watched = 0
        self._drop_window: Counter[str] = Counter()
        self.packets_total = 0
        self._reset()

    def _reset(self) -> None:
        self._sums: Counter[str] = Counter()
        self._talkers: dict[str, list[int]] = {}
        self._protocols: Counter[str] = Counter()
        self._rows: list[dict[str, Any]] = []
        self._seen = 0
        self._events = 0

    def seconds(self, rows: Rows) -> None:
        """Add SECOND rows."""
        for name in ("pkts", "bytes", "bytes_in", "bytes_out", "tcp_bytes", "udp_bytes", "icmp_pkts", "other_bytes"):
            self._sums[name] += int(rows[name].sum())
        drops = int(rows["drops"].sum())
        self._sums["drops"] += drops
        self._drop_window["drops"] += drops
        self._drop_window["pkts"] += int(rows["pkts"].sum())
        self.packets_total += int(rows["pkts"].sum())
        self._watched += len(rows)

    def activity(self, rows: Rows) -> None:
        """Add ACTIVITY rows of one worker."""
        sources, targets = texts(rows["src_hi"], rows["src_lo"]), texts(rows["dst_hi"], rows["dst_lo"])
        local_s, local_d = (
            self._home.contain(rows["src_hi"], rows["src_lo"]),
            self._home.contain(rows["dst_hi"], rows["dst_lo"]),
        )
        now = time.monotonic()
        columns = [rows[name].tolist() for name in ("bytes_s", "bytes_c", "dst_port", "proto", "app")]
        for src, dst, here, there, (to_server, to_client, port, proto, app) in zip(
            sources, targets, local_s.tolist(), local_d.tolist(), zip(*columns, strict=True), strict=True
        ):
            self._protocols[service_label(APPS[app], proto, port)] += to_server + to_client
            for host, local, sent, received in ((src, here, to_server, to_client), (dst, there, to_client, to_server)):
                if local or not (here or there):
                    talker = self._talkers.setdefault(host, [0, 0, 0, int(local)])
                    talker[0] += received
                    talker[1] += sent
                    talker[2] += 1
                if local:
                    self._hosts.pop(host, None)
                    self._hosts[host] = now
                    if len(self._hosts) > HOSTS_KEPT:
                        self._hosts.popitem(last=False)

    def status(self, worker: str, header: dict[str, Any]) -> None:
        """Note a worker's counters."""
        self._status[worker] = header

    @property
    def workers(self) -> dict[str, dict[str, Any]]:
        """The counters of each worker."""
        return self._status

    def forget(self, worker: str) -> None:
        """A worker has gone."""
        self._status.pop(worker, None)

    def flows(self, rows: Rows) -> None:
        """Add the event log's rows for flows that ended."""
        ended = np.flatnonzero(rows["report"] == Report.ENDED)
        self._events += len(ended)
        self._seen += len(ended)
        room = ROWS_PER_SECOND_MAX - len(self._rows)
        part = rows.take(ended[:room]) if room > 0 else None
        if part is None or not len(part):
            return
        sources, targets = texts(part["src_hi"], part["src_lo"]), texts(part["dst_hi"], part["dst_lo"])
        columns = [
            part[name].tolist() for name in (
                "ts", "src_port", "dst_port", "proto", "flow_id", "app", "bytes_s", "bytes_c", "pkts_s", "pkts_c"
            )
        ]  # fmt: skip
        for src, dst, (ts, sport, dport, proto, flow, app, size_s, size_c, pkts_s, pkts_c) in zip(
            sources, targets, zip(*columns, strict=True), strict=True
        ):
            label = service_label(app, proto, dport)
            icmp = proto in (PROTO_ICMP, PROTO_ICMPV6)
            self._rows.append({
                "ts": ts / 1e6, "event_type": "normal_traffic", "severity": EVENT_SEVERITY, "src_ip": src,
                "src_port": 0 if icmp else sport, "dest_ip": dst, "dest_port": 0 if icmp else dport,
                "proto": proto_name(proto), "details": f"{label}, {size_s + size_c:,} bytes in {pkts_s + pkts_c:,} packets",
                "flow_id": flow, "alert_id": None, "app": app, "bytes": size_s + size_c, "pkts": pkts_s + pkts_c,
            })  # fmt: skip

    def resume(self, alerts: Sequence[Alert], watched_s: float) -> None:
        """Go on with the alerts of an earlier process, which are no news, and with the time that it watched."""
        for alert in alerts:
            self._note(alert)
        self._began -= watched_s

    def alert(self, alert: Alert) -> None:
        """Add or replace an alert."""
        self._note(alert)
        self._sums["alerts"] += alert.rev == 1
        if alert.rev == 1:
            self._seen += 1
            self._rows.append(alert_row(alert))

    def _note(self, alert: Alert) -> None:
        finding = alert.finding
        self._alerts.pop(alert.id, None)
        self._alerts[alert.id] = {
            "id": alert.id, "severity": alert.severity.word, "kind": finding.kind, "confidence": finding.confidence,
            "last_seen": alert.last_seen, "state": alert.state,
        }  # fmt: skip
        if len(self._alerts) > ALERTS_KEPT:
            self._alerts.popitem(last=False)

    def clear(self) -> None:
        """The logs were cleared."""
        self._alerts.clear()

    def rows(self) -> dict[str, Any] | None:
        """The message with this second's rows of the event log; None when there were none."""
        if not self._seen:
            return None
        message = {"type": "rows", "seen": self._seen, "rows": self._rows}
        self._rows, self._seen = [], 0
        return message

    def second(self, boot: str, capturing: bool, drops_queue: int) -> dict[str, Any]:
        """The message of this second."""
        sums, now = self._sums, time.time()
        live = sum(header.get("live", 0) for header in self._status.values())
        active_since = time.monotonic() - HOST_ACTIVE_S
        hosts = sum(1 for seen in self._hosts.values() if seen >= active_since)
        by_app = self._protocols
        pkts = sums["pkts"]
        values: dict[str, float | None] = {
            "pps": pkts, "bps_in": sums["bytes_in"] * 8, "bps_out": sums["bytes_out"] * 8, "flows_active": live,
            "hosts_active": hosts, "drops_kernel": sums["drops"], "drops_queue": drops_queue, "events_s": self._events,
            "alerts_s": sums["alerts"], "avg_pkt": sums["bytes"] // pkts if pkts else None,
            "tcp_bps": sums["tcp_bytes"] * 8, "udp_bps": sums["udp_bytes"] * 8, "icmp_pps": sums["icmp_pkts"],
            "tls_bps": (by_app["tls"] + by_app["https"]) * 8, "http_bps": by_app["http"] * 8, "quic_bps": by_app["quic"] * 8,
            "ssh_bps": by_app["ssh"] * 8, "other_bps": sums["other_bytes"] * 8,
        }  # fmt: skip
        talkers = sorted(self._talkers.items(), key=lambda item: (-(item[1][0] + item[1][1]), item[0]))[:TALKERS]
        message = {
            "type": "second", "ts": int(now), "boot": boot, "v": values,
            "drops": self._drops(),
            "talkers": [
                {"ip": ip, "name": "", "local": bool(t[3]), "bytes_in": t[0], "bytes_out": t[1], "flows": t[2]}
                for ip, t in talkers
            ],
            "protocols": [
                {"key": name, "label": name, "bytes": size, "pkts": None} for name, size in by_app.most_common(PROTOCOLS)
            ],
            "score": self._score(now, capturing), "threats": self._threats(), "packets_total": self.packets_total,
            "gap": None,
        }  # fmt: skip
        rows, seen = self._rows, self._seen
        self._reset()
        self._rows, self._seen = rows, seen
        return message

    def _drops(self) -> dict[str, int]:
        """Packets that the kernel dropped, by interface, since its workers started."""
        drops = Counter[str]()
        for header in self._status.values():
            drops[header["iface"]] += header["drops"]
        return dict(drops)

    def _score(self, now: float, capturing: bool) -> dict[str, Any]:
        window = self._drop_window
        ratio = window["drops"] / max(1, window["drops"] + window["pkts"])
        made = score(self._alerts.values(), now, time.monotonic() - self._began, capturing, ratio)
        return {
            "score": made.score, "reason": made.reason,
            "deductions": [
                {"id": d.id, "label": d.label, "points": d.points, "cap": d.cap, "count": d.count, "q": d.q, "table": "alerts"}
                for d in made.deductions
            ],
        }  # fmt: skip

    def _threats(self) -> dict[str, dict[str, int]]:
        kinds, severities = Counter[str](), Counter[str]()
        for alert in self._alerts.values():
            kinds[alert["kind"]] += 1
            severities[alert["severity"]] += 1
        return {
            "by_kind": {kind: kinds[kind] for kind in KINDS},
            "by_severity": {word: severities[word] for word in SEVERITY_WORDS},
        }
