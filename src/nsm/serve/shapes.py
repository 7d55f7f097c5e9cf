"""The forms in which the page and seed clients get alerts and log rows; made in one place, from stored dicts."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from nsm.iana import proto_name, service_name
from nsm.model.finding import SEVERITY_WORDS
from nsm.serve.answers import AlertCard, End, Evidence, Explanation, Note, Row, SeedLog

SEED_SEVERITY: Final[dict[str, Literal["low", "medium", "high"]]] = {
    "info": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "high",
}
SEED_TYPES: Final = ("network_scan", "large_packet", "external_connection", "normal_traffic")
SEED_KIND: Final = {"flood": "network_scan", "suspicious_connection": "external_connection"}
TEXT_CHARS_MAX: Final = 4_096  # ours: of one text of an alert on the page


def iso(us: int | float) -> str:
    """RFC 3339 UTC with milliseconds of microseconds since 1970."""
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alert_card(alert: Mapping[str, Any]) -> AlertCard:
    """The ``group`` of the page's protocol (ux.md 4.3) of one ``Alert.as_dict()``, notes and state included."""
    finding: Mapping[str, Any] = alert.get("finding") or {}
    flow_ids = list(finding.get("flow_ids") or ())
    return {
        "id": alert["id"],
        "rule": finding.get("detector", ""),
        "kind": finding.get("kind", ""),
        "title": _text(finding.get("signature")),
        "severity": alert.get("severity", "info"),
        "confidence": finding.get("confidence", 0.0),
        "risk": alert.get("risk", 0),
        "state": alert.get("state", "new"),
        "count": alert.get("count", 1),
        "rev": alert.get("rev", 1),
        "first": iso(alert.get("first_seen") or 0),
        "last": iso(alert.get("last_seen") or 0),
        "ended": iso(alert["ended"]) if alert.get("ended") else None,
        "src": _end(finding.get("src_ip"), finding.get("src_port")),
        "dst": _end(finding.get("dest_ip"), finding.get("dest_port")),
        "proto": proto_name(int(finding.get("proto") or 0)) if finding.get("proto") else "",
        "actors": list(finding.get("actors") or ()),
        "victims": list(finding.get("victims") or ()),
        "techniques": list(finding.get("techniques") or ()),
        "flow_ids": flow_ids,
        "notes": _notes(alert.get("notes")),
        "explain": _explain(finding, alert),
    }


def _explain(finding: Mapping[str, Any], alert: Mapping[str, Any]) -> Explanation:
    parts: Mapping[str, Any] = finding.get("explain") or {}
    window = _window(finding.get("window_s") or 0)
    evidence: list[Evidence] = [{
        "label": finding.get("unit") or "measured", "measured": finding.get("measured"),
        "threshold": finding.get("threshold"), "unit": " / ".join(filter(None, (finding.get("unit"), window))),
        "count": alert.get("count", 1), "q": "",
    }]  # fmt: skip
    source = finding.get("src_ip") or next(iter(finding.get("actors") or ()), "")
    if source:
        evidence.append({"label": "flows", "q": f"src:{source}", "count": None, "measured": None,
                         "threshold": None, "unit": ""})  # fmt: skip
    return {
        "what": _text(parts.get("what")),
        "why": _text(parts.get("why")),
        "sure": {
            "pct": round(100 * float(finding.get("confidence") or 0)),
            "for": _texts(parts.get("sure_for")),
            "against": _texts(parts.get("sure_against")),
            "benign": _texts(parts.get("benign")),
        },
        "next": [{"text": text, "cmd": "", "href": ""} for text in _texts(parts.get("next"))],
        "evidence": evidence,
    }


def _notes(notes: Any) -> list[Note]:
    if not isinstance(notes, list):  # lists of alerts carry their number alone
        return []
    return [{"ts": iso(note["ts"]), "who": note["who"], "state": note["state"], "text": note["text"]} for note in notes]


def _window(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {word}"
    return f"{seconds:g} s" if seconds else ""


def _end(ip: Any, port: Any) -> End:
    return {"ip": ip or "", "port": port or 0, "name": "", "local": is_local(str(ip or ""))}


def is_local(address: str) -> bool:
    """True for addresses that are not of the public internet."""
    try:
        return not ipaddress.ip_address(address).is_global
    except ValueError:
        return False


def _text(value: Any) -> str:
    return str(value or "")[:TEXT_CHARS_MAX]


def _texts(values: Any) -> list[str]:
    return [_text(value) for value in values or ()]


def alert_row(alert: Mapping[str, Any]) -> Row:
    """The log row of an alert; ``ts`` in seconds."""
    finding: Mapping[str, Any] = alert.get("finding") or {}
    return {
        "ts": (alert.get("last_seen") or 0) / 1e6,
        "event_type": finding.get("kind", "monitor"),
        "severity": alert.get("severity", "info"),
        "src_ip": finding.get("src_ip") or next(iter(finding.get("actors") or ()), ""),
        "src_port": finding.get("src_port") or None,
        "dest_ip": finding.get("dest_ip") or next(iter(finding.get("victims") or ()), ""),
        "dest_port": finding.get("dest_port") or None,
        "proto": proto_name(finding["proto"]) if finding.get("proto") else "",
        "details": _text(f"{finding.get('signature', '')}: {(finding.get('explain') or {}).get('what', '')}"),
        "flow_id": None,
        "alert_id": alert["id"],
    }


def flow_row(flow: Mapping[str, Any]) -> Row:
    """The log row of a stored flow (columns as in ``nsm.model.flow``, ``src`` and ``dst`` as text)."""
    icmp = flow["proto"] in (1, 58)
    service = flow.get("app") or ("" if icmp else service_name(flow["dst_port"]))
    size, packets = flow["bytes_s"] + flow["bytes_c"], flow["pkts_s"] + flow["pkts_c"]
    answer = ("", ", no answer", ", refused", "")[flow["outcome"]]
    name = f"{service} " if service and not service.isdigit() else ""
    return {
        "ts": flow["ts"] / 1e6,
        "event_type": "normal_traffic",
        "severity": "info",
        "src_ip": flow["src"],
        "src_port": None if icmp else flow["src_port"],
        "dest_ip": flow["dst"],
        "dest_port": None if icmp else flow["dst_port"],
        "proto": proto_name(flow["proto"]),
        "details": f"{name}{size:,} bytes, {packets:,} packets{answer}",
        "flow_id": flow["flow_id"],
        "alert_id": None,
    }


def seed_log(row: Mapping[str, Any]) -> SeedLog:
    """A log row in the form of the seed contract (peers.md 0); kinds and severities it lacks take the nearest."""
    kind = str(row.get("event_type") or "normal_traffic")
    return {
        "timestamp": iso((row.get("ts") or 0) * 1e6),
        "source_ip": row.get("src_ip") or "",
        "source_port": row.get("src_port"),
        "destination_ip": row.get("dest_ip") or "",
        "destination_port": row.get("dest_port"),
        "protocol": row.get("proto") or "",
        "event_type": kind if kind in SEED_TYPES else SEED_KIND.get(kind, "normal_traffic"),
        "details": row.get("details") or "",
        "severity": SEED_SEVERITY.get(str(row.get("severity")), "low"),
    }


def severity_number(word: str) -> int:
    """0 info to 4 critical; 0 for an unknown word."""
    return SEVERITY_WORDS.index(word) if word in SEVERITY_WORDS else 0
