"""Alerts and messages of tests."""

from __future__ import annotations

from typing import Any

from nsm.model.finding import Alert, Explain, Finding, Severity
from nsm.model.notice import Notice
from nsm.run.notice_desk import Parcel
from nsm.run.notice_words import Scene, notice_of

NOW = 1_790_000_000.0
HOSTILE = "evil\r\nBcc: all@example.org\x1b[31m <script>alert(1)</script> | a=b \\ \u202e"


def alert(number: int = 1, severity: Severity = Severity.HIGH, *, now: float = NOW, **rest: Any) -> Alert:
    seen = int(now * 1e6)
    finding: dict[str, Any] = {
        "detector": "port_scan", "key": (str(number),), "kind": "network_scan", "signature": "Port scan",
        "signature_id": 9_000_001, "category": "Attempted Information Leak", "ts": seen, "first_seen": seen - 1_000_000,
        "actors": ("192.168.1.23",), "victims": ("192.168.1.5",), "measured": 214, "threshold": 25, "unit": "ports",
        "window_s": 300, "impact": severity, "confidence": 0.85, "src_ip": "192.168.1.23", "dest_ip": "192.168.1.5",
        "dest_port": 22, "proto": 6, "techniques": ("T1046",),
        "explain": Explain("laptop-7 tried 214 ports on nas.", "It is often the first step.", ("Measured 214.",),
                           ("No log-in after.",), ("An inventory tool.",), ("Ask the owner.", "Look what it did next.")),
    }  # fmt: skip
    fields = {name: rest.pop(name) for name in list(rest) if name in Finding.__struct_fields__ and name != "count"}
    values: dict[str, Any] = {"risk": 60, "count": 3, "first_seen": seen - 1_000_000, "last_seen": seen, **rest}
    return Alert(id=f"A{number}", finding=Finding(**{**finding, **fields}), severity=severity, **values)


def notice(*alerts: Alert, notice_id: str = "n1", kind: str = "alert") -> Notice:
    scene = Scene("sensor-1", "http://127.0.0.1:8052/")
    return notice_of(Parcel(kind, alerts or (alert(),)), notice_id, NOW, scene)
