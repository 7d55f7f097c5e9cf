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
SUMS_MIN: Final = 100  # ours: packets of a sample
SUMS_MAX: Final = 0.01  # ours: a sound network has none; one in a hundred is neither chance nor one broken host
STEP_S: Final = 1.0
OFFSET_S: Final = 0.1  # ours: a time service keeps a clock within some ms; events of two machines are compared by 0.1 s
PACKET_TIME_S: Final = 2.0  # ours: packets are here within 0.1 s of their time
OFF: Final = "gro off lro off gso off tso off"


class Sight(msgspec.Struct, frozen=True):
    """What was seen on one interface in the last minutes.

    Flows: ``own`` have an address of this machine, ``group`` go to a multicast or broadcast address, ``foreign`` are
    neither. ``tcp`` are TCP flows with an ACK, ``one_way`` those of them without a packet in one direction.
    ``frame_max``: the largest mean frame of a flow, in bytes. ``sums``: packets of a sample whose checksums were looked
    at; of them ``sums_open`` are not computed yet, as the kernel says, and ``sums_bad`` are wrong.
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
    sums: int = 0
    sums_open: int = 0
    sums_bad: int = 0


class Trouble(msgspec.Struct, frozen=True):
    """A health alert that is not over: its dedup key, what is the matter, what to do."""

    key: tuple[str, ...]
    text: str
    mend: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is judged. Counts are of the last ten minutes; times in s.

    ``packet_offset_s``: by how much the times of packets lie behind the clock, the least of the last minute.
    ``files``: (path, days since it was written; None: it is not there).
    """

    capture: str  # running, stopped, failed, demo
    fault: str = ""
    fault_mend: str = ""
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
    clock_offset_s: float | None = None
    clock_stepped_s: float = 0.0
    packet_offset_s: float | None = None
    files: tuple[tuple[str, float | None], ...] = ()
    files_days_max: float = 14.0
    troubles: tuple[Trouble, ...] = ()
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
    found = [verdict for one in JUDGEMENTS for verdict in one.judge(facts)]
    return tuple(sorted(found, key=lambda verdict: order.index(verdict.state)))


def capture(facts: Facts) -> Iterator[Verdict]:
    """Is anything watched, and does anything come?"""
    if facts.capture in ("stopped", "failed"):
        yield Verdict("capture", "fail", f"Nobody is watching: {facts.fault or 'capture is stopped'}.",
                      facts.fault_mend or "Start capture, at the top of the page")  # fmt: skip
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
                "to watch the whole network, connect to a mirror (SPAN) port of the switch, or run nsm on the router",
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
        yield Verdict("drops", "warn", f"{facts.drops:,} packets ({facts.drops / total:.1%}) were dropped in ten minutes: "
                      "they came faster than they were looked at.",
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
                "packets are counted too low. Nothing is missed.",
                f"sudo ethtool -K {sight.name} {OFF}",
            )  # fmt: skip


def checksums(facts: Facts) -> Iterator[Verdict]:
    """Are packets damaged, or are their checksums only not computed yet?"""
    for sight in facts.sights:
        if sight.sums < SUMS_MIN or sight.name == "lo":
            continue
        bad, unfinished = sight.sums_bad / sight.sums, sight.sums_open / sight.sums
        if bad > SUMS_MAX:
            yield Verdict(
                f"checksums:{sight.name}", "warn",
                f"{bad:.0%} of a sample of packets on {sight.name} have wrong checksums: they are damaged on their way, "
                "or what mirrors them changes them.",
                "try another cable or port, and look at the errors of the switch's port",
            )  # fmt: skip
        elif unfinished > SUMS_MAX:
            yield Verdict(
                f"checksums:{sight.name}", "note",
                f"{unfinished:.0%} of a sample of packets on {sight.name} have no checksum yet: this machine sends them, and "
                "its network card computes it (checksum offload). This is harmless; other programs may call such packets "
                "damaged when they read a recording.",
                f"only if that disturbs you: sudo ethtool -K {sight.name} tx off",
            )  # fmt: skip
        else:
            yield Verdict(f"checksums:{sight.name}", "ok", f"Checksums on {sight.name} are right.")


def cuts(facts: Facts) -> Iterator[Verdict]:
    """Are frames cut, so that a part of them is not looked at?"""
    if facts.cut:
        off = " && ".join(f"sudo ethtool -K {sight.name} {OFF}" for sight in facts.sights)
        yield Verdict("cut", "warn", f"{facts.cut:,} frames in ten minutes were longer than what is captured of each; their "
                      "rest is not looked at.", f"nsm config set capture.block_kb 256   or   {off}")  # fmt: skip


