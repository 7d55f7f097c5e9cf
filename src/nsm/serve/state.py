"""What the web server knows of now: the last second, the capture, the gaps. Frames for pages are made of it."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, cast

from nsm.serve.answers import Score, SeedStats, Threats
from nsm.serve.backend import SERIES, Message
from nsm.serve.history import History, Tick, values_of
from nsm.serve.shapes import seed_log

GAPS_MAX: Final = 20  # ours: gaps shown; the store has all
TALKERS_MAX: Final = 20  # ours: of the live table; /api/v1/top has all
PROTOCOLS_MAX: Final = 9  # eight colours and "other" (ux.md 3.3)
SEED_LOGS_MAX: Final = 1_000
STOPPED: Final[dict[str, Any]] = {"state": "stopped", "interfaces": [], "error": None, "since": None, "demo": False}


class LiveState:
    """The newest of everything that the feed said; bounded. ``boot`` names this life of the web server."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)
        self.seq = 0
        self.history = History()
        self.capture: dict[str, Any] = dict(STOPPED)
        self.gaps: deque[dict[str, Any]] = deque(maxlen=GAPS_MAX)
        self.started = time.time()
        self.rev = 0  # counts what changed the list of alerts
        self._second: dict[str, Any] = {}
        self._feed_boot = ""

    def second(self, message: Message) -> dict[str, Any]:
        """Take in a second and give its tick."""
        self._second = dict(message)
        boot = str(message.get("boot", ""))
        if self._feed_boot and boot != self._feed_boot:
            now = float(message.get("ts") or time.time())
            last = self.last_ts or now
            self.gap({"what": "The analysis was started again", "from": last, "to": now, "process": "analyst"})
        self._feed_boot = boot
        if message.get("gap"):
            self.gap(message["gap"])
        return self._tick(int(message.get("ts") or time.time()), values_of(message.get("v") or {}), silent=False)

    def silent_second(self, now: float) -> dict[str, Any]:
        """The tick of a second in which the analyst said nothing: no numbers, and the page says why."""
        return self._tick(int(now), (None,) * len(SERIES), silent=True)

    def gap(self, gap: Message) -> None:
        """Note an interruption of the monitoring; the same one again is an update."""
        key = (gap.get("process"), gap.get("from"))
        if self.gaps and (self.gaps[-1].get("process"), self.gaps[-1].get("from")) == key:
            self.gaps.pop()
        self.gaps.append({name: gap.get(name) for name in ("what", "from", "to", "process")})

    @property
    def last_ts(self) -> int | None:
        """The time of the last second, s UTC; None before the first."""
        return int(self._second["ts"]) if self._second.get("ts") else None

    @property
    def score(self) -> Score:
        """The security score; a score of None and the reason while there is none."""
        if self.capture["state"] in ("stopped", "failed"):
            return {"score": None, "reason": "Capture is stopped", "deductions": []}
        return cast("Score", self._second.get("score") or {"score": None, "reason": "Learning", "deductions": []})

    @property
    def threats(self) -> Threats:
        """Numbers of alerts: {by_kind, by_severity}."""
        return cast("Threats", self._second.get("threats") or {"by_kind": {}, "by_severity": {}})

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs at first; the frame ``snapshot``."""
        return {
            "boot": self.boot, "seq": self.seq, "now": time.time(), "capture": self.capture,
            "series": self.history.all(), "gaps": list(self.gaps), "limits": {"acks": 2, "rows": 2_000},
            **self._latest(),
        }  # fmt: skip

    def seed_stats(self) -> SeedStats:
        """``stats`` of the seed contract (peers.md 0)."""
        severities = (self._second.get("threats") or {}).get("by_severity") or {}
        since = self.capture.get("since")
        running = self.capture["state"] in ("running", "demo")
        return {
            "packets_analyzed": self._second.get("packets_total") or 0,
            "threats_detected": sum(severities.get(word, 0) for word in ("low", "medium", "high", "critical")),
            "active_ips": (self._second.get("v") or {}).get("hosts_active") or 0,
            "scan_status": "running" if running else "stopped",
            "uptime_seconds": int(time.time() - since) if since and running else 0,
        }

    def seed_frame(self, row: Message) -> dict[str, Any]:
        """``new_log`` of the seed contract."""
        return {"log": seed_log(row), "stats": self.seed_stats()}

    def seed_status(self) -> dict[str, Any]:
        """``capture_status`` of the seed contract."""
        running = self.capture["state"] in ("running", "demo")
        return {"status": "started" if running else "stopped", "stats": self.seed_stats()}

    def _tick(self, ts: int, values: tuple[float | int | None, ...], *, silent: bool) -> dict[str, Any]:
        self.seq += 1
        self.history.add(Tick(self.seq, ts, values))
        return {"boot": self.boot, "seq": self.seq, "ts": ts, "v": values, "silent": silent, **self._latest()}

    def _latest(self) -> dict[str, Any]:
        second = self._second
        threats = self.threats
        return {
            "drops": second.get("drops") or {},
            "top": list(second.get("talkers") or ())[:TALKERS_MAX],
            "protocols": _largest(second.get("protocols") or ()),
            "score": self.score,
            "threats": threats,
            "inbox": {**threats.get("by_severity", {}), "rev": self.rev},
            "packets_total": second.get("packets_total"),
        }


def _largest(protocols: Sequence[Message]) -> list[Message]:
    """The eight largest by bytes; all others are one more, "other", so that shares still add up."""
    ordered = sorted((one for one in protocols if one["key"] != "other"), key=lambda one: -one["bytes"])
    rest = [*ordered[PROTOCOLS_MAX - 1 :], *(one for one in protocols if one["key"] == "other")]
    if not rest:
        return ordered
    packets = [one["pkts"] for one in rest]
    sums = {"bytes": sum(one["bytes"] for one in rest), "pkts": None if None in packets else sum(packets)}
    return [*ordered[: PROTOCOLS_MAX - 1], {"key": "other", "label": "Other", **sums}]
