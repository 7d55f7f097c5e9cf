"""The loop that every prober is driven by: take what is due, send it, read what came, note it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from nsm.errors import ScanError
from nsm.model.scan import PortState
from nsm.scan.ledger import Ledger
from nsm.scan.packets import Told
from nsm.scan.schedule import Probe, Schedule

TELL_EVERY_S: Final = 0.1  # progress, the journal and the wish to stop are looked at so often
STUCK_S: Final = 10.0  # ours: so long nothing at all can be sent, then the scan gives up
FULL_WAIT_S: Final = 0.001  # ours: the kernel's buffers are given this time to empty


class Prober(Protocol):
    """One way to ask ports: ``syn``, ``connect`` or ``udp``."""

    unreachable: list[tuple[int, str]]

    def send(self, probes: Sequence[Probe]) -> Sequence[Probe]:
        """Send them; those of this call or the one before for which there was no room."""

    def receive(self, wait_s: float) -> list[Told]:
        """What came, after waiting for the first of it for at most that long."""

    def forget(self, questions: Iterable[tuple[int, int]]) -> None:
        """These questions (host, port) had all their tries."""

    def close(self) -> None:
        """Close every socket."""


def probe(
    schedule: Schedule, prober: Prober, ledger: Ledger, clock: Callable[[], float], tell: Callable[[], bool]
) -> bool:
    """Ask until every question is settled; False when ``tell``, which is called ten times a second, said to stop."""
    told_at = sent_at = clock()
    most = -1  # probes that really were sent
    while True:
        now = clock()
        if now - told_at >= TELL_EVERY_S:
            told_at = now
            if not tell():
                return False
        probes = schedule.take(now)
        if not probes and schedule.finished():
            return True
        unsent = prober.send(probes)
        if unsent:
            schedule.unsent(unsent)
        if not probes or schedule.sent > most:
            sent_at, most = now, schedule.sent
        elif now - sent_at > STUCK_S:
            raise ScanError(
                f"nothing could be sent for {STUCK_S:.0f} s", where="buffers, open files or ports of this machine",
                mend="a lower --rate, or ulimit -n 4096",
            )  # fmt: skip
        wait = FULL_WAIT_S if unsent else 0.0 if probes else schedule.wait(now)
        _settle(schedule, prober, ledger, prober.receive(wait), clock())


def _settle(schedule: Schedule, prober: Prober, ledger: Ledger, answers: list[Told], now: float) -> None:
    if answers:
        _note(schedule, ledger, answers, now)
    if schedule.expired:
        prober.forget(schedule.expired)
        schedule.expired.clear()
    if prober.unreachable:
        _give_up(schedule, prober, ledger)


def _note(schedule: Schedule, ledger: Ledger, answers: list[Told], now: float) -> None:
    answer, record = schedule.answer, ledger.record
    for host, port, attempt, state, reason, ttl in answers:
        rtt = answer(host, port, attempt, now)
        if rtt >= 0:
            record(host, port, state, reason, ttl=ttl, tries=attempt, rtt=rtt)
            if state is PortState.CLOSED and reason.startswith("icmp"):
                schedule.closed_told(host, attempt, now)


def _give_up(schedule: Schedule, prober: Prober, ledger: Ledger) -> None:
    for host, why in dict(prober.unreachable).items():
        for port in schedule.give_up(host):
            ledger.record(host, port, PortState.FILTERED, why)
    prober.unreachable.clear()
