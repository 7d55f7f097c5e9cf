"""Scans of ports: what was asked, what answered, and what a service said of itself."""

from __future__ import annotations

import enum

import msgspec

BANNER_BYTES_MAX = 512  # kept of what a service says, escaped


class PortState(enum.StrEnum):
    """What a port is, in the words that everyone uses."""

    OPEN = "open"
    CLOSED = "closed"
    FILTERED = "filtered"
    OPEN_FILTERED = "open|filtered"
    UNFILTERED = "unfiltered"


class ScanState(enum.StrEnum):
    """How far a scan is."""

    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"  # interrupted or given up; what was found is kept


class Risk(msgspec.Struct, frozen=True):
    """A known weakness in plain words. ``id`` is stable ("telnet-open"); severity as of findings ("low" to "critical")."""

    id: str
    severity: str
    title: str
    why: str
    mend: str


class Service(msgspec.Struct, frozen=True, omit_defaults=True):
    """What speaks on a port. ``name``: IANA's service name.

    ``how``: "banner" (it said so by itself), "handshake" (it answered our probe), "port" (a guess by the number alone).
    ``confidence`` 0 to 1. ``details`` are facts of the protocol (certificate, host key, dialect), as text.
    """

    name: str
    product: str = ""
    version: str = ""
    how: str = "port"
    confidence: float = 0.0
    tls: bool = False
    banner: str = ""
    details: dict[str, str] = {}
    risks: tuple[Risk, ...] = ()


class ScannedPort(msgspec.Struct, frozen=True, omit_defaults=True):
    """One port of one address. ``reason``: what says so ("syn-ack", "rst", "icmp 3/13", "no answer"); ``rtt_ms`` of the answer."""

    address: str
    proto: str
    port: int
    state: PortState
    reason: str = ""
    ttl: int = 0
    tries: int = 1
    rtt_ms: float = 0.0
    service: Service | None = None


class ScannedHost(msgspec.Struct, frozen=True, omit_defaults=True):
    """A target that is up. ``up_by``: what showed it ("arp", "icmp echo", "syn-ack 443", "monitor", "assumed").

    ``counts``: state -> ports in it, for the ports that are not listed one by one.
    """

    address: str
    name: str = ""
    mac: str = ""
    up_by: str = ""
    rtt_ms: float = 0.0
    os_hint: str = ""
    counts: dict[str, int] = {}


class Scan(msgspec.Struct, frozen=True, omit_defaults=True):
    """One scan as a whole. Times are us UTC; ``sent`` and ``answered`` count probes, ``loss`` is the share estimated lost."""

    id: str
    started: int
    ended: int
    targets: tuple[str, ...]
    ports: str
    options: dict[str, str]
    state: ScanState
    sent: int = 0
    answered: int = 0
    loss: float = 0.0
    covered: dict[str, str] = {}
    """Which ports were asked, by protocol: {"tcp": "22,80-443"}. A port that is not in it is not known to be closed."""
    hosts: tuple[ScannedHost, ...] = ()
    found: tuple[ScannedPort, ...] = ()
    """Ports that are open, open|filtered or unfiltered, and those in a state that few of their host's ports have."""
