"""Which probe goes next: retries first, then new ports, over hosts in turn. Pure: no sockets, time is passed in (s).

A question is one port of one host. It is *open* from its first try until an answer comes; a try that is not
answered in time makes room in the windows and the question waits for its next try. A question that had all its tries
is kept aside: when a later answer raises the number of tries (see ``Tries``) it is asked again, and a late answer
is still taken. So the order of loss does not matter, only its amount.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from nsm.scan.pacing import FIRST_WAVE, WINDOW_START, Bucket, Thinning, Timer, Tries, Window

BATCH: Final = 128  # probes of one turn of the loop: few enough that answers are read before they pile up
LOOK_EVERY_S: Final = 0.002  # time-outs are looked for so often; the shortest time-out is 25 times as long
TURN_MAX_S: Final = 0.1  # no turn waits longer, so that the wish to stop is seen

Probe = tuple[int, int, int]  # host (index), port, try (from 1)


class Pace(msgspec.Struct, frozen=True):
    """How fast a schedule may go. Rates in probes/s, 0 is no limit; times in s."""

    rate: float = 1_000
    rate_host: float = 300
    tries: int = 3
    tries_fixed: bool = False
    timeout_first_s: float = 0.3
    timeout_min_s: float = 0.05
    timeout_max_s: float = 1.0
    timeout_rtts: float = 1.0
    window: int = WINDOW_START
    window_max: int = 2_000
    thin: bool = False
    """Slow down to what a host tells of closed ports: for UDP."""


class HostState(msgspec.Struct):
    """Where a host is, for a journal: the next place in the order of ports, and questions without an answer."""

    next: int = 0
    open: list[int] = []


class _Host:
    __slots__ = (
        "bucket",
        "exhausted",
        "gone",
        "lost_at",
        "next",
        "retry",
        "sampled",
        "sent",
        "thinning",
        "timer",
        "underway",
        "waiting",
        "window",
    )

    def __init__(self, pace: Pace) -> None:
        self.timer = Timer(pace.timeout_first_s, pace.timeout_min_s, pace.timeout_max_s, pace.timeout_rtts)
        self.window = Window(pace.window)
        self.bucket = Bucket(pace.rate_host)
        self.thinning = Thinning() if pace.thin else None
        self.next = 0
        self.gone = False
        self.lost_at = 0.0  # when the try before the one that was answered last had been sent
        self.sampled = 0.0  # when a round trip was taken last
        self.underway = 0  # tries on their way
        self.waiting: dict[int, tuple[float, ...]] = {}  # port -> when each try was sent
        self.exhausted: dict[int, tuple[float, ...]] = {}  # the same, for ports that had all their tries
        self.sent: deque[tuple[float, int, int]] = deque()  # (when, port, try), oldest first
        self.retry: OrderedDict[int, None] = OrderedDict()  # ports of ``waiting`` whose last try had no answer in time


class Schedule:
    """The questions of one protocol to a group of hosts; ``ports`` in the order in which they are asked."""

    def __init__(self, hosts: int, ports: Sequence[int], pace: Pace, states: Sequence[HostState] = ()) -> None:
        self._ports = ports
        self._pace = pace
        self._hosts = [_Host(pace) for _ in range(hosts)]
        self._turns: deque[int] = deque(range(hosts))
        self._window = Window(max(pace.window, WINDOW_START))
        self._bucket = Bucket(pace.rate)
        self._tries = Tries(pace.tries)
        self._underway = 0
        self._looked = float("-inf")
        self.sent = self.answered = self.lost = self.put_aside = 0
        self.expired: list[tuple[int, int]] = []  # questions that were put aside; whoever reads them empties it
        for host, state in zip(self._hosts, states, strict=False):
            host.next = state.next
            host.retry.update(dict.fromkeys(state.open))
            host.waiting.update(dict.fromkeys(state.open, ()))

    def finished(self) -> bool:
        """Whether every question has an answer or had all its tries; opens those again that deserve more."""
        if self._underway or any(self._wants(host) for host in self._hosts):
            return False
        return not self._reopen()

    def _wants(self, host: _Host) -> bool:
        return not host.gone and (bool(host.retry) or host.next < len(self._ports))

    def know_rtt(self, host: int, rtt: float) -> None:
        """Start a host with a round trip (s) that was measured before."""
        self._hosts[host].timer.sample(rtt)

    def take(self, now: float) -> list[Probe]:
        """The probes to send now, at most BATCH; they count as sent."""
        if now - self._looked >= LOOK_EVERY_S:
            self._time_out(now)
        room = min(int(min(self._window.size, self._pace.window_max)) - self._underway, BATCH, self._bucket.room(now))
        out: list[Probe] = []
        turns = self._turns
        share = max(1, room // max(1, len(turns)))
        for _ in range(len(turns)):
            if room <= 0:
                break
            number = turns[0]
            host = self._hosts[number]
            if not self._wants(host):
                turns.popleft()  # comes back when a try of it is not answered
                continue
            turns.rotate(-1)
            count = self._take_of(number, host, min(room, share), now, out)
            room -= count
        self._underway += len(out)
        self.sent += len(out)
        self._bucket.take(len(out))
        return out

    def _take_of(self, number: int, host: _Host, most: int, now: float, out: list[Probe]) -> int:
        room = min(most, int(host.window.size) - host.underway, host.bucket.room(now))
        if host.thinning is not None and host.thinning.fresh:
            room = min(room, FIRST_WAVE - host.underway)
        if room <= 0:
            return 0
        before = len(out)
        waiting, sent = host.waiting, host.sent
        while room and host.retry:
            port, _ = host.retry.popitem(last=False)
            waiting[port] = times = (*waiting[port], now)
            sent.append((now, port, len(times)))
            out.append((number, port, len(times)))
            room -= 1
        first = (now,)
        for port in self._ports[host.next : host.next + room]:
            waiting[port] = first
            sent.append((now, port, 1))
            out.append((number, port, 1))
            host.next += 1
        count = len(out) - before
        host.underway += count
        host.bucket.take(count)
        return count

    def unsent(self, probes: Iterable[Probe]) -> None:
        """These could not be sent for want of buffers: ask again, as if they had timed out."""
        for number, port, _ in probes:
            host = self._hosts[number]
            if host.gone:
                continue
            host.underway -= 1
            self._underway -= 1
            self.sent -= 1
            host.waiting[port] = host.waiting[port][:-1]
            self._retry(number, host, port)

    def _retry(self, number: int, host: _Host, port: int) -> None:
        if not self._wants(host) and number not in self._turns:
            self._turns.append(number)
        host.retry[port] = None

    def answer(self, number: int, port: int, attempt: int, now: float) -> float:
        """Take an answer to that try; its round trip (s), or -1 when the question is not open (a repeat)."""
        host = self._hosts[number]
        times = host.waiting.pop(port, None)
        if times is None:
            times = host.exhausted.pop(port, None)
            if times is None:
                return -1.0
            self.put_aside -= 1
        elif port in host.retry:
            del host.retry[port]
        else:
            host.underway -= 1
            self._underway -= 1
        self.answered += 1
        if host.thinning is not None:
            host.thinning.fresh = False
        if not 1 <= attempt <= len(times):  # after a resume: the try belongs to an earlier run
            return 0.0
        rtt = now - times[attempt - 1]
        if now != host.sampled:  # answers that were read together are one sample: RFC 6298, section 3
            host.sampled = now
            host.timer.sample(rtt)
        if attempt == 1:
            host.window.on_answer()
            self._window.on_answer()
        else:
            host.lost_at = times[attempt - 2]
            self._on_loss(host, attempt, now)
        return rtt

    def _on_loss(self, host: _Host, attempt: int, now: float) -> None:
        """The answer to a later try proves that those before it were lost, there or back."""
        if not self._pace.thin:  # there it is mostly ICMP that the host did not send
            self.lost += attempt - 1
        srtt = host.timer.srtt
        host.window.on_loss(now, srtt)
        self._window.on_loss(now, srtt)
        if not self._pace.tries_fixed:
            self._tries.on_answer(attempt)

    def closed_told(self, number: int, attempt: int, now: float) -> None:
        """A host told by ICMP of a closed port, at that try: it may limit how often it does."""
        host = self._hosts[number]
        if host.thinning is not None:
            host.thinning.on_answer(attempt, host.lost_at, now)
            host.bucket.rate = min(host.thinning.rate, self._pace.rate_host or host.thinning.rate)

    def give_up(self, number: int) -> list[int]:
        """A host cannot be reached at all: ask it nothing more; the ports that were open questions."""
        host = self._hosts[number]
        host.gone = True
        self._underway -= host.underway
        host.underway = 0
        asked = [*host.waiting, *host.exhausted, *self._ports[host.next :]]
        host.next = len(self._ports)
        for store in (host.waiting, host.exhausted, host.sent, host.retry):
            store.clear()
        return asked

    def _time_out(self, now: float) -> None:
        self._looked = now
        for number, host in enumerate(self._hosts):
            sent = host.sent
            if not sent:
                continue
            before = now - host.timer.rto
            while sent and sent[0][0] <= before:
                _, port, attempt = sent.popleft()
                times = host.waiting.get(port)
                if times is None or len(times) != attempt or port in host.retry:
                    continue  # answered, asked again since, or never sent
                if host.thinning is not None:
                    host.thinning.fresh = False
                host.underway -= 1
                self._underway -= 1
                if attempt < self._tries.limit:
                    self._retry(number, host, port)
                else:
                    host.exhausted[port] = host.waiting.pop(port)
                    self.expired.append((number, port))
                    self.put_aside += 1

    def _reopen(self) -> bool:
        """Ask again what was put aside before the number of tries grew; whether there was any."""
        found = False
        for number, host in enumerate(self._hosts):
            again = [port for port, times in host.exhausted.items() if len(times) < self._tries.limit]
            for port in again:
                host.waiting[port] = host.exhausted.pop(port)
                self.put_aside -= 1
                self._retry(number, host, port)
                found = True
        return found

    def wait(self, now: float) -> float:
        """Seconds for which there is nothing to send unless an answer comes."""
        able = [host for host in map(self._hosts.__getitem__, self._turns) if int(host.window.size) > host.underway]
        if not able or self._underway >= min(int(self._window.size), self._pace.window_max):
            return self._next_time_out(now)
        rates = max(self._bucket.wait(), min(host.bucket.wait() for host in able))
        return min(TURN_MAX_S, max(rates, LOOK_EVERY_S))

    def _next_time_out(self, now: float) -> float:
        ends = [host.sent[0][0] + host.timer.rto for host in self._hosts if host.sent]
        return min(TURN_MAX_S, max(LOOK_EVERY_S, min(ends) - now)) if ends else 0.0

    def silent(self) -> list[tuple[int, int, int]]:
        """(host, port, tries) of all questions that never had an answer."""
        return [
            (number, port, len(times))
            for number, host in enumerate(self._hosts)
            for store in (host.waiting, host.exhausted)
            for port, times in store.items()
            if times
        ]

    def states(self) -> list[HostState]:
        """What a journal needs to go on from here."""
        return [HostState(host.next, [*host.waiting, *host.exhausted]) for host in self._hosts]
