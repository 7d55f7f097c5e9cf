"""Security score: 100 less what is wrong, every deduction named. No traffic is "unknown", never 100.

Formula 1: incidents take 30, 15, 6 or 2 points for critical, high, medium, low, times confidence, halved for each day since
the last activity; the k-th alert of a severity counts 1/k; at most 50 in all. Unknown devices at most 5, blind spots
(drops, restarts) at most 10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from nsm.model.finding import OVER

POINTS: Final = {"critical": 30.0, "high": 15.0, "medium": 6.0, "low": 2.0}
LABELS: Final = {
    "critical": "Critical alerts", "high": "High alerts", "medium": "Medium alerts", "low": "Low alerts",
    "new_host": "New hosts", "blind": "Packets not seen",
}  # fmt: skip
INCIDENTS_CAP, DEVICES_CAP, BLIND_CAP = 50.0, 5.0, 10.0
HALF_LIFE_S: Final = 86_400.0
LEARN_S: Final = 600.0
SETTLED: Final = frozenset({"done", "muted", "closed", OVER})


class Deduction(msgspec.Struct, frozen=True):
    """Points taken for ``count`` rows, which the query ``q`` lists."""

    id: str
    label: str
    points: float
    cap: float
    count: int
    q: str


class Score(msgspec.Struct, frozen=True):
    """``score`` 0 to 100, or None with the reason; 100 less the sum of the deductions' points."""

    score: int | None
    reason: str
    deductions: tuple[Deduction, ...] = ()
    formula: int = 1


def score(
    alerts: Iterable[Mapping[str, Any]], now_s: float, watched_s: float, capturing: bool, drop_ratio: float
) -> Score:
    """The score of the network from its open alerts (fields severity, kind, confidence, last_seen in us, state)."""
    if not capturing:
        return Score(None, "Capture is stopped")
    if watched_s < LEARN_S:
        minutes = int((LEARN_S - watched_s) // 60) + 1
        return Score(None, f"Learning - score in {minutes} min")
    open_alerts = [alert for alert in alerts if alert.get("state", "new") not in SETTLED]
    deductions = []
    left = INCIDENTS_CAP
    for severity, points in POINTS.items():
        mine = sorted(
            (a for a in open_alerts if a["severity"] == severity),
            key=lambda a: (-int(a["last_seen"]), str(a.get("id"))),
        )
        total = 0.0
        for place, alert in enumerate(mine, 1):
            age_s = max(0.0, now_s - int(alert["last_seen"]) / 1e6)
            total += points * float(alert.get("confidence", 1.0)) * 0.5 ** (age_s / HALF_LIFE_S) / place
        total = min(round(total, 1), left)
        if total >= 0.1:
            deductions.append(
                Deduction(
                    severity, LABELS[severity], total, INCIDENTS_CAP, len(mine), f"severity:{severity} state:open"
                )
            )
            left -= total
    hosts = sum(1 for a in open_alerts if a.get("kind") == "new_host")
    if hosts:
        deductions.append(
            Deduction(
                "new_host",
                LABELS["new_host"],
                min(float(hosts), DEVICES_CAP),
                DEVICES_CAP,
                hosts,
                "kind:new_host state:open",
            )
        )
    if drop_ratio >= 0.001:
        blind = min(BLIND_CAP, round(2 + 100 * drop_ratio, 1))
        deductions.append(Deduction("blind", LABELS["blind"], blind, BLIND_CAP, 1, "kind:monitor"))
    taken = sum(item.points for item in deductions)
    return Score(max(0, round(100 - taken)), "", tuple(deductions))
