"""What a scan means for a person: changes and weaknesses as findings, which become alerts like any other.

ATT&CK: a service that was not there before may be a back door or remote access (T1133, T1571).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from nsm.iana import PROTO_TCP, PROTO_UDP
from nsm.model.finding import Explain, Finding, Severity
from nsm.model.scan import Risk, Scan, ScannedPort
from nsm.scan.difference import CHANGED, CLOSED, FLAPPING, GONE, IDENTITY, NEW_HOST, OPENED, Change

DETECTOR: Final = "scan"
KIND: Final = "monitor"
OPENED_ID, CHANGED_ID, RISK_ID = 9_000_101, 9_000_102, 9_000_103
PROTOS: Final = {"tcp": PROTO_TCP, "udp": PROTO_UDP}
SEVERITIES: Final = {severity.word: severity for severity in Severity}


def findings(
    scan: Scan, changes: Sequence[Change], risky_before: frozenset[tuple[str, str, int, str]]
) -> Iterator[Finding]:
    """Findings of a complete scan. ``risky_before``: (address, proto, port, risk id) that the scan before had already."""
    for change in changes:
        if change.what == OPENED:
            yield _opened(scan, change)
        elif change.what == CHANGED and _identity_changed(change):
            yield _changed(scan, change)
    for port in scan.found:
        for risk in port.service.risks if port.service is not None else ():
            if (port.address, port.proto, port.port, risk.id) not in risky_before:
                yield _risky(scan, port, risk)


def risks_of_scan(scan: Scan) -> frozenset[tuple[str, str, int, str]]:
    """The weaknesses that a scan found."""
    return frozenset(
        (port.address, port.proto, port.port, risk.id)
        for port in scan.found
        if port.service is not None
        for risk in port.service.risks
    )


def summary(changes: Sequence[Change]) -> str:
    """One sentence about the changes."""
    counts = {
        what: sum(one.what == what for one in changes) for what in (OPENED, CLOSED, CHANGED, GONE, NEW_HOST, FLAPPING)
    }
    said = [f"{count} {what}" for what, count in counts.items() if count]
    return f"since the scan before: {', '.join(said)}" if said else "nothing changed since the scan before"


def _identity_changed(change: Change) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return False
    keys = (IDENTITY[0],) if before.name == "ssh" else ()
    return before.name != after.name or any(before.details.get(key) != after.details.get(key) for key in keys)


def _base(scan: Scan, address: str, proto: str, port: int) -> dict[str, object]:
    return {
        "detector": DETECTOR, "kind": KIND, "category": "Misc activity", "ts": scan.ended,
        "first_seen": scan.started, "actors": (), "victims": (address,), "measured": 1, "threshold": 1, "unit": "ports",
        "window_s": 0.0, "dest_ip": address, "dest_port": port, "proto": PROTOS.get(proto, 0),
    }  # fmt: skip


def _opened(scan: Scan, change: Change) -> Finding:
    return Finding(
        **_base(scan, change.address, change.proto, change.port),  # type: ignore[arg-type]
        key=("opened", change.address, change.proto, str(change.port)), signature="New open port",
        signature_id=OPENED_ID, impact=Severity.LOW, confidence=0.9, techniques=("T1571",), tactics=("TA0011",),
        explain=Explain(
            what=f"{change.text}; the scan before found it closed.",
            why="A new service can be reached by others, and may be one that nobody meant to start.",
            sure_for=("our own scan connected to it",), benign=("an update", "a new program of the owner"),
            next=(f"Ask who runs {change.address} whether the service is meant.", "Close it, or limit who may reach it."),
        ),
    )  # fmt: skip


def _changed(scan: Scan, change: Change) -> Finding:
    return Finding(
        **_base(scan, change.address, change.proto, change.port),  # type: ignore[arg-type]
        key=("changed", change.address, change.proto, str(change.port)), signature="Another service or host key on a port",
        signature_id=CHANGED_ID, impact=Severity.MEDIUM, confidence=0.7, techniques=("T1557",), tactics=("TA0006",),
        explain=Explain(
            what=f"{change.text}.",
            why="Another key or program behind the same address can mean another machine, or one that listens in between.",
            sure_for=("our own scan read both",), benign=("a new installation", "an address that went to another machine"),
            next=("Compare the host key with the one shown on the machine itself.",),
        ),
    )  # fmt: skip


def _risky(scan: Scan, port: ScannedPort, risk: Risk) -> Finding:
    return Finding(
        **_base(scan, port.address, port.proto, port.port),  # type: ignore[arg-type]
        key=("risk", risk.id, port.address, port.proto, str(port.port)), signature=risk.title, signature_id=RISK_ID,
        impact=SEVERITIES.get(risk.severity, Severity.LOW), confidence=port.service.confidence if port.service else 0.5,
        techniques=("T1133",), tactics=("TA0001",),
        explain=Explain(
            what=f"{port.address} {port.port}/{port.proto}: {risk.title}.", why=risk.why,
            sure_for=("our own scan saw it",), next=(risk.mend,),
        ),
    )  # fmt: skip
