"""What is wrong with the network's or this machine's health, as findings, which become alerts like any other."""

from __future__ import annotations

from typing import Final

import msgspec

from nsm.health.forecast import Forecast
from nsm.health.gateway import Target
from nsm.health.thresholds import Raised
from nsm.model.finding import Explain, Finding, Severity

DETECTOR: Final = "health"
KIND: Final = "monitor"
LOSS_ID, LATENCY_ID, RESOLVER_ID, INTERFACE_ID, DISK_ID, SILENT_ID = range(9_000_201, 9_000_207)
WINDOW_S: Final = 300.0
SURE: Final = 0.9  # measured by ourselves


def loss(target: Target, measured: float, limit: float, raised: Raised, now_us: int) -> Finding:
    """Too many probes without an answer."""
    return _finding(
        LOSS_ID, ("loss", target.address), "Packets are lost", now_us, raised, measured, limit, "ratio",
        address=target.address, impact=Severity.MEDIUM,
        explain=Explain(
            what=f"{measured:.1%} of the probes to the {named(target)} had no answer{_often(raised)}.",
            why="Lost packets make connections slow or break them; a gateway that loses some is often overloaded or failing.",
            sure_for=("3 of the last 5 minutes were above the limit.",),
            benign=("A target that answers only so many echoes a second.", "Wi-Fi far from its base."),
            next=("Look at the cable, the Wi-Fi signal and the load of the device.", f"ping {target.address}"),
        ),
    )  # fmt: skip


def latency(target: Target, measured_ms: float, limit_ms: float, raised: Raised, now_us: int) -> Finding:
    """Answers take too long."""
    return _finding(
        LATENCY_ID, ("latency", target.address), "Answers are slow", now_us, raised, measured_ms, limit_ms, "ms",
        address=target.address, impact=Severity.LOW,
        explain=Explain(
            what=f"1 of 20 answers of the {named(target)} took {measured_ms:.0f} ms or more{_often(raised)}.",
            why="A path that suddenly takes much longer is full, or leads elsewhere.",
            sure_for=(f"The limit for this target is {limit_ms:.0f} ms; 3 of the last 5 minutes were above.",),
            benign=("A large upload or backup fills the line.",),
            next=("See under Traffic who sends or receives most.",),
        ),
    )  # fmt: skip


def silent(target: Target, raised: Raised, now_us: int) -> Finding:
    """A target that used to answer does not, whatever it is asked."""
    gateway = target.role == "gateway"
    why = (
        "Nothing outside this network is reached over it."
        if gateway
        else "Whatever it does for others is not done now."
    )
    return _finding(
        SILENT_ID, ("silent", target.address), "Gateway does not answer" if gateway else "Target does not answer", now_us,
        raised, 1.0, 1.0, "ratio", address=target.address, impact=Severity.HIGH if gateway else Severity.MEDIUM,
        explain=Explain(
            what=f"The {named(target)} answers neither echoes (ping) nor TCP connections; it used to{_often(raised)}.",
            why=why,
            sure_for=("It answered before.", "3 of the last 5 minutes were without any answer."),
            benign=("It was started anew, or now refuses echoes and TCP from here.",),
            next=("Look whether it has power, and at the cable to it.", f"ping {target.address}"),
        ),
    )  # fmt: skip


def resolver(address: str, failed: float, limit: float, raised: Raised, now_us: int) -> Finding:
    """The resolver does not answer."""
    return _finding(
        RESOLVER_ID, ("resolver", address), "Names are not resolved", now_us, raised, failed, limit, "ratio",
        address=address, impact=Severity.MEDIUM,
        explain=Explain(
            what=f"The resolver {address} left {failed:.0%} of our questions without an answer{_often(raised)}.",
            why="Without names nearly nothing works, and programs may fall back to a resolver that nobody chose.",
            sure_for=("3 of the last 5 minutes were above the limit.",),
            benign=("The resolver was started anew.",),
            next=(f"dig @{address} . NS", "Look whether the resolver runs, and at /etc/resolv.conf."),
        ),
    )  # fmt: skip


def interface_down(name: str, watched: bool, enabled: bool, raised: Raised, now_us: int) -> Finding:
    """An interface lost its carrier or was switched off."""
    why = "Nothing is seen on it until it is back." if watched else "What was reached over it is not reached now."
    return _finding(
        INTERFACE_ID, ("interface", name), "Interface is down", now_us, raised, 0, 1, "up",
        impact=Severity.HIGH if watched else Severity.LOW,
        explain=Explain(
            what=f"The interface {name} {'has no carrier' if enabled else 'was switched off'}{_often(raised)}. {why}",
            why=why, sure_for=("The kernel says so.",), benign=("Somebody pulled the cable or switched it off.",),
            next=("Look at the cable, and at what it leads to.",) if enabled else (f"sudo ip link set {name} up",),
        ),
    )  # fmt: skip


def disk(found: Forecast, free_bytes: int, total_bytes: int, days_min: float, freeable: str, now_us: int) -> Finding:
    """The disk will soon be full. ``freeable``: a sentence about what retention frees."""
    critical = found.level == "critical"
    days = f"{found.days_left:.1f} days are left at {found.bytes_a_day / 1e9:.2f} GB a day. " if (
        found.days_left is not None and found.bytes_a_day is not None
    ) else ""  # fmt: skip
    return _finding(
        DISK_ID, ("disk",), "Disk is nearly full" if critical else "Disk will be full soon", now_us, Raised(1, False),
        found.days_left if found.days_left is not None else 0.0, days_min, "days",
        impact=Severity.HIGH if critical else Severity.MEDIUM,
        explain=Explain(
            what=f"{free_bytes / 1e9:.1f} of {total_bytes / 1e9:.1f} GB are free. {days}{freeable}".strip(),
            why="On a full disk flows are not stored any more; alerts are, as long as possible.",
            sure_for=("Read from the file system.",),
            benign=("A large file that goes again, like a download or a backup.",),
            next=("Free some room, or give nsm another disk: --data DIR.", "Lower store.size_max_bytes or store.flow_days."),
        ),
    )  # fmt: skip


def over(key: tuple[str, ...], what: str, now_us: int) -> Finding:
    """The alert with that key is over; ``what`` is the sentence that says so. The rest of it stays what it was."""
    finding = _finding(0, key, "", now_us, Raised(1, False), 0, 0, "", impact=Severity.INFO, explain=Explain(what, ""))
    return msgspec.structs.replace(finding, over=True)


def _finding(
    number: int, key: tuple[str, ...], signature: str, now_us: int, raised: Raised, measured: float, limit: float,
    unit: str, *, explain: Explain, impact: Severity, address: str = "",
) -> Finding:  # fmt: skip
    bare = address.partition("%")[0]
    return Finding(
        detector=DETECTOR, key=key, kind=KIND, signature=signature, signature_id=number, category="Network health",
        ts=now_us, first_seen=now_us, actors=(), victims=(bare,) if bare else (), measured=measured, threshold=limit,
        unit=unit, window_s=WINDOW_S, impact=impact, confidence=SURE, dest_ip=bare, count=raised.count, explain=explain,
    )  # fmt: skip


def named(target: Target) -> str:
    """Role and address, for sentences."""
    return target.address if target.role == "added" else f"{target.role} {target.address}"


def _often(raised: Raised) -> str:
    return f"; it comes and goes, {raised.count} times within the hour" if raised.flapping else ""
