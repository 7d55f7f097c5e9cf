"""Is it working? Judgements over figures: a state, a sentence and a mend each. Pure.

States: ``ok``; ``note`` (it works, and this should be known to read it rightly); ``warn`` (something is missing);
``fail`` (nothing is seen); ``unknown`` (too little to say).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from nsm.health.forecast import Forecast

FLOWS_MIN: Final = 20  # ours: with fewer, a quiet network and a wrong cable look alike
ONE_WAY_MAX: Final = 0.5  # ours: asymmetric paths give some; a mirror of one direction gives all
DROPS_MAX: Final = 0.001  # ours: one in a thousand is felt in counts and reassembly
FRAME_OVERHEAD: Final = 26  # Ethernet header 14, two VLAN tags 8, FCS 4
SILENT_S: Final = 300.0


class Sight(msgspec.Struct, frozen=True):
    """What was seen on one interface in the last minutes.

    Flows: ``own`` have an address of this machine, ``group`` go to a multicast or broadcast address, ``foreign`` are
    neither. ``tcp`` are TCP flows with an ACK, ``one_way`` those of them without a packet in one direction.
    ``frame_max``: the largest mean frame of a flow, in bytes.
    """

    name: str
    up: bool = True
    mtu: int = 1500
    flows: int = 0
    own: int = 0
    group: int = 0
    foreign: int = 0
    tcp: int = 0
    one_way: int = 0
    frame_max: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is judged. Counts are of the last ten minutes; times in s."""

    capture: str  # running, stopped, failed, demo
    fault: str = ""
    watched_s: float = 0.0
    sights: tuple[Sight, ...] = ()
    packets: int = 0
    drops: int = 0
    cut: int = 0
    analysis: bool = True
    store_state: str = ""
    store_reason: str = ""
    forecast: Forecast | None = None
    clock_synchronised: bool | None = None
    clock_stepped_s: float = 0.0
    gaps: tuple[tuple[float, str], ...] = ()  # seconds and what, of the last day


class Verdict(msgspec.Struct, frozen=True):
    """One judgement; ``mend`` is a command or an advice, empty where nothing is to be done."""

    id: str
    state: str
    text: str
    mend: str = ""


def judge(facts: Facts) -> tuple[Verdict, ...]:
    """All judgements, the worst first."""
    order = ("fail", "warn", "note", "unknown", "ok")
    found = [verdict for check in CHECKS for verdict in check(facts)]
    return tuple(sorted(found, key=lambda verdict: order.index(verdict.state)))


def capture(facts: Facts) -> Iterator[Verdict]:
    """Is anything watched, and does anything come?"""
    if facts.capture in ("stopped", "failed"):
        yield Verdict("capture", "fail", facts.fault or "Nobody is watching: capture is stopped.", "nsm doctor")
    elif not facts.analysis:
        yield Verdict("capture", "fail", "The analysis does not answer.", "it is started again by itself; see nsm.log")
    elif facts.packets == 0 and facts.watched_s >= SILENT_S:
        names = " ".join(sight.name for sight in facts.sights)
        yield Verdict("capture", "fail", f"No packet came on {names or 'any interface'} for 5 minutes.",
                      "look at the cable, or choose another interface: nsm run -i NAME")  # fmt: skip
    else:
        yield Verdict("capture", "ok", f"{facts.packets:,} packets in the last ten minutes.")


def mirror(facts: Facts) -> Iterator[Verdict]:
    """Are other machines seen, or this one alone?"""
    for sight in facts.sights:
        if facts.capture == "demo" or sight.name == "lo":
            continue
        if sight.flows < FLOWS_MIN:
            yield Verdict(
                f"mirror:{sight.name}", "unknown", f"Too little traffic on {sight.name} to say whom it shows."
            )
        elif not sight.foreign:
            yield Verdict(
                f"mirror:{sight.name}", "note",
                f"On {sight.name} only this machine's own traffic and broadcasts are seen, not what others say to each other.",
                "to watch the whole network: a mirror (SPAN) port of the switch, or nsm on the router",
            )  # fmt: skip
        else:
            yield Verdict(f"mirror:{sight.name}", "ok", f"Traffic of other machines is seen on {sight.name}.")


