"""Finding: one statement of one detector, with its evidence. Alert: what a person should see of them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import msgspec


class Severity(IntEnum):
    """How bad it is if true."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The word used everywhere: info, low, medium, high, critical."""
        return self.name.lower()


NEW, OVER = "new", "over"  # states of an alert that nobody has dealt with
SEVERITY_WORDS: Final = tuple(severity.word for severity in Severity)


class Explain(msgspec.Struct, frozen=True):
    """The explanation in five parts, each a sentence or a list of them; facts are data, never markup."""

    what: str
    why: str
    sure_for: tuple[str, ...] = ()
    sure_against: tuple[str, ...] = ()
    benign: tuple[str, ...] = ()
    next: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector states. ``key`` is its dedup key: findings of one (detector, key) are one alert.

    Times are microseconds UTC of packet time. ``actors`` and ``victims`` are address texts, at most 16 each;
    ``flow_ids`` at most 5 samples. ``impact`` and ``confidence`` (0..1) give the severity; ``kind`` is the
    event type of the page's filters: network_scan, flood, large_packet, external_connection,
    suspicious_connection, new_host, monitor. ``over``: what was stated under this key is the case no more.
    """

    detector: str
    key: tuple[str, ...]
    kind: str
    signature: str
    signature_id: int
    category: str
    ts: int
    first_seen: int
    actors: tuple[str, ...]
    victims: tuple[str, ...]
    measured: float
    threshold: float
    unit: str
    window_s: float
    impact: Severity
    confidence: float
    techniques: tuple[str, ...] = ()
    tactics: tuple[str, ...] = ()
    flow_ids: tuple[int, ...] = ()
    src_ip: str = ""
    dest_ip: str = ""
    src_port: int = 0
    dest_port: int = 0
    proto: int = 0
    count: int = 1
    explain: Explain = Explain("", "")
    over: bool = False


class NearMiss(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement from a quarter of its threshold up, kept so that other thresholds can be tried on history."""

    detector: str
    key: tuple[str, ...]
    ts: int
    measured: float
    threshold: float
    window_s: float


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A deduplicated finding. One row in the store and one card on the page, updated as it goes on.

    ``id`` is a function of detector, key and first time: the same for any run over the same packets.
    ``rev`` counts the updates; ``state`` is what people did with it, or ``over`` when nobody did anything and it ended.
    ``ended``: when it was over, in microseconds UTC; 0: it is not, or nobody tells (events that are over at once).
    """

    id: str
    finding: Finding
    severity: Severity
    risk: int
    count: int
    first_seen: int
    last_seen: int
    rev: int = 1
    state: str = NEW
    incident: str = ""
    ended: int = 0
    settings_hash: str = ""
    emit: bool = True  # False: only an update of count and last_seen, not an event of its own

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        value["severity"] = self.severity.word
        value["finding"]["impact"] = self.finding.impact.word
        return value
