"""Alerts: the list and one in full."""

from __future__ import annotations

import time
from typing import Any, Final, Literal

import msgspec
from fastapi import APIRouter, Response

from nsm.serve.answers import AlertCard, Answer, Span
from nsm.serve.depends import Limit, Reads, Times, Uses
from nsm.serve.problems import NotFoundError, documented
from nsm.serve.shapes import alert_card, iso
from nsm.store.reader import AlertFilter

SPEC: Final = APIRouter(prefix="/api/v1", tags=["alerts"])


class Packets(Response):
    """A capture file."""

    media_type: str | None = "application/octet-stream"


class AlertPage(Answer, Span):
    """Alerts, and the totals of everything that matches. ``rev`` counts changes, ``next`` asks for the following page."""

    items: list[AlertCard]
    next: str | None
    total: int
    total_is: Literal["exact"]
    partial: bool
    took_ms: float
    by_severity: dict[str, int]
    by_kind: dict[str, int]
    rev: int


class AlertWhole(AlertCard):
    """An alert with all that is stored of it; ``has_packets``: they can be downloaded."""

    has_packets: bool
    raw: dict[str, Any]


@SPEC.get("/alerts")
def alerts(
    use: Uses, _session: Reads, times: Times, q: str = "", limit: Limit = 100, after: str | None = None
) -> AlertPage:
    """Alerts last seen in the time, newest first, with totals by severity and kind."""
    started = time.perf_counter()
    page = use.reader.alerts(AlertFilter(q=q, start_us=times[0], stop_us=times[1], limit=limit, after=after))
    took = round((time.perf_counter() - started) * 1e3, 1)
    return {
        "items": [alert_card(item) for item in page.items], "next": page.next, "total": page.total,
        "total_is": "exact", "partial": False, "took_ms": took, "from": iso(times[0]), "to": iso(times[1]),
        "by_severity": page.by_severity, "by_kind": page.by_kind, "rev": use.state.rev,
    }  # fmt: skip


@SPEC.get("/alerts/{alert_id}", responses=documented(404))
def alert(alert_id: str, use: Uses, _session: Reads) -> AlertWhole:
    """One alert with its explanation, evidence and notes."""
    found = use.reader.alert(alert_id)
    if found is None:
        raise NotFoundError(
            f"there is no alert {alert_id[:64]}", mend="it may have been cleared, or is older than is kept"
        )
    has_packets = use.reader.capsule(alert_id) is not None
    return {**alert_card(found), "has_packets": has_packets, "raw": msgspec.to_builtins(found)}


@SPEC.get("/alerts/{alert_id}/packets.pcapng", response_class=Packets, responses=documented(404))
def packets(alert_id: str, use: Uses, _session: Reads) -> Packets:
    """The packets kept behind an alert."""
    found = use.reader.capsule(alert_id)
    if found is None:
        raise NotFoundError("no packets were kept for this alert")
    name = "".join(char for char in alert_id if char.isalnum())[:64]
    headers = {"Content-Disposition": f'attachment; filename="nsm-{name}.pcapng"'}
    return Packets(found, headers=headers)