def directions(facts: Facts) -> Iterator[Verdict]:
    """Are both directions of connections seen?"""
    for sight in facts.sights:
        if sight.tcp < FLOWS_MIN:
            continue
        share = sight.one_way / sight.tcp
        if share > ONE_WAY_MAX:
            yield Verdict(
                f"directions:{sight.name}", "warn",
                f"{share:.0%} of the TCP connections on {sight.name} are seen in one direction only.",
                "let the switch mirror both directions (rx and tx) of the port",
            )  # fmt: skip
        else:
            yield Verdict(f"directions:{sight.name}", "ok", f"Both directions are seen on {sight.name}.")


def drops(facts: Facts) -> Iterator[Verdict]:
    """Does the kernel drop packets for want of room?"""
    total = facts.packets + facts.drops
    if facts.drops and facts.drops / total > DROPS_MAX:
        yield Verdict("drops", "warn", f"{facts.drops:,} packets ({facts.drops / total:.1%}) were dropped in ten minutes.",
                      "nsm config set capture.ring_mb 128   or   nsm config set capture.workers 2")  # fmt: skip
    elif total:
        yield Verdict("drops", "ok", f"{facts.drops:,} packets dropped.")


def offload(facts: Facts) -> Iterator[Verdict]:
    """Does the card or the kernel join segments before they are seen?"""
    for sight in facts.sights:
        if sight.mtu and sight.frame_max > sight.mtu + FRAME_OVERHEAD and sight.name != "lo":
            yield Verdict(
                f"offload:{sight.name}", "note",
                f"Frames on {sight.name} are larger than its MTU of {sight.mtu}: segments are joined before they are seen, so "
                "packets are counted too low, and recorded packets of this machine have unfinished checksums.",
                f"sudo ethtool -K {sight.name} gro off lro off gso off tso off",
            )  # fmt: skip


def cuts(facts: Facts) -> Iterator[Verdict]:
    """Are frames cut, so that a part of them is not looked at?"""
    if facts.cut:
        yield Verdict("cut", "warn", f"{facts.cut:,} frames were longer than what is captured of each; the rest is not seen.",
                      "sudo ethtool -K NAME gro off lro off gso off tso off")  # fmt: skip


def clock(facts: Facts) -> Iterator[Verdict]:
    """Are the times of events right?"""
    if abs(facts.clock_stepped_s) > 1.0:
        yield Verdict("clock", "warn", f"The clock was set by {facts.clock_stepped_s:+.1f} s while nsm ran: times before "
                      "and after do not fit.", "timedatectl set-ntp true")  # fmt: skip
    elif facts.clock_synchronised is False:
        yield Verdict("clock", "note", "The kernel does not count the clock as synchronised: times may be wrong.",
                      "timedatectl set-ntp true")  # fmt: skip
    elif facts.clock_synchronised:
        yield Verdict("clock", "ok", "The clock is synchronised.")


def disk(facts: Facts) -> Iterator[Verdict]:
    """Is there room, and for how long?"""
    mend = "free some room   or   nsm run --data DIR   or   lower store.size_max_bytes"
    found = facts.forecast
    if facts.store_state == "full":
        yield Verdict("disk", "fail", f"Flows are not stored, the disk is full: {facts.store_reason}.", mend)
    elif facts.store_state == "early":
        yield Verdict("disk", "warn", f"Old flows leave before their time: {facts.store_reason}.", mend)
    elif found is not None and found.level != "ok":
        days = f"in {found.days_left:.1f} days" if found.days_left is not None else "now"
        yield Verdict("disk", "warn", f"The disk is nearly full {days}." if found.days_left is None
                      else f"The disk will be full {days}.", mend)  # fmt: skip
    elif found is not None:
        text = f"{found.days_left:.0f} days until the disk is full." if found.days_left is not None else (
            f"No forecast: {found.reason}.")  # fmt: skip
        yield Verdict("disk", "ok", text)


def gaps(facts: Facts) -> Iterator[Verdict]:
    """Was monitoring interrupted within the last day?"""
    if facts.gaps:
        total = sum(seconds for seconds, _ in facts.gaps)
        yield Verdict("gaps", "warn", f"{len(facts.gaps)} interruptions of {total:.0f} s together in the last day. "
                      f"The latest: {facts.gaps[0][1]}", "nsm.log says why")  # fmt: skip
    else:
        yield Verdict("gaps", "ok", "No interruption in the last day.")


CHECKS: Final[tuple[Callable[[Facts], Iterator[Verdict]], ...]] = (
    capture, mirror, directions, drops, offload, cuts, clock, disk, gaps,
)  # fmt: skip