def clock(facts: Facts) -> Iterator[Verdict]:
    """Are the times of events right?"""
    ntp = "sudo timedatectl set-ntp true"
    off, offset = facts.packet_offset_s, facts.clock_offset_s
    if abs(facts.clock_stepped_s) > STEP_S:
        yield Verdict("clock", "warn", f"The clock was set by {facts.clock_stepped_s:+.1f} s while nsm ran: times before "
                      "and after do not fit.", f"{ntp}   or   start nsm again once the clock is right")  # fmt: skip
    elif off is not None and abs(off) > PACKET_TIME_S:
        side, why = ("behind", "the analysis cannot keep up") if off > 0 else ("ahead of", "the clock was set back")
        yield Verdict("clock", "warn", f"Packets carry times that are {abs(off):.1f} s {side} this machine's clock: {why}, "
                      "or whoever stamps the packets has another clock.", "nsm status")  # fmt: skip
    elif facts.clock_synchronised is False:
        yield Verdict("clock", "note", "No time service (NTP) keeps the clock right: times of events may be wrong, and "
                      "nobody knows by how much.", ntp)  # fmt: skip
    elif offset is not None and abs(offset) > OFFSET_S:
        yield Verdict("clock", "warn", f"The clock is {abs(offset):.2f} s {'slow' if offset > 0 else 'fast'}; the time "
                      "service is correcting it.", "wait some minutes; if it stays: timedatectl timesync-status")  # fmt: skip
    elif facts.clock_synchronised:
        yield Verdict("clock", "ok", "The clock is synchronised.")


def files(facts: Facts) -> Iterator[Verdict]:
    """Are lists and other files that somebody should renew fresh? Which they are: ``health.files``."""
    for path, days in facts.files:
        mend = "fetch it again, and let a timer (cron, systemd) do so   or   nsm config set health.files_days_max 30"
        if days is None:
            yield Verdict(f"files:{path}", "warn", f"{path} is not there or cannot be read.", mend)
        elif days > facts.files_days_max:
            yield Verdict(f"files:{path}", "warn", f"{path} is {days:.0f} days old: what is new since then is not in it.",
                          mend)  # fmt: skip
        else:
            yield Verdict(f"files:{path}", "ok", f"{path} is {days:.0f} days old.")


def network(facts: Facts) -> Iterator[Verdict]:
    """Which health alerts are not over: gateway, resolver, loss, interfaces."""
    for one in facts.troubles:
        if one.key[0] != "disk":  # judged below, with more to say
            yield Verdict(":".join(one.key), "warn", one.text, one.mend)


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
            f"There is enough room; when it is full is not known: {found.reason}.")  # fmt: skip
        yield Verdict("disk", "ok", text)


def gaps(facts: Facts) -> Iterator[Verdict]:
    """Was monitoring interrupted within the last day?"""
    if facts.gaps:
        total, number = sum(seconds for seconds, _ in facts.gaps), len(facts.gaps)
        often = "once" if number == 1 else f"{number:,} times"
        yield Verdict("gaps", "warn", f"Monitoring was interrupted {often} in the last day, for {total:.0f} s together. "
                      f"The latest: {facts.gaps[0][1]}", "nsm.log in the data folder says why; the page shows its end")  # fmt: skip
    else:
        yield Verdict("gaps", "ok", "No interruption in the last day.")


class Judgement(msgspec.Struct, frozen=True):
    """One judgement and, for docs/health.md, what it measures and from where on it speaks."""

    name: str
    judge: Callable[[Facts], Iterator[Verdict]]
    measured: str
    limit: str


JUDGEMENTS: Final = (
    Judgement("capture", capture, "state of the capture; packets", f"stopped, failed, or no packet for {SILENT_S:.0f} s"),
    Judgement("mirror", mirror, "flows by interface: own, to groups, of others",
              f"of {FLOWS_MIN} flows or more none is of others"),
    Judgement("directions", directions, "TCP flows without a packet in one direction",
              f"more than {ONE_WAY_MAX:.0%} of {FLOWS_MIN} or more"),
    Judgement("drops", drops, "packets that the kernel had no room for", f"more than {DROPS_MAX:.1%}"),
    Judgement("offload", offload, "mean frame of each flow, against the MTU", f"MTU + {FRAME_OVERHEAD} bytes"),
    Judgement("checksums", checksums, "8 packets a second: their checksums, and what the kernel says of them",
              f"more than {SUMS_MAX:.0%} of {SUMS_MIN} or more"),
    Judgement("cut", cuts, "frames longer than a block of the ring or than 65,535 bytes", "one"),
    Judgement("clock", clock, "the kernel's clock (adjtimex), its steps, times of packets against it",
              f"not synchronised; {OFFSET_S:g} s off; set by {STEP_S:g} s; packets {PACKET_TIME_S:g} s off"),
    Judgement("files", files, "age of the files in health.files", "health.files_days_max (14 days)"),
    Judgement("network", network, "health alerts that are not over", "one; see below"),
    Judgement("disk", disk, "free room, its trend, what the store says", "as for the alert, and store.free_early_bytes"),
    Judgement("gaps", gaps, "interruptions of the last day", "one"),
)  # fmt: skip
